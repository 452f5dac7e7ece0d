/*
 * run_as.c
 *		Code that runs for someone else runs as the table's owner, as in REINDEX.
 *
 * An error needs no run_as_restore: the end of the (sub)transaction restores both
 * the user and the settings.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_class.h"
#include "utils/syscache.h"

#include "support/compat.h"
#include "support/run_as.h"

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
run_as_owner(Oid owner, RunAsContext *saved)
{
	GetUserIdAndSecContext(&saved->userid, &saved->security);
	SetUserIdAndSecContext(owner, saved->security | SECURITY_RESTRICTED_OPERATION);
	saved->nestlevel = NewGUCNestLevel();
	compat_restrict_search_path();
}

void
run_as_restore(const RunAsContext *saved)
{
	AtEOXact_GUC(false, saved->nestlevel);
	SetUserIdAndSecContext(saved->userid, saved->security);
}
