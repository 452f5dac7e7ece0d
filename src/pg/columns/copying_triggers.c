/*
 * copying_triggers.c
 *		Triggers by which other programs copy a table: pg_repack, online schema
 *		changes, replication by trigger.
 *
 * dbcrypt changes values below the executor, and no trigger fires. A copy that is
 * kept up to date by triggers keeps the old values, and takes the table's place.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/dependency.h"
#include "catalog/partition.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_trigger.h"
#include "commands/extension.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "columns/copying_triggers.h"
#include "columns/members.h"
#include "columns/registry.h"
#include "columns/target.h"
#include "support/arguments.h"
#include "support/string_list.h"

PG_FUNCTION_INFO_V1(dbcrypt_ignore_triggers);

/* Does something about a trigger of a relation that is told of changed rows. */
typedef void (*TriggerVisitor)(void *arg, Oid relid, Form_pg_trigger trigger);

/*
 * Whether a trigger is told of the rows that an UPDATE has changed: of each, or of all
 * together in a transition table.
 */
static bool
follows_updates(HeapTuple row, TupleDesc desc)
{
	Form_pg_trigger trigger = (Form_pg_trigger) GETSTRUCT(row);

	return !trigger->tgisinternal && TRIGGER_FOR_AFTER(trigger->tgtype) &&
		   TRIGGER_FOR_UPDATE(trigger->tgtype) &&
		   (TRIGGER_FOR_ROW(trigger->tgtype) ||
			!heap_attisnull(row, Anum_pg_trigger_tgoldtable, desc) ||
			!heap_attisnull(row, Anum_pg_trigger_tgnewtable, desc));
}

/* Visits the triggers of a relation that are told of changed rows. Locks nothing. */
static void
visit_followers(Oid relid, TriggerVisitor visit, void *arg)
{
	Relation catalog = table_open(TriggerRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple row;

	ScanKeyInit(&key, Anum_pg_trigger_tgrelid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(relid));
	scan = systable_beginscan(catalog, TriggerRelidNameIndexId, true, NULL, 1, &key);
	while (HeapTupleIsValid(row = systable_getnext(scan)))
		if (follows_updates(row, RelationGetDescr(catalog)))
			visit(arg, relid, (Form_pg_trigger) GETSTRUCT(row));
	systable_endscan(scan);
	table_close(catalog, AccessShareLock);
}

/* Name of the extension that a trigger's function belongs to; NULL for none. */
static char *
extension_of(Form_pg_trigger trigger)
{
	Oid extension = getExtensionOfObject(ProcedureRelationId, trigger->tgfoid);

	return OidIsValid(extension) ? get_extension_name(extension) : NULL;
}

/* Refuses an enabled trigger that the target, a TargetColumn, does not accept. */
static void
refuse_trigger(void *arg, Oid relid, Form_pg_trigger trigger)
{
	const TargetColumn *target = arg;
	char *extension;

	if (trigger->tgenabled == TRIGGER_DISABLED ||
		string_list_has(target->options.ignore_triggers, NameStr(trigger->tgname)))
		return;
	extension = extension_of(trigger);
	if (extension && strcmp(extension, "dbcrypt") == 0)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("trigger \"%s\" of table \"%s\" may copy rows", NameStr(trigger->tgname),
					get_rel_name(relid)),
			 errdetail("It does not fire for what dbcrypt writes: a copy that it keeps would "
					   "bring back the old values of column \"%s\".",
					   target->name),
			 extension ? errhint("Wait until %s has finished with the table, or drop the trigger "
								 "if a crash has left it behind.",
								 extension)
					   : errhint("Wait until the copy has been made, or accept the trigger with "
								 "dbcrypt_ignore_triggers() if no copy of it takes the place of "
								 "the table.")));
}

void
copying_trigger_check(Relation rel, const TargetColumn *target)
{
	TargetColumn *arg = unconstify(TargetColumn *, target);
	ListCell *cell;

	visit_followers(RelationGetRelid(rel), refuse_trigger, arg);
	/* Those for each row have clones on partitions; those with transition tables have none. */
	if (!rel->rd_rel->relispartition)
		return;
	foreach(cell, get_partition_ancestors(RelationGetRelid(rel)))
		visit_followers(lfirst_oid(cell), refuse_trigger, arg);
}

/* A trigger that is looked for by name. */
typedef struct WantedTrigger
{
	const char *name;
	bool found;
} WantedTrigger;

/* Notes whether it is there. */
static void
find_trigger(void *arg, Oid relid, Form_pg_trigger trigger)
{
	WantedTrigger *wanted = arg;

	wanted->found |= strcmp(NameStr(trigger->tgname), wanted->name) == 0;
}

/* Whether one of some relations has a trigger of that name to accept. */
static bool
has_trigger(const List *relids, const char *name)
{
	WantedTrigger wanted = {.name = name};
	ListCell *cell;

	foreach(cell, relids)
		visit_followers(lfirst_oid(cell), find_trigger, &wanted);
	return wanted.found;
}

/* The names in an array of text; refuses one that is no trigger to accept. */
static List *
read_triggers(Oid relid, ArrayType *array)
{
	List *relids =
		list_concat(column_lock_members(relid, AccessShareLock), get_partition_ancestors(relid));
	List *names = NIL;
	Datum *elements;
	bool *nulls;
	int n;

	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &elements, &nulls, &n);
	for (int i = 0; i < n; i++)
	{
		char *name = nulls[i] ? NULL : TextDatumGetCString(elements[i]);

		if (name == NULL || !has_trigger(relids, name))
			ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
							errmsg("table \"%s\" has no AFTER UPDATE trigger \"%s\" that sees rows",
								   get_rel_name(relid), name ? name : "NULL")));
		names = lappend(names, name);
	}
	return names;
}

/*
 * dbcrypt_ignore_triggers("table" regclass, "column" name, triggers text[]): from now
 * on these triggers, and no others, are accepted on the table of a registered column.
 */
Datum
dbcrypt_ignore_triggers(PG_FUNCTION_ARGS)
{
	static const char *const names[] = {"table", "column", "triggers"};
	TargetColumn *registered;
	TargetColumn target;
	List *triggers;

	arguments_refuse_null(fcinfo, names, lengthof(names));
	target = target_from_arguments(fcinfo);
	column_check_owner(target.relid);
	triggers = read_triggers(target.relid, PG_GETARG_ARRAYTYPE_P(2));
	column_check_owner(target.relid);
	registered = column_registered(target.relid, get_attnum(target.relid, target.name));
	if (registered == NULL)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
						errmsg("column \"%s\" of table \"%s\" is not registered", target.name,
							   get_rel_name(target.relid)),
						errhint("Register it with dbcrypt_register_column(); for a partition, name "
								"the table whose column is registered.")));
	registered->options.ignore_triggers = triggers;
	SPI_connect();
	column_set_options(registered, &registered->options);
	SPI_finish();
	PG_RETURN_VOID();
}
