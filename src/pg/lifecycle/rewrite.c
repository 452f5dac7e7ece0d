/*
 * rewrite.c
 *		dbcrypt_encrypt_column, dbcrypt_decrypt_column, dbcrypt_delete_column:
 *		every value of a column is changed by writing the table anew, as ALTER
 *		TABLE does, so that the old values go with the old files.
 *
 * Like every such rewrite it is not MVCC-safe: a transaction whose snapshot is
 * older sees the table empty.
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/xact.h"
#include "commands/event_trigger.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"

#include "columns/copying_triggers.h"
#include "columns/empty_scan.h"
#include "columns/members.h"
#include "columns/opening.h"
#include "columns/recorded_key.h"
#include "columns/registry.h"
#include "columns/target.h"
#include "core/api/scheme.h"
#include "lifecycle/rewrite_checks.h"
#include "lifecycle/rewrite_heap.h"
#include "lifecycle/statistics.h"
#include "support/arguments.h"
#include "support/relation_name.h"

PG_FUNCTION_INFO_V1(dbcrypt_encrypt_column);
PG_FUNCTION_INFO_V1(dbcrypt_decrypt_column);
PG_FUNCTION_INFO_V1(dbcrypt_delete_column);

/*
 * Opens the column's relations and refuses what cannot be rewritten. The caller must own
 * every one of them, as for ALTER TABLE: also before any is locked.
 */
static List *
open_rewritable(RewriteKind kind, TargetColumn *target, bool dry_run)
{
	List *members;
	ListCell *cell;

	column_check_owner_of_members(target->relid);
	members = target_open(target, dry_run ? AccessShareLock : AccessExclusiveLock, "rewrite");
	column_check_owner_of_members(target->relid);

	if (kind != REWRITE_DELETE)
		recorded_key_refuse(target);
	else
	{
		if (target->options.json)
			ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
							errmsg("dbcrypt_delete_column() cannot delete fields of JSON"),
							errhint("Remove them with UPDATE, then run VACUUM FULL.")));
		target->aad = NULL; /* not needed, and an AAD that fails must not stand in the way */
	}
	foreach(cell, members)
	{
		Relation rel = lfirst(cell);

		rewrite_check_relation(rel);
		copying_trigger_check(rel, target);
		if (kind == REWRITE_ENCRYPT &&
			!(target->scheme && dbcrypt_scheme_traits_of(target->scheme)->deterministic))
			rewrite_check_unique_indexes(rel, get_attnum(RelationGetRelid(rel), target->name));
	}
	CommandCounterIncrement();
	if (kind == REWRITE_DECRYPT)
		rewrite_check_decrypt_keys(members, target);
	return members;
}

/* Fires the event triggers for a rewrite of a table, as ALTER TABLE does. */
static void
fire_table_rewrite(Relation rel)
{
	AlterTableStmt *statement = makeNode(AlterTableStmt); /* for the triggers' command tag */
	Oid relid = RelationGetRelid(rel);

	statement->objtype = OBJECT_TABLE;
	if (!EventTriggerBeginCompleteQuery())
		return;
	PG_TRY();
	{
		EventTriggerTableRewrite((Node *) statement, relid, AT_REWRITE_COLUMN_REWRITE);
	}
	PG_FINALLY();
	{
		EventTriggerEndCompleteQuery();
	}
	PG_END_TRY();
}

/*
 * Whether something changes in a relation; if not, its values are counted. A deletion
 * always rewrites: old versions of rows must go too.
 */
static bool
needs_rewrite(RewriteKind kind, Relation rel, const TargetColumn *target, RewriteCounts *counts)
{
	RewriteCounts before = *counts;

	if (kind != REWRITE_DELETE && !rewrite_is_needed(kind, rel, target, counts))
		return false;
	*counts = before;
	return true;
}

/* Rewrites those of the open relations in which something changes, and closes all; how many. */
static int
rewrite_members(RewriteKind kind, List *members, const TargetColumn *target, RewriteCounts *counts)
{
	List *changing = NIL;
	ListCell *cell;

	foreach(cell, members)
		if (needs_rewrite(kind, lfirst(cell), target, counts))
			changing = lappend(changing, lfirst(cell));
		else
			relation_close(lfirst(cell), NoLock);
	rewrite_check_locks(rewrite_locks(changing) + list_length(members));
	foreach(cell, changing)
	{
		fire_table_rewrite(lfirst(cell));
		rewrite_relation(kind, lfirst(cell), target, counts);
	}
	return list_length(changing);
}

