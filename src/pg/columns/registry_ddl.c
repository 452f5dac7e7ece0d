/*
 * registry_ddl.c
 *		The event trigger that keeps dbcrypt_columns in step with DDL.
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "commands/event_trigger.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "tcop/deparse_utility.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

#include "columns/members.h"
#include "columns/registry.h"
#include "support/arguments.h"
#include "support/catalog.h"
#include "support/run_as.h"

PG_FUNCTION_INFO_V1(dbcrypt_columns_follow);

PG_FUNCTION_INFO_V1(dbcrypt_columns_prepare);

/* Whether the registry has a row for the column. */
static bool
is_listed(const List *registry, Oid relid, AttrNumber attnum)
{
	ListCell *cell;

	foreach(cell, registry)
	{
		const RegistryRow *row = lfirst(cell);

		if (row->column.relid == relid && row->column.attnum == attnum)
			return true;
	}
	return false;
}

/* Registers a column as another one is. */
static void
copy_row(const RegistryRow *row, Oid relid)
{
	Oid types[] = {NAMEOID, NAMEOID, NAMEOID, NAMEOID, NAMEOID};
	Datum values[] = {name_datum(row->schema), name_datum(row->table), name_datum(row->name),
					  name_datum(get_namespace_name(get_rel_namespace(relid))),
					  name_datum(get_rel_name(relid))};

	(void) catalog_execute(
		psprintf("INSERT INTO %1$s (\"schema\", \"table\", \"column\", aad, scheme, options, "
				 "registered_by) "
				 "SELECT $4, $5, \"column\", aad, scheme, options, registered_by FROM %1$s "
				 "WHERE \"schema\" = $1 AND \"table\" = $2 AND \"column\" = $3 "
				 "ON CONFLICT DO NOTHING",
				 catalog_relation_name("dbcrypt_columns")),
		lengthof(types), types, values, NULL, SPI_OK_INSERT);
}

/* Whether a row has an expression, which someone's role runs. */
static bool
has_expression(const RegistryRow *row)
{
	Oid types[] = {NAMEOID, NAMEOID, NAMEOID};
	Datum values[] = {name_datum(row->schema), name_datum(row->table), name_datum(row->name)};

	return catalog_execute(psprintf("SELECT FROM %s WHERE \"schema\" = $1 AND \"table\" = $2 "
									"AND \"column\" = $3 AND (aad IS NOT NULL OR options <> '{}')",
									catalog_relation_name("dbcrypt_columns")),
						   lengthof(types), types, values, NULL, SPI_OK_SELECT) > 0;
}

/*
 * Registers a relation's column that until now was covered by the registration of its
 * parent. Refuses this if they have different owners and the registration has an
 * expression: it would run as a role that did not write it.
 */
static void
copy_registration(const List *registry, const RegistryRow *row, Oid relid)
{
	char relkind = get_rel_relkind(relid);
	Oid parent = row->hint_relid;

	if ((relkind != RELKIND_RELATION && relkind != RELKIND_PARTITIONED_TABLE) ||
		get_rel_persistence(relid) == RELPERSISTENCE_TEMP ||
		is_listed(registry, relid, get_attnum(relid, row->name)))
		return;
	if (owner_of(relid) != owner_of(parent) && has_expression(row))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("column \"%s\" of table \"%s\" cannot inherit the registration of "
						"table \"%s\"",
						row->name, get_rel_name(relid), get_rel_name(parent)),
				 errdetail("The tables have different owners, and the registered expressions "
						   "would run as the owner of \"%s\".",
						   get_rel_name(relid)),
				 errhint("Have that owner call dbcrypt_register_column() first, or give both "
						 "tables the same owner.")));
	copy_row(row, relid);
}

/*
 * A child has left its parent: its columns that the parent's registration covered are
 * registered, so that a revocation still looks at their values. Throws if the child
 * is not known (InvalidOid).
 */
static void
register_detached(Oid parent, Oid child)
{
	List *registry = registry_rows(false);
	ListCell *cell;

	foreach(cell, registry)
	{
		RegistryRow *row = lfirst(cell);

		if (!row->hint_lives || !list_member_oid(column_members(row->hint_relid, NoLock), parent))
			continue;
		if (!OidIsValid(child))
			ereport(ERROR, (errcode(ERRCODE_OBJECT_IN_USE),
							errmsg("a partition of table \"%s\" was renamed while it was detached",
								   get_rel_name(parent)),
							errhint("Run ALTER TABLE ... DETACH PARTITION ... FINALIZE.")));
		copy_registration(registry, row, child);
	}
}

