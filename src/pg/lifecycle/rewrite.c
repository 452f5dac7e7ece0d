/*
 * rewrite.c
 *		dbcrypt_encrypt_column, dbcrypt_decrypt_column, dbcrypt_delete_column:
 *		every value of a column changed by writing the table anew, as ALTER TABLE
 *		does, so that the old values leave with the old files.
 *
 * Like every such rewrite it is not MVCC-safe: a transaction whose snapshot is
 * older sees the table empty.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/multixact.h"
#include "access/relation.h"
#include "access/sysattr.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/heap.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_publication.h"
#include "catalog/pg_statistic_ext.h"
#include "commands/defrem.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "nodes/bitmapset.h"
#include "optimizer/optimizer.h"
#include "storage/lmgr.h"
#include "storage/predicate.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "columns/members.h"
#include "columns/opening.h"
#include "columns/registry.h"
#include "columns/target.h"
#include "core/core.h"
#include "keys/settings.h"
#include "rows/application_keys.h"
#include "rows/identify.h"
#include "rows/row_updater.h"
#include "support/compat.h"
#include "support/errors.h"
#include "values/codec.h"
#include "values/codec_change.h"
#include "values/codec_inspect.h"

PG_FUNCTION_INFO_V1(dbcrypt_encrypt_column);
PG_FUNCTION_INFO_V1(dbcrypt_decrypt_column);
PG_FUNCTION_INFO_V1(dbcrypt_delete_column);

typedef enum RewriteKind
{
	REWRITE_ENCRYPT,
	REWRITE_DECRYPT,
	REWRITE_DELETE
} RewriteKind;

/* What a rewrite did, in values. */
typedef struct RewriteCounts
{
	int64 scanned;
	int64 changed;
	int64 kept;
	int64 nulls;
} RewriteCounts;

/* The new value of the row at work. */
static ValueOutcome
transform(RewriteKind kind, RowUpdater *updater, ColumnChange *change)
{
	ColumnCodec *codec = &updater->scan.codec;

	change->count = 0;
	switch (kind)
	{
		case REWRITE_ENCRYPT:
			return codec_encrypt(codec, updater->scan.row, change);
		case REWRITE_DELETE:
			return codec_erase(codec, updater->scan.row, change);
		case REWRITE_DECRYPT:
			return codec_decrypt(codec, updater->scan.row, change);
	}
	pg_unreachable();
}

/*
 * Computes every row of a locked relation, and writes it to new_heap if there
 * is one. With stop_at_change it only looks at values, and returns false at the
 * first that changes.
 */
static bool
process_rows(RewriteKind kind, Relation rel, const TargetColumn *target, Relation new_heap,
			 bool stop_at_change, RewriteCounts *counts)
{
	Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
	RowUpdater updater;
	TableScanDesc scan;
	BulkInsertState bulk = NULL;
	CommandId command = 0;
	bool stopped = false;

	if (new_heap)
	{
		bulk = GetBulkInsertState();
		command = GetCurrentCommandId(true);
	}
	PushActiveSnapshot(snapshot);
	updater_begin(&updater, rel, target, true);
	scan = compat_beginscan(rel, snapshot);
	while (!stopped && table_scan_getnextslot(scan, ForwardScanDirection, updater.scan.row))
	{
		ColumnChange change;
		ValueOutcome outcome;

		CHECK_FOR_INTERRUPTS();
		updater.scan.tid = updater.scan.row->tts_tid;
		outcome = transform(kind, &updater, &change);
		counts->scanned++;
		counts->nulls += outcome == VALUE_NULL;
		counts->kept += outcome == VALUE_CURRENT;
		counts->changed += outcome == VALUE_CHANGED;
		stopped = stop_at_change && outcome == VALUE_CHANGED;
		if (!stop_at_change)
		{
			updater.scan.writing = true;
			updater_build_row(&updater, &change);
			if (new_heap)
				table_tuple_insert(new_heap, updater.updated, command, TABLE_INSERT_SKIP_FSM, bulk);
			updater.scan.writing = false;
		}
		ResetPerTupleExprContext(updater.scan.estate);
	}
	table_endscan(scan);
	updater_end(&updater);
	PopActiveSnapshot();
	UnregisterSnapshot(snapshot);
	if (new_heap)
	{
		FreeBulkInsertState(bulk);
		table_finish_bulk_insert(new_heap, TABLE_INSERT_SKIP_FSM);
	}
	return !stopped;
}

/* Replaces what prints values in whatever goes wrong with an index. */
static void
index_error_context(void *arg)
{
	redact_error();
	errdetail("Table %s.", (const char *) arg);
}

