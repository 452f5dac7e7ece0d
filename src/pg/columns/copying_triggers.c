/*
 * copying_triggers.c
 *		Triggers by which other programs copy a table: pg_repack, online schema
 *		changes, replication by trigger.
 *
 * dbcrypt changes values below the executor, and no trigger fires. A copy that is
 * kept up to date by triggers keeps the old values, and takes the table's place.
 */
#include "postgres.h"

#include "access/relation.h"
#include "catalog/dependency.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_trigger.h"
#include "commands/extension.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/reltrigger.h"

#include "columns/copying_triggers.h"
#include "columns/members.h"
#include "columns/registry.h"
#include "columns/target.h"
#include "support/arguments.h"
#include "support/string_list.h"

PG_FUNCTION_INFO_V1(dbcrypt_ignore_triggers);

/* Name of the extension that a trigger's function belongs to; NULL for none. */
static char *
extension_of(const Trigger *trigger)
{
	Oid extension = getExtensionOfObject(ProcedureRelationId, trigger->tgfoid);

	return OidIsValid(extension) ? get_extension_name(extension) : NULL;
}

/* Whether a trigger is told of each row that an UPDATE has changed. */
static bool
follows_updates(const Trigger *trigger)
{
	return !trigger->tgisinternal && TRIGGER_FOR_AFTER(trigger->tgtype) &&
		   TRIGGER_FOR_ROW(trigger->tgtype) && TRIGGER_FOR_UPDATE(trigger->tgtype);
}

void
copying_trigger_check(Relation rel, const TargetColumn *target)
{
	for (int i = 0; rel->trigdesc && i < rel->trigdesc->numtriggers; i++)
	{
		const Trigger *trigger = &rel->trigdesc->triggers[i];
		char *extension;

		if (!follows_updates(trigger) || trigger->tgenabled == TRIGGER_DISABLED ||
			string_list_has(target->options.ignore_triggers, trigger->tgname))
			continue;
		extension = extension_of(trigger);
		if (extension && strcmp(extension, "dbcrypt") == 0)
			continue;
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("trigger \"%s\" of table \"%s\" may copy rows", trigger->tgname,
						RelationGetRelationName(rel)),
				 errdetail("It does not fire for what dbcrypt writes: a copy that it keeps would "
						   "bring back the old values of column \"%s\".",
						   target->name),
				 extension
					 ? errhint("Wait until %s has finished with the table, or drop the trigger if "
							   "a crash has left it behind.",
							   extension)
					 : errhint("Wait until the copy has been made, or accept the trigger with "
							   "dbcrypt_ignore_triggers() if no copy of it takes the place of the "
							   "table.")));
	}
}

/* Whether a relation or one of its children has a trigger of that name to accept. */
static bool
has_trigger(const List *relids, const char *name)
{
	ListCell *cell;
	bool found = false;

	foreach(cell, relids)
	{
		Relation rel = relation_open(lfirst_oid(cell), NoLock);

		for (int i = 0; rel->trigdesc && i < rel->trigdesc->numtriggers; i++)
			found |= follows_updates(&rel->trigdesc->triggers[i]) &&
					 strcmp(rel->trigdesc->triggers[i].tgname, name) == 0;
		relation_close(rel, NoLock);
	}
	return found;
}

/* The names in an array of text; refuses one that is no trigger to accept. */
static List *
read_triggers(Oid relid, ArrayType *array)
{
	List *relids = column_lock_members(relid, AccessShareLock);
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
							errmsg("table \"%s\" has no AFTER UPDATE trigger \"%s\" for each row",
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