/* Counts what rewrite_members would do, refuses what it would refuse, and closes all. */
static void
dry_run_members(RewriteKind kind, List *members, const TargetColumn *target, RewriteCounts *counts)
{
	List *changing = NIL;
	ListCell *cell;

	foreach(cell, members)
	{
		int64 before = counts->changed;

		rewrite_dry_run(kind, lfirst(cell), target, counts);
		if (counts->changed > before)
			changing = lappend(changing, lfirst(cell));
	}
	rewrite_check_locks(rewrite_locks(changing) + list_length(members));
	foreach(cell, members)
		relation_close(lfirst(cell), NoLock);
}

/* Registers a column that is encrypted now, or unregisters one that is no longer. */
static void
update_registry(RewriteKind kind, const TargetColumn *target)
{
	ListCell *cell;

	SPI_connect();
	if (kind == REWRITE_ENCRYPT)
		column_register(target);
	else
		foreach(cell, column_members(target->relid, NoLock))
			(void) column_unregister(lfirst_oid(cell), get_attnum(lfirst_oid(cell), target->name));
	SPI_finish();
}

/* Does one of the three to a column of a table and its children. */
static RewriteCounts
rewrite_column(RewriteKind kind, TargetColumn *target, const char *function, bool dry_run)
{
	RewriteCounts counts = {0};
	List *members;
	int rewritten = 0;

	PreventCommandDuringRecovery(function);
	if (!dry_run)
		PreventCommandIfReadOnly(function);
	members = open_rewritable(kind, target, dry_run);
	if (dry_run)
		dry_run_members(kind, members, target, &counts);
	else
	{
		rewritten = rewrite_members(kind, members, target, &counts);
		CommandCounterIncrement();
	}
	PushActiveSnapshot(GetLatestSnapshot());
	empty_scan_check(target, counts.scanned);
	PopActiveSnapshot();
	if (dry_run)
		return counts;
	if (rewritten > 0 && kind != REWRITE_DECRYPT)
		statistics_remove(target);
	update_registry(kind, target);
	return counts;
}

/* The row that the functions return. */
static Datum
counts_result(FunctionCallInfo fcinfo, const RewriteCounts *counts)
{
	Datum values[] = {Int64GetDatum(counts->scanned), Int64GetDatum(counts->changed),
					  Int64GetDatum(counts->kept), Int64GetDatum(counts->nulls)};

	return result_row(fcinfo, values, lengthof(values));
}

/* dbcrypt_encrypt_column("table" regclass, "column" name, aad text, dry_run boolean) */
Datum
dbcrypt_encrypt_column(PG_FUNCTION_ARGS)
{
	static const char *const names[] = {"table", "column", NULL, "dry_run"};
	TargetColumn target;
	RewriteCounts counts;

	arguments_refuse_null(fcinfo, names, lengthof(names));
	target = target_from_arguments(fcinfo);
	target.aad = text_argument(fcinfo, 2);
	counts =
		rewrite_column(REWRITE_ENCRYPT, &target, "dbcrypt_encrypt_column()", PG_GETARG_BOOL(3));
	return counts_result(fcinfo, &counts);
}

/* dbcrypt_decrypt_column("table" regclass, "column" name, dry_run boolean) */
Datum
dbcrypt_decrypt_column(PG_FUNCTION_ARGS)
{
	static const char *const names[] = {"table", "column", "dry_run"};
	TargetColumn target;
	RewriteCounts counts;

	arguments_refuse_null(fcinfo, names, lengthof(names));
	target = target_from_arguments(fcinfo);
	counts =
		rewrite_column(REWRITE_DECRYPT, &target, "dbcrypt_decrypt_column()", PG_GETARG_BOOL(2));
	return counts_result(fcinfo, &counts);
}

/* dbcrypt_delete_column("table" regclass, "column" name, confirm text) */
Datum
dbcrypt_delete_column(PG_FUNCTION_ARGS)
{
	static const char *const names[] = {"table", "column"};
	TargetColumn target;
	RewriteCounts counts;
	char *confirm = text_argument(fcinfo, 2);
	char *schema;
	char *table;
	char *plain;

	arguments_refuse_null(fcinfo, names, lengthof(names));
	target = target_from_arguments(fcinfo);
	column_check_owner(target.relid);
	table = get_rel_name(target.relid);
	schema = get_namespace_name(get_rel_namespace(target.relid));
	plain = psprintf("%s.%s.%s", schema, table, target.name);
	if (confirm == NULL || (strcmp(confirm, plain) != 0 &&
							strcmp(confirm, psprintf("%s.%s", relation_name(target.relid),
													 quote_identifier(target.name))) != 0))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("confirm must be \"%s\"", plain),
				 errdetail("The values of the column are destroyed for good.")));

	counts = rewrite_column(REWRITE_DELETE, &target, "dbcrypt_delete_column()", false);
	PG_RETURN_INT64(counts.changed);
}
