/*
 * owner.c
 *		Code that runs for someone else runs as the table's owner, as in REINDEX.
 *
 * An error needs no owner_leave: the end of the (sub)transaction restores both
 * the user and the settings.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_class.h"
#include "compat.h"
#include "dbcrypt.h"
#include "utils/syscache.h"

Oid
owner_of(Oid relid)
{
	HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	Oid owner;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for relation %u", relid);
	owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
	ReleaseSysCache(tuple);
	return owner;
}

void
owner_enter(Oid owner, OwnerContext *saved)
{
	GetUserIdAndSecContext(&saved->userid, &saved->security);
	SetUserIdAndSecContext(owner, saved->security | SECURITY_RESTRICTED_OPERATION);
	saved->nestlevel = NewGUCNestLevel();
	compat_restrict_search_path();
}

void
owner_leave(const OwnerContext *saved)
{
	AtEOXact_GUC(false, saved->nestlevel);
	SetUserIdAndSecContext(saved->userid, saved->security);
}
