/*
 * registry_ddl.c
 *		The event triggers that keep dbcrypt_columns in step with DDL.
 *
 * Before a command, they note which column each row means; after it, they write what
 * that column is called now. They lock the registry after the command has locked its
 * tables, as everybody does.
 */
#include "postgres.h"

#include "access/xact.h"
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
#include "columns/registry_guard.h"
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

/* Registers a column of another table as the row's column is. */
static void
copy_row(const RegistryRow *row, Oid relid, const char *column)
{
	Oid types[] = {NAMEOID, NAMEOID, NAMEOID, NAMEOID, NAMEOID, NAMEOID};
	Datum values[] = {
		name_datum(row->schema),		 name_datum(row->table),
		name_datum(row->name),			 name_datum(get_namespace_name(get_rel_namespace(relid))),
		name_datum(get_rel_name(relid)), name_datum(column)};

	(void) catalog_execute(
		psprintf("INSERT INTO %1$s (\"schema\", \"table\", \"column\", aad, scheme, options, "
				 "registered_by) "
				 "SELECT $4, $5, $6, aad, scheme, options, registered_by FROM %1$s "
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
 * Registers a relation's column as the row's column is: a child that the registration
 * of its parent covered, or a table that has taken a name. False if there is nothing to
 * register. Refuses this if they have different owners and the registration has an
 * expression: it would run as a role that did not write it.
 */
static bool
copy_registration(const List *registry, const RegistryRow *row, Oid relid, const char *column)
{
	char relkind = get_rel_relkind(relid);
	Oid registered = row->column.relid;

	if ((relkind != RELKIND_RELATION && relkind != RELKIND_PARTITIONED_TABLE) ||
		get_rel_persistence(relid) == RELPERSISTENCE_TEMP || get_attnum(relid, column) <= 0 ||
		is_listed(registry, relid, get_attnum(relid, column)))
		return false;
	if (owner_of(relid) != owner_of(registered) && has_expression(row))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("column \"%s\" of table \"%s\" cannot inherit the registration of "
						"table \"%s\"",
						column, get_rel_name(relid), get_rel_name(registered)),
				 errdetail("The tables have different owners, and the registered expressions "
						   "would run as the owner of \"%s\".",
						   get_rel_name(relid)),
				 errhint("Have that owner call dbcrypt_register_column() first, or give both "
						 "tables the same owner.")));
	copy_row(row, relid, column);
	return true;
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

		if (row->column.problem ||
			!list_member_oid(column_members(row->column.relid, NoLock), parent))
			continue;
		if (!OidIsValid(child))
			ereport(ERROR, (errcode(ERRCODE_OBJECT_IN_USE),
							errmsg("a partition of table \"%s\" was renamed while it was detached",
								   get_rel_name(parent)),
							errhint("Run ALTER TABLE ... DETACH PARTITION ... FINALIZE.")));
		(void) copy_registration(registry, row, child, row->name);
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

/*
 * The registry as it was before the current command, in a memory context of its own
 * that the next command resets.
 */
static MemoryContext noted_context = NULL;
static List *noted = NIL;

/* Notes the registry. */
static void
note_registry(void)
{
	MemoryContext saved;

	noted = NIL;
	if (noted_context == NULL)
		noted_context =
			AllocSetContextCreate(TopMemoryContext, "dbcrypt registry", ALLOCSET_SMALL_SIZES);
	MemoryContextReset(noted_context);
	saved = MemoryContextSwitchTo(noted_context);
	noted = registry_rows(false);
	MemoryContextSwitchTo(saved);
}

/*
 * The same row before the current command. One that was not there then has been
 * committed while the command waited for its lock: its hint says what it meant.
 */
static RegistryRow *
row_before(const RegistryRow *row)
{
	RegistryRow *added;
	ListCell *cell;

	foreach(cell, noted)
	{
		RegistryRow *before = lfirst(cell);

		if (strcmp(before->schema, row->schema) == 0 && strcmp(before->table, row->table) == 0 &&
			strcmp(before->name, row->name) == 0)
			return before;
	}
	added = palloc(sizeof(RegistryRow));
	*added = *row;
	if (row->bound)
	{
		added->column.relid = row->hint_relid;
		added->column.attnum = row->hint_attnum;
		added->column.problem = NULL;
	}
	return added;
}

/* A column was dropped from its table alone (ALTER TABLE ONLY): registers its children's. */
static void
keep_children(const List *registry, const RegistryRow *before)
{
	ListCell *cell;

	if (!SearchSysCacheExists1(RELOID, ObjectIdGetDatum(before->column.relid)))
		return;
	foreach(cell, column_members(before->column.relid, NoLock))
		if (lfirst_oid(cell) != before->column.relid)
			(void) copy_registration(registry, before, lfirst_oid(cell), before->name);
}

/* Unregisters what was dropped: a column, or with number 0 all of a relation. */
static void
unregister_dropped(Oid relid, AttrNumber attnum)
{
	List *registry = registry_rows(false);
	ListCell *cell;

	foreach(cell, registry)
	{
		const RegistryRow *row = lfirst(cell);
		const RegistryRow *before = row_before(row);

		if (before->column.relid != relid ||
			(attnum != InvalidAttrNumber && before->column.attnum != attnum) ||
			(before->column.problem && before->named_attnum != InvalidAttrNumber &&
			 before->named_relid != relid))
			continue;
		keep_children(registry, before);
		registry_delete(row);
	}
}

/* The relation of a dropped object. */
static Oid
dropped_relation(SPITupleTable *dropped, uint64 i)
{
	bool isnull;

	return DatumGetObjectId(SPI_getbinval(dropped->vals[i], dropped->tupdesc, 1, &isnull));
}

/* The number of a dropped column, 0 for all of a relation. */
static AttrNumber
dropped_column(SPITupleTable *dropped, uint64 i)
{
	bool isnull;

	return (AttrNumber) DatumGetInt32(
		SPI_getbinval(dropped->vals[i], dropped->tupdesc, 2, &isnull));
}

/*
 * Unregisters the columns that the current command has dropped, also those whose names
 * lead to a new column of the same command: it holds none of their values. Then refuses
 * what DROP ... CASCADE has dropped and another registered column needs.
 */
static void
follow_drops(void)
{
	SPITupleTable *dropped;
	uint64 ndropped;

	if (SPI_execute("SELECT objid, objsubid, address_names[3] "
					"FROM pg_catalog.pg_event_trigger_dropped_objects() "
					"WHERE classid OPERATOR(pg_catalog.=) "
					"'pg_catalog.pg_class'::pg_catalog.regclass",
					false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read the dropped objects of an event trigger");
	dropped = SPI_tuptable;
	ndropped = SPI_processed;
	for (uint64 i = 0; i < ndropped; i++)
		unregister_dropped(dropped_relation(dropped, i), dropped_column(dropped, i));
	for (uint64 i = 0; i < ndropped; i++)
		if (dropped_column(dropped, i) > 0)
			registry_guard_dropped(dropped_relation(dropped, i),
								   SPI_getvalue(dropped->vals[i], dropped->tupdesc, 3));
}

/* A registered column whose table has lost its name in this transaction. */
typedef struct MovedColumn
{
	TransactionId xid;
	Oid relid;
	AttrNumber attnum;
	NameData schema; /* its names before */
	NameData table;
	NameData column;
} MovedColumn;

/* In TopMemoryContext; those of other transactions count for nothing. */
static List *moved = NIL;

/* Notes that the row's table loses its name. */
static void
note_moved(const RegistryRow *before)
{
	MemoryContext saved = MemoryContextSwitchTo(TopMemoryContext);
	MovedColumn *column = palloc(sizeof(MovedColumn));

	column->xid = GetTopTransactionId();
	column->relid = before->column.relid;
	column->attnum = before->column.attnum;
	namestrcpy(&column->schema, before->schema);
	namestrcpy(&column->table, before->table);
	namestrcpy(&column->column, before->name);
	if (moved && ((MovedColumn *) linitial(moved))->xid != column->xid)
	{
		list_free_deep(moved);
		moved = NIL;
	}
	moved = lappend(moved, column);
	MemoryContextSwitchTo(saved);
}

/* The relation that has the name now, if it is another one and still without registration. */
static void
register_successor(const MovedColumn *column)
{
	Oid schema = get_namespace_oid(NameStr(column->schema), true);
	Oid relid = OidIsValid(schema) ? get_relname_relid(NameStr(column->table), schema) : InvalidOid;
	List *registry;
	ListCell *cell;

	if (!OidIsValid(relid) || relid == column->relid)
		return;
	registry = registry_rows(false);
	foreach(cell, registry)
	{
		const RegistryRow *row = lfirst(cell);

		if (row->column.problem == NULL && row->column.relid == column->relid &&
			row->column.attnum == column->attnum &&
			copy_registration(registry, row, relid, NameStr(column->column)))
			ereport(WARNING,
					(errmsg("table \"%s\" has taken the name of a table with registered column "
							"\"%s\"",
							NameStr(column->table), NameStr(column->column)),
					 errdetail("The column is registered in both tables now; the other one is "
							   "\"%s.%s\".",
							   row->schema, row->table),
					 errhint("Call dbcrypt_unregister_column() for the one that holds no encrypted "
							 "values.")));
	}
}

/* One transaction renames a table away and gives its name to another: registers both. */
static void
follow_swaps(void)
{
	ListCell *cell;

	if (moved == NIL || ((MovedColumn *) linitial(moved))->xid != GetTopTransactionIdIfAny())
		return;
	foreach(cell, moved)
	{
		register_successor(lfirst(cell));
	}
}

/* Writes the names that a row's column has now, if it is there and they differ. */
static void
rename_row(const RegistryRow *row, const RegistryRow *before)
{
	Oid types[] = {NAMEOID, NAMEOID, NAMEOID, NAMEOID, NAMEOID, NAMEOID};
	Oid relid = before->column.relid;
	char *column = get_attname(relid, before->column.attnum, true);
	char *schema;
	char *table;
	Datum values[6];

	if (column == NULL)
		return;
	schema = get_namespace_name(get_rel_namespace(relid));
	table = get_rel_name(relid);
	if (strcmp(row->schema, schema) == 0 && strcmp(row->table, table) == 0 &&
		strcmp(row->name, column) == 0)
		return;
	if (strcmp(row->schema, schema) != 0 || strcmp(row->table, table) != 0)
		note_moved(before);
	values[0] = name_datum(row->schema);
	values[1] = name_datum(row->table);
	values[2] = name_datum(row->name);
	values[3] = name_datum(schema);
	values[4] = name_datum(table);
	values[5] = name_datum(column);
	(void) catalog_execute(
		psprintf("UPDATE %s SET \"schema\" = $4, \"table\" = $5, \"column\" = $6 "
				 "WHERE \"schema\" = $1 AND \"table\" = $2 AND \"column\" = $3",
				 catalog_relation_name("dbcrypt_columns")),
		lengthof(types), types, values, NULL, SPI_OK_UPDATE);
}

/*
 * Follows what the current command has renamed. A row that had a problem before is left
 * alone: who mends it must look at it.
 */
static void
follow_renames(void)
{
	ListCell *cell;

	foreach(cell, registry_rows(false))
	{
		const RegistryRow *before = row_before(lfirst(cell));

		if (before->column.problem == NULL)
			rename_row(lfirst(cell), before);
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

/* Event trigger before DDL: refuses what would make values unreadable. */
Datum
dbcrypt_columns_prepare(PG_FUNCTION_ARGS)
{
	EventTriggerData *data = event_of(fcinfo, "dbcrypt_columns_prepare");

	registry_guard_states(data->parsetree);
	note_registry();
	if (noted)
		registry_guard(data->parsetree);
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
	else if (IsA(data->parsetree, CreateStmt) || IsA(data->parsetree, CreateTableAsStmt))
		follow_swaps();
	else
	{
		follow_renames();
		follow_swaps();
		follow_detached();
	}
	SPI_finish();
	PG_RETURN_NULL();
}
