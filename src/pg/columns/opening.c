/*
 * opening.c
 *		Opens the relations of a column for work.
 */
#include "postgres.h"

#include "access/relation.h"
#include "commands/tablecmds.h"
#include "storage/lmgr.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "columns/eligibility.h"
#include "columns/expression_check.h"
#include "columns/expression_trust.h"
#include "columns/members.h"
#include "columns/opening.h"
#include "columns/recorded_key.h"
#include "columns/registry.h"
#include "columns/target.h"
#include "support/catalog.h"
#include "support/run_as.h"

void
column_resolve(TargetColumn *target)
{
	TargetColumn *registered = column_covering(target->relid, target->name);

	if (registered == NULL)
		return;
	registry_refuse_problem(registered);
	if (registered->relid != target->relid)
		target->runs_as = owner_of(registered->relid);
	target->registered_by = registered->registered_by;
	target->scheme = registered->scheme;
	target->options = registered->options;
	if (target->aad == NULL)
		target->aad = registered->aad;
	else if (registered->aad == NULL || strcmp(target->aad, registered->aad) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("column \"%s\" of table \"%s\" is registered with another AAD "
						"expression",
						target->name, get_rel_name(target->relid)),
				 registered->aad ? errdetail("The registered expression is %s.", registered->aad)
								 : errdetail("It is registered without an AAD expression."),
				 errhint("Omit aad, or call dbcrypt_unregister_column() first.")));
}

List *
columns_workable(List **left_out)
{
	List *workable = NIL;
	ListCell *cell;

	*left_out = NIL;
	foreach(cell, columns_registered())
	{
		TargetColumn *target = lfirst(cell);

		if (target->problem == NULL)
			target->problem = column_remote_members(target->relid);
		if (target->problem == NULL)
			target->problem = expressions_foreign_problem(target->relid, target);
		if (target->problem)
			*left_out = lappend(*left_out, target);
		else
			workable = lappend(workable, target);
	}
	return workable;
}

/* Locks the tables of registered columns that are not among the locked ones, and adds them. */
static List *
lock_tables(List *columns, LOCKMODE lockmode, List *locked)
{
	ListCell *cell;
	ListCell *member;

	foreach(cell, columns)
	{
		Oid relid = ((TargetColumn *) lfirst(cell))->relid;

		if (list_member_oid(locked, relid))
			continue;
		foreach(member, column_lock_existing(relid, lockmode))
			locked = lappend_oid(locked, lfirst_oid(member));
	}
	return locked;
}

/* Whether the tables of all registered columns that exist are locked. */
static bool
are_locked(List *columns, List *locked)
{
	ListCell *cell;

	foreach(cell, columns)
	{
		Oid relid = ((TargetColumn *) lfirst(cell))->relid;

		if (!list_member_oid(locked, relid) &&
			SearchSysCacheExists1(RELOID, ObjectIdGetDatum(relid)))
			return false;
	}
	return true;
}

List *
columns_lock_registered(LOCKMODE lockmode)
{
	Oid registry = catalog_relation("dbcrypt_columns");
	List *locked = NIL;
	List *columns;
	ListCell *cell;

	for (;;)
	{
		locked = lock_tables(columns_registered(), lockmode, locked);
		if (ConditionalLockRelationOid(registry, ShareLock))
		{
			columns = columns_registered();
			if (are_locked(columns, locked))
				return columns;
			UnlockRelationOid(registry, ShareLock);
			continue;
		}
		foreach(cell, locked)
			UnlockRelationOid(lfirst_oid(cell), lockmode);
		locked = NIL;
		LockRelationOid(registry, ShareLock);
		UnlockRelationOid(registry, ShareLock);
	}
}

List *
target_open(TargetColumn *target, LOCKMODE lockmode, const char *command)
{
	List *relids;
	List *members = NIL;
	ListCell *cell;
	bool registered;

	column_check_owner(target->relid);
	relids = column_lock_members(target->relid, lockmode);
	if (lockmode > AccessShareLock)
		LockRelationOid(catalog_relation("dbcrypt_columns"), RowExclusiveLock);
	column_check_owner(target->relid);
	if (target->attnum != InvalidAttrNumber)
		column_refresh_name(target); /* renamed before the lock was granted, perhaps */
	column_resolve(target);
	column_refuse_remote(target);
	registered = column_covering(target->relid, target->name) != NULL;
	foreach(cell, relids)
	{
		Relation rel = relation_open(lfirst_oid(cell), NoLock);
		AttrNumber attnum = column_check_relation(rel, target);

		if (command)
			CheckTableNotInUse(rel, command);
		if (!column_is_authenticated(target))
			recorded_key_check_caller(rel, target);
		if (command && !registered)
			expressions_check(rel, target);
		if (lfirst_oid(cell) == target->relid)
			target->attnum = attnum;
		if (rel->rd_rel->relkind == RELKIND_RELATION)
			members = lappend(members, rel);
		else
			relation_close(rel, NoLock);
	}
	return members;
}