/* Puts the new heap in the place of the old one, and builds the indexes anew. */
static void
swap_heaps(Oid relid, Oid new_relid, char persistence)
{
	ErrorContextCallback context = {
		.callback = index_error_context,
		.arg = quote_qualified_identifier(get_namespace_name(get_rel_namespace(relid)),
										  get_rel_name(relid)),
		.previous = error_context_stack};
	int nestlevel = NewGUCNestLevel();

	/* A parallel worker would log its error itself, with the DETAIL. */
	(void) set_config_option("max_parallel_maintenance_workers", "0", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	error_context_stack = &context;
	compat_finish_heap_swap(relid, new_relid, RecentXmin, ReadNextMultiXactId(), persistence);
	error_context_stack = context.previous;
	AtEOXact_GUC(false, nestlevel);
}

/* Writes one relation anew and closes it. It is locked exclusively. */
static void
rewrite_relation(RewriteKind kind, Relation rel, const TargetColumn *target, RewriteCounts *counts)
{
	Oid relid = RelationGetRelid(rel);
	char persistence = rel->rd_rel->relpersistence;
	Oid new_relid;
	Relation new_heap;

	new_relid = make_new_heap(relid, rel->rd_rel->reltablespace, rel->rd_rel->relam, persistence,
							  AccessExclusiveLock);
	new_heap = table_open(new_relid, AccessExclusiveLock);
	TransferPredicateLocksToHeapRelation(rel);
	if (kind == REWRITE_ENCRYPT && target->options.companion)
		application_keys_hold(rel, get_attnum(relid, target->options.companion), target->scheme);
	(void) process_rows(kind, rel, target, new_heap, false, counts);
	table_close(new_heap, NoLock);
	relation_close(rel, NoLock);
	swap_heaps(relid, new_relid, persistence);
}

/* A column, and a whole row (0), as a member of a set. */
static int
member_of(AttrNumber attnum)
{
	return attnum - FirstLowInvalidHeapAttributeNumber;
}

/* Whether an expression over a relation's row reads one of these columns, or the whole row. */
static bool
expression_reads(Node *expression, const Bitmapset *columns)
{
	Bitmapset *inputs = NULL;

	pull_varattnos(expression, 1, &inputs);
	return bms_overlap(inputs, columns) || bms_is_member(member_of(0), inputs);
}

/* Refuses a column that a unique index reads: encrypted values never repeat. */
static void
check_unique_indexes(Relation rel, AttrNumber attnum)
{
	Bitmapset *columns = column_dependents(rel, attnum);
	ListCell *cell;

	foreach(cell, RelationGetIndexList(rel))
	{
		Relation index = relation_open(lfirst_oid(cell), AccessShareLock);
		Form_pg_index form = index->rd_index;
		bool included = expression_reads((Node *) RelationGetIndexExpressions(index), columns);

		for (int i = 0; i < form->indnkeyatts; i++)
			included |= bms_is_member(member_of(form->indkey.values[i]), columns);
		if (included && (form->indisunique || form->indisexclusion))
			ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
							errmsg("column \"%s\" of table \"%s\" is part of unique index \"%s\"",
								   get_attname(RelationGetRelid(rel), attnum, false),
								   RelationGetRelationName(rel), RelationGetRelationName(index)),
							errdetail("The same plaintext encrypted twice gives different values."),
							errhint("Drop the index or constraint.")));
		relation_close(index, NoLock);
	}
}

/* Refuses what no rewrite may touch, beyond what target_open refuses. */
static void
check_rewritable(Relation rel)
{
	PublicationDesc publication;
	PublicationActions *actions = &publication.pubactions;

	if (RelationIsUsedAsCatalogTable(rel))
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						errmsg("cannot rewrite table \"%s\" used as a catalog table",
							   RelationGetRelationName(rel))));
	RelationBuildPublicationDesc(rel, &publication);
	if (actions->pubinsert || actions->pubupdate || actions->pubdelete || actions->pubtruncate)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("table \"%s\" is published", RelationGetRelationName(rel)),
				 errdetail("A rewrite is not replicated: subscribers would keep the old values."),
				 errhint("Take the table out of the publication, rewrite it on both sides, then "
						 "publish it again.")));
}

