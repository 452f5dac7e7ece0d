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
#include "utils/syscache.h"

#include "columns/members.h"
#include "columns/registry.h"
#include "columns/target.h"
#include "support/arguments.h"
#include "support/catalog.h"
#include "support/run_as.h"

PG_FUNCTION_INFO_V1(dbcrypt_columns_follow);

/* Whether the registry has a row for the column. */
static bool
is_listed(const List *registry, Oid relid, AttrNumber attnum)
{
	ListCell *cell;

	foreach(cell, registry)
	{
		const TargetColumn *target = lfirst(cell);

		if (target->relid == relid && target->attnum == attnum)
			return true;
	}
	return false;
}

/*
 * Registers a relation's column that until now was covered by the registration of its
 * parent. Refuses this if they have different owners and the registration has an
 * expression: it would run as a role that did not write it.
 */
static void
copy_registration(const List *registry, const TargetColumn *target, Oid relid)
{
	Oid types[] = {REGCLASSOID, INT2OID, REGCLASSOID};
	Datum values[3];
	char relkind = get_rel_relkind(relid);
	const char *columns = catalog_relation_name("dbcrypt_columns");

	if ((relkind != RELKIND_RELATION && relkind != RELKIND_PARTITIONED_TABLE) ||
		get_rel_persistence(relid) == RELPERSISTENCE_TEMP ||
		is_listed(registry, relid, get_attnum(relid, target->registered_name)))
		return;
	values[0] = ObjectIdGetDatum(target->relid);
	values[1] = Int16GetDatum(target->attnum);
	values[2] = ObjectIdGetDatum(relid);
	if (owner_of(relid) != owner_of(target->relid) &&
		catalog_execute(psprintf("SELECT FROM %s WHERE \"table\" = $1 AND attnum = $2 "
								 "AND (aad IS NOT NULL OR options <> '{}')",
								 columns),
						2, types, values, NULL, SPI_OK_SELECT) > 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("column \"%s\" of table \"%s\" cannot inherit the registration of "
						"table \"%s\"",
						target->registered_name, get_rel_name(relid), get_rel_name(target->relid)),
				 errdetail("The tables have different owners, and the registered expressions "
						   "would run as the owner of \"%s\".",
						   get_rel_name(relid)),
				 errhint("Have that owner call dbcrypt_register_column() first, or give both "
						 "tables the same owner.")));
	(void) catalog_execute(
		psprintf("INSERT INTO %1$s (\"table\", \"column\", aad, scheme, options) "
				 "SELECT $3, \"column\", aad, scheme, options FROM %1$s "
				 "WHERE \"table\" = $1 AND attnum = $2 ON CONFLICT DO NOTHING",
				 columns),
		3, types, values, NULL, SPI_OK_INSERT);
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
		TargetColumn *target = lfirst(cell);

		if (target->name == NULL || !list_member_oid(column_members(target->relid, NoLock), parent))
			continue;
		if (!OidIsValid(child))
			ereport(ERROR, (errcode(ERRCODE_OBJECT_IN_USE),
							errmsg("a partition of table \"%s\" was renamed while it was detached",
								   get_rel_name(parent)),
							errhint("Run ALTER TABLE ... DETACH PARTITION ... FINALIZE.")));
		copy_registration(registry, target, child);
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
keep_children(const List *registry, const TargetColumn *target)
{
	ListCell *cell;

	if (!SearchSysCacheExists1(RELOID, ObjectIdGetDatum(target->relid)))
		return;
	foreach(cell, column_members(target->relid, NoLock))
		if (get_attnum(lfirst_oid(cell), target->registered_name) > 0)
			copy_registration(registry, target, lfirst_oid(cell));
}

/*
 * Event trigger after DDL: updates dbcrypt_columns after renames, after drops, and when
 * children leave their parents.
 */
Datum
dbcrypt_columns_follow(PG_FUNCTION_ARGS)
{
	List *registry;
	ListCell *cell;

	if (!CALLED_AS_EVENT_TRIGGER(fcinfo))
		ereport(ERROR, (errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
						errmsg("dbcrypt_columns_follow must be called as an event trigger")));

	SPI_connect();
	registry = registry_rows(false);
	foreach(cell, registry)
	{
		TargetColumn *target = lfirst(cell);
		Oid types[] = {REGCLASSOID, INT2OID, NAMEOID};
		Datum values[3];

		values[0] = ObjectIdGetDatum(target->relid);
		values[1] = Int16GetDatum(target->attnum);
		if (target->name == NULL)
		{
			keep_children(registry, target);
			(void) column_unregister(target->relid, target->attnum);
		}
		else if (strcmp(target->name, target->registered_name) != 0)
		{
			values[2] = name_datum(target->name);
			(void) catalog_execute(psprintf("UPDATE %s SET \"column\" = $3 "
											"WHERE \"table\" = $1 AND attnum = $2",
											catalog_relation_name("dbcrypt_columns")),
								   3, types, values, NULL, SPI_OK_UPDATE);
		}
	}
	if (strcmp(castNode(EventTriggerData, fcinfo->context)->event, "ddl_command_end") == 0)
		follow_detached();
	SPI_finish();
	PG_RETURN_NULL();
}
