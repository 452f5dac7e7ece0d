/*
 * members.c
 *		A table and its children: partitions and inheritance.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/partition.h"
#include "catalog/pg_inherits.h"
#include "lib/stringinfo.h"
#include "storage/lmgr.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "columns/members.h"
#include "columns/target.h"
#include "support/remote_members.h"

List *
column_lock_ancestors(Oid relid)
{
	List *ancestors = get_partition_ancestors(relid);

	for (int i = list_length(ancestors) - 1; i >= 0; i--)
		LockRelationOid(list_nth_oid(ancestors, i), AccessShareLock);
	return ancestors;
}

/* OIDs of the relations that a relation is a child of. */
static List *
parents_of(Oid relid)
{
	Relation rel = table_open(InheritsRelationId, AccessShareLock);
	List *parents = NIL;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple tuple;

	ScanKeyInit(&key, Anum_pg_inherits_inhrelid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(relid));
	scan = systable_beginscan(rel, InheritsRelidSeqnoIndexId, true, NULL, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
		parents = lappend_oid(parents, ((Form_pg_inherits) GETSTRUCT(tuple))->inhparent);
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return parents;
}

List *
column_ancestors(Oid relid)
{
	List *ancestors = list_make1_oid(relid);
	ListCell *cell;

	foreach(cell, ancestors)
		ancestors = list_concat_unique_oid(ancestors, parents_of(lfirst_oid(cell)));
	return ancestors;
}

List *
column_members(Oid relid, LOCKMODE lockmode)
{
	List *members = list_make1_oid(relid);
	ListCell *cell;

	foreach(cell, members)
		members = list_concat_unique_oid(
			members,
			find_inheritance_children_extended(lfirst_oid(cell), false, lockmode, NULL, NULL));
	return members;
}

List *
column_lock_existing(Oid relid, LOCKMODE lockmode)
{
	List *members;
	ListCell *cell;

	(void) column_lock_ancestors(relid);
	LockRelationOid(relid, lockmode);
	if (!SearchSysCacheExists1(RELOID, ObjectIdGetDatum(relid)))
	{
		UnlockRelationOid(relid, lockmode);
		return NIL;
	}
	members = column_members(relid, lockmode);
	foreach(cell, members)
		if (lfirst_oid(cell) != relid && isOtherTempNamespace(get_rel_namespace(lfirst_oid(cell))))
			members = foreach_delete_current(members, cell);
	return members;
}

List *
column_lock_members(Oid relid, LOCKMODE lockmode)
{
	List *members = column_lock_existing(relid, lockmode);

	if (members == NIL)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE),
						errmsg("relation with OID %u does not exist", relid)));
	return members;
}

void
column_check_owner_of_members(Oid relid)
{
	ListCell *cell;

	foreach(cell, column_members(relid, NoLock))
		column_check_owner(lfirst_oid(cell));
}

char *
column_remote_members(Oid relid)
{
	StringInfoData lines;
	ListCell *cell;

	initStringInfo(&lines);
	foreach(cell, column_members(relid, NoLock))
	{
		Oid member = lfirst_oid(cell);
		char *reason = remote_member_reason(member);

		if (reason)
			appendStringInfo(&lines, "%sTable \"%s.%s\": %s.", lines.len > 0 ? "\n" : "",
							 get_namespace_name(get_rel_namespace(member)), get_rel_name(member),
							 reason);
	}
	return lines.len > 0 ? lines.data : NULL;
}

void
column_refuse_remote(const TargetColumn *target)
{
	char *remote = column_remote_members(target->relid);

	if (remote == NULL)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("column \"%s\" of table \"%s\" has values on another server", target->name,
					get_rel_name(target->relid)),
			 errdetail("%s", remote),
			 errhint("Work on them with dbcrypt where they are, and name the partitions that "
					 "are here one by one.")));
}
