/*
 * owner.c
 *		Code that runs for someone else runs as the table's owner, as in REINDEX.
 *
 * An error needs no owner_leave: the end of the (sub)transaction restores both
 * the user and the settings.
 */
#include "postgres.h"

#include "compat.h"
#include "dbcrypt.h"

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