/* Adds the direct parents of a relation to a list of OIDs. */
static List *
add_parents(List *relids, Oid relid)
{
	Relation inherits = table_open(InheritsRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple tuple;

	ScanKeyInit(&key, Anum_pg_inherits_inhrelid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(relid));
	scan = systable_beginscan(inherits, InheritsRelidSeqnoIndexId, true, NULL, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
		relids = list_append_unique_oid(relids, ((Form_pg_inherits) GETSTRUCT(tuple))->inhparent);
	systable_endscan(scan);
	table_close(inherits, AccessShareLock);
	return relids;
}

/* Whether an extended statistics object covers one of these columns. */
static bool
statistics_cover(Oid statistics, const Bitmapset *columns)
{
	HeapTuple tuple = SearchSysCache1(STATEXTOID, ObjectIdGetDatum(statistics));
	Form_pg_statistic_ext form;
	Datum expressions;
	bool isnull;
	bool covers = false;

	if (!HeapTupleIsValid(tuple))
		return false;
	form = (Form_pg_statistic_ext) GETSTRUCT(tuple);
	for (int i = 0; i < form->stxkeys.dim1; i++)
		covers |= bms_is_member(member_of(form->stxkeys.values[i]), columns);
	expressions = SysCacheGetAttr(STATEXTOID, tuple, Anum_pg_statistic_ext_stxexprs, &isnull);
	if (!isnull)
		covers |= expression_reads(stringToNode(TextDatumGetCString(expressions)), columns);
	ReleaseSysCache(tuple);
	return covers;
}

/*
 * Removes what ANALYZE sampled of a column and of generated columns over it:
 * most common values and histograms, those of index expressions, and extended
 * statistics that cover it. The next ANALYZE gathers new ones.
 */
static void
remove_statistics(Oid relid, const char *column)
{
	Relation rel = relation_open(relid, AccessShareLock);
	AttrNumber attnum = get_attnum(relid, column);
	ListCell *cell;

	if (attnum > 0)
	{
		Bitmapset *columns = column_dependents(rel, attnum);
		int member = -1;

		while ((member = bms_next_member(columns, member)) >= 0)
			RemoveStatistics(relid, member + FirstLowInvalidHeapAttributeNumber);
		foreach(cell, RelationGetIndexList(rel))
		{
			Relation index = relation_open(lfirst_oid(cell), AccessShareLock);

			if (expression_reads((Node *) RelationGetIndexExpressions(index), columns))
				RemoveStatistics(lfirst_oid(cell), 0);
			relation_close(index, NoLock);
		}
		foreach(cell, RelationGetStatExtList(rel))
			if (statistics_cover(lfirst_oid(cell), columns))
			{
				RemoveStatisticsDataById(lfirst_oid(cell), false);
				RemoveStatisticsDataById(lfirst_oid(cell), true);
			}
	}
	relation_close(rel, NoLock);
}

/* The same for the target, its children, and all above: they sampled its rows too. */
static void
remove_all_statistics(const TargetColumn *target)
{
	List *relids = column_members(target->relid, NoLock);

	for (int i = 0; i < list_length(relids); i++)
		relids = add_parents(relids, list_nth_oid(relids, i));
	CommandCounterIncrement();
	for (int i = 0; i < list_length(relids); i++)
		remove_statistics(list_nth_oid(relids, i), target->name);
}

/* Adds the key of a value to a list of strings, once. */
static bool
add_used_key(void *arg, Relation rel, ValueState state, const char *key_id, ItemPointer tid)
{
	List **keys = arg;
	ListCell *cell;

	if (key_id[0] == '\0')
		return true;
	foreach(cell, *keys)
		if (strcmp(lfirst(cell), key_id) == 0)
			return true;
	*keys = lappend(*keys, pstrdup(key_id));
	return true;
}

/* Refuses to decrypt a column unless dbcrypt.decrypt_keys names all its keys. */
static void
check_decrypt_keys_setting(List *members, const TargetColumn *target)
{
	List *keys = NIL;
	ListCell *cell;
	StringInfoData all;
	StringInfoData missing;

	initStringInfo(&all);
	initStringInfo(&missing);
	foreach(cell, members)
	{
		identify_values(lfirst(cell), target, add_used_key, &keys);
	}
	foreach(cell, keys)
	{
		const char *key_id = lfirst(cell);

		appendStringInfo(&all, "%s%s", all.len > 0 ? "," : "", key_id);
		if (!settings_decrypt_key(key_id))
			appendStringInfo(&missing, "%s%s", missing.len > 0 ? ", " : "", key_id);
	}
	if (missing.len > 0)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("dbcrypt.decrypt_keys does not name every key of column \"%s\"",
							   target->name),
						errdetail("Missing: %s.", missing.data),
						errhint("Run SET dbcrypt.decrypt_keys = '%s'.", all.data)));
}

/*
 * Does one of the three to a column of a table and its children. A relation in
 * which nothing changes stays as it is, unless its values are to be destroyed.
 */