/* Finds the children that the current DDL command has detached, and registers their columns. */
static void
follow_detached(void)
{
	SPITupleTable *commands;

	if (SPI_execute("SELECT command FROM pg_catalog.pg_event_trigger_ddl_commands()", false, 0) !=
		SPI_OK_SELECT)
		elog(ERROR, "could not read the commands of an event trigger");
	commands = SPI_tuptable;
	for (uint64 i = 0; i < commands->numvals; i++)
	{
		bool isnull;
		CollectedCommand *command = (CollectedCommand *) DatumGetPointer(
			SPI_getbinval(commands->vals[i], commands->tupdesc, 1, &isnull));
		Oid altered;
		ListCell *cell;

		if (command->type != SCT_AlterTable)
			continue;
		altered = command->d.alterTable.objectId;
		foreach(cell, command->d.alterTable.subcmds)
		{
			CollectedATSubcmd *collected = lfirst(cell);
			AlterTableCmd *subcommand = castNode(AlterTableCmd, collected->parsetree);

			switch (subcommand->subtype)
			{
				case AT_DetachPartition:
				case AT_DetachPartitionFinalize:
					/* PostgreSQL collects no OID of it. */
					register_detached(
						altered, RangeVarGetRelid(castNode(PartitionCmd, subcommand->def)->name,
												  NoLock, true));
					break;
				case AT_DropInherit:
					register_detached(collected->address.objectId, altered);
					break;
				default:
					break;
			}
		}
	}
}

/* A column was dropped from its table alone (ALTER TABLE ONLY): registers its children's. */
static void
keep_children(const List *registry, const RegistryRow *row)
{
	ListCell *cell;

	if (!SearchSysCacheExists1(RELOID, ObjectIdGetDatum(row->hint_relid)))
		return;
	foreach(cell, column_members(row->hint_relid, NoLock))
		if (lfirst_oid(cell) != row->hint_relid && get_attnum(lfirst_oid(cell), row->name) > 0)
			copy_registration(registry, row, lfirst_oid(cell));
}

/*
 * Unregisters the columns that the current command has dropped. Those whose names
 * lead to a new column of the same command too: it holds none of their values.
 */
static void
follow_drops(void)
{
	List *registry = registry_rows(false);
	SPITupleTable *dropped;
	uint64 ndropped;

	if (SPI_execute("SELECT objid, objsubid FROM pg_catalog.pg_event_trigger_dropped_objects() "
					"WHERE classid OPERATOR(pg_catalog.=) "
					"'pg_catalog.pg_class'::pg_catalog.regclass",
					false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read the dropped objects of an event trigger");
	dropped = SPI_tuptable;
	ndropped = SPI_processed;
	for (uint64 i = 0; i < ndropped; i++)
	{
		bool isnull;
		Oid relid = DatumGetObjectId(SPI_getbinval(dropped->vals[i], dropped->tupdesc, 1, &isnull));
		int attnum = DatumGetInt32(SPI_getbinval(dropped->vals[i], dropped->tupdesc, 2, &isnull));
		ListCell *cell;

		foreach(cell, registry)
		{
			RegistryRow *row = lfirst(cell);

			if (!row->bound || row->hint_relid != relid ||
				(attnum != 0 && row->hint_attnum != attnum))
				continue;
			keep_children(registry, row);
			registry_delete(row);
		}
	}
}

/* Writes the names that the row's column has now. */
static void
rename_row(const RegistryRow *row)
{
	Oid types[] = {NAMEOID, NAMEOID, NAMEOID, NAMEOID, NAMEOID, NAMEOID};
	Oid relid = row->hint_relid;
	Datum values[] = {
		name_datum(row->schema),		 name_datum(row->table),
		name_datum(row->name),			 name_datum(get_namespace_name(get_rel_namespace(relid))),
		name_datum(get_rel_name(relid)), name_datum(get_attname(relid, row->hint_attnum, false))};

	(void) catalog_execute(
		psprintf("UPDATE %s SET \"schema\" = $4, \"table\" = $5, \"column\" = $6 "
				 "WHERE \"schema\" = $1 AND \"table\" = $2 AND \"column\" = $3",
				 catalog_relation_name("dbcrypt_columns")),
		lengthof(types), types, values, NULL, SPI_OK_UPDATE);
}

/* A row by its names, as one string that no other row has. */
static char *
spell_row(const RegistryRow *row)
{
	return quote_qualified_identifier(
		psprintf("%s.%s", quote_identifier(row->schema), quote_identifier(row->table)), row->name);
}

/*
 * The rows that had a problem before the current command, in TopMemoryContext. The
 * command did not rename their columns; who mends them must look at them.
 */
static List *odd_rows = NIL;

/* Notes which rows have a problem. */
static void
note_odd_rows(const List *registry)
{
	MemoryContext saved = MemoryContextSwitchTo(TopMemoryContext);
	ListCell *cell;

	list_free_deep(odd_rows);
	odd_rows = NIL;
	foreach(cell, registry)
	{
		const RegistryRow *row = lfirst(cell);

		if (row->column.problem)
			odd_rows = lappend(odd_rows, pstrdup(spell_row(row)));
	}
	MemoryContextSwitchTo(saved);
}

/* Whether the row had a problem before the current command. */
static bool
was_odd(const RegistryRow *row)
{
	const char *name = spell_row(row);
	ListCell *cell;

	foreach(cell, odd_rows)
		if (strcmp(lfirst(cell), name) == 0)
			return true;
	return false;
}

/* Follows what the current command has renamed. */
static void
follow_renames(void)
{
	ListCell *cell;

	foreach(cell, registry_rows(false))
	{
		RegistryRow *row = lfirst(cell);

		if (row->hint_lives && row->column.problem && !was_odd(row))
			rename_row(row);
	}
}

/* Refuses a call that no event trigger makes. */
static EventTriggerData *
event_of(FunctionCallInfo fcinfo, const char *function)
{
	if (!CALLED_AS_EVENT_TRIGGER(fcinfo))
		ereport(ERROR, (errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
						errmsg("%s must be called as an event trigger", function)));
	return castNode(EventTriggerData, fcinfo->context);
}

/*
 * Adds the hint to rows that have none for this database: after the command, their
 * names may lead nowhere. Waits for nobody: who has such a row locked does the same.
 */
static void
bind_rows(const List *registry)
{
	ListCell *cell;

	foreach(cell, registry)
	{
		const RegistryRow *row = lfirst(cell);
		Oid types[] = {NAMEOID, NAMEOID, NAMEOID};
		Datum values[] = {name_datum(row->schema), name_datum(row->table), name_datum(row->name)};

		if (row->hint_lives || row->column.problem)
			continue;
		(void) catalog_execute(
			psprintf("UPDATE %1$s SET \"column\" = \"column\" WHERE ctid = "
					 "(SELECT ctid FROM %1$s WHERE \"schema\" = $1 AND \"table\" = $2 "
					 "AND \"column\" = $3 FOR UPDATE SKIP LOCKED)",
					 catalog_relation_name("dbcrypt_columns")),
			lengthof(types), types, values, NULL, SPI_OK_UPDATE);
	}
}

/* Event trigger before DDL. */
Datum
dbcrypt_columns_prepare(PG_FUNCTION_ARGS)
{
	List *registry;

	(void) event_of(fcinfo, "dbcrypt_columns_prepare");
	SPI_connect();
	registry = registry_rows(false);
	note_odd_rows(registry);
	bind_rows(registry);
	SPI_finish();
	PG_RETURN_NULL();
}

/*
 * Event trigger after DDL: updates dbcrypt_columns after renames, after drops, and when
 * children leave their parents.
 */
Datum
dbcrypt_columns_follow(PG_FUNCTION_ARGS)
{
	EventTriggerData *data = event_of(fcinfo, "dbcrypt_columns_follow");

	SPI_connect();
	if (strcmp(data->event, "sql_drop") == 0)
		follow_drops();
	else
	{
		follow_renames();
		follow_detached();
	}
	SPI_finish();
	PG_RETURN_NULL();
}