static RewriteCounts
rewrite_column(RewriteKind kind, TargetColumn *target, const char *function, bool dry_run)
{
	RewriteCounts counts = {0};
	List *members;
	ListCell *cell;
	bool rewritten = false;

	PreventCommandDuringRecovery(function);
	if (!dry_run)
		PreventCommandIfReadOnly(function);
	members = target_open(target, dry_run ? AccessShareLock : AccessExclusiveLock, "rewrite");
	if (kind == REWRITE_DELETE)
	{
		if (target->options.json)
			ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
							errmsg("dbcrypt_delete_column() cannot delete fields of JSON"),
							errhint("Remove them with UPDATE, then run VACUUM FULL.")));
		target->aad = NULL; /* not needed, and not to stand in the way */
	}
	foreach(cell, members)
	{
		Relation rel = lfirst(cell);

		check_rewritable(rel);
		if (kind == REWRITE_ENCRYPT &&
			!(target->scheme && dbcrypt_scheme_traits_of(target->scheme)->deterministic))
			check_unique_indexes(rel, get_attnum(RelationGetRelid(rel), target->name));
	}
	CommandCounterIncrement();
	if (kind == REWRITE_DECRYPT)
		check_decrypt_keys_setting(members, target);

	foreach(cell, members)
	{
		Relation rel = lfirst(cell);
		RewriteCounts before = counts;

		if (dry_run)
			(void) process_rows(kind, rel, target, NULL, false, &counts);
		else if (kind == REWRITE_DELETE || !process_rows(kind, rel, target, NULL, true, &counts))
		{
			counts = before;
			rewrite_relation(kind, rel, target, &counts);
			rewritten = true;
			continue;
		}
		relation_close(rel, NoLock);
	}
	if (dry_run)
		return counts;

	if (rewritten && kind != REWRITE_DECRYPT)
		remove_all_statistics(target);
	SPI_connect();
	if (kind == REWRITE_ENCRYPT)
		column_register(target);
	else
		foreach(cell, column_members(target->relid, NoLock))
			(void) column_unregister(lfirst_oid(cell), get_attnum(lfirst_oid(cell), target->name));
	SPI_finish();
	return counts;
}

/* The arguments "table" and "column" of a call; the third is its caller's. */
static void
target_arguments(FunctionCallInfo fcinfo, TargetColumn *target)
{
	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
						errmsg("table and column must not be null")));
	target->relid = PG_GETARG_OID(0);
	target->name = pstrdup(NameStr(*PG_GETARG_NAME(1)));
}

static bool
dry_run_argument(FunctionCallInfo fcinfo, int n)
{
	if (PG_ARGISNULL(n))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("dry_run must not be null")));
	return PG_GETARG_BOOL(n);
}

static Datum
counts_result(FunctionCallInfo fcinfo, const RewriteCounts *counts)
{
	TupleDesc desc;
	bool nulls[4] = {false};
	Datum values[] = {Int64GetDatum(counts->scanned), Int64GetDatum(counts->changed),
					  Int64GetDatum(counts->kept), Int64GetDatum(counts->nulls)};

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls));
}

/* dbcrypt_encrypt_column("table" regclass, "column" name, aad text, dry_run boolean) */
Datum
dbcrypt_encrypt_column(PG_FUNCTION_ARGS)
{
	TargetColumn target = {0};
	RewriteCounts counts;

	target_arguments(fcinfo, &target);
	target.aad = PG_ARGISNULL(2) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(2));
	counts = rewrite_column(REWRITE_ENCRYPT, &target, "dbcrypt_encrypt_column()",
							dry_run_argument(fcinfo, 3));
	return counts_result(fcinfo, &counts);
}

/* dbcrypt_decrypt_column("table" regclass, "column" name, dry_run boolean) */
Datum
dbcrypt_decrypt_column(PG_FUNCTION_ARGS)
{
	TargetColumn target = {0};
	RewriteCounts counts;

	target_arguments(fcinfo, &target);
	counts = rewrite_column(REWRITE_DECRYPT, &target, "dbcrypt_decrypt_column()",
							dry_run_argument(fcinfo, 2));
	return counts_result(fcinfo, &counts);
}

/* dbcrypt_delete_column("table" regclass, "column" name, confirm text) */
Datum
dbcrypt_delete_column(PG_FUNCTION_ARGS)
{
	TargetColumn target = {0};
	RewriteCounts counts;
	char *confirm = PG_ARGISNULL(2) ? "" : text_to_cstring(PG_GETARG_TEXT_PP(2));
	char *schema;
	char *table;
	char *plain;

	target_arguments(fcinfo, &target);
	column_check_owner(target.relid);
	table = get_rel_name(target.relid);
	schema = get_namespace_name(get_rel_namespace(target.relid));
	plain = psprintf("%s.%s.%s", schema, table, target.name);
	if (strcmp(confirm, plain) != 0 &&
		strcmp(confirm, psprintf("%s.%s", quote_qualified_identifier(schema, table),
								 quote_identifier(target.name))) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("confirm must be \"%s\"", plain),
				 errdetail("The values of the column are destroyed for good.")));

	counts = rewrite_column(REWRITE_DELETE, &target, "dbcrypt_delete_column()", false);
	PG_RETURN_INT64(counts.changed);
}
