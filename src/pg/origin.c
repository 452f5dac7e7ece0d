/*
 * origin.c
 *		Marks what rotation writes with the replication origin "dbcrypt", so that
 *		change-data-capture consumers can leave it out.
 *
 * Only the row changes are marked, not the commit: a session-wide origin could
 * be held by one process at a time, and rotation has workers.
 */
#include "postgres.h"

#include "access/xlog.h"
#include "catalog/pg_replication_origin.h"
#include "dbcrypt.h"
#include "replication/origin.h"
#include "storage/lmgr.h"

#define ORIGIN_NAME "dbcrypt"

RepOriginId
origin_lookup(void)
{
	RepOriginId origin;

	if (!XLogLogicalInfoActive() || replorigin_session_origin != InvalidRepOriginId)
		return InvalidRepOriginId;
	origin = replorigin_by_name(ORIGIN_NAME, true);
	if (origin == InvalidRepOriginId)
	{
		LockRelationOid(ReplicationOriginRelationId, ShareUpdateExclusiveLock);
		origin = replorigin_by_name(ORIGIN_NAME, true);
		if (origin == InvalidRepOriginId)
			origin = replorigin_create(ORIGIN_NAME);
	}
	return origin;
}

void
origin_enter(RepOriginId origin)
{
	if (origin != InvalidRepOriginId)
		replorigin_session_origin = origin;
}

void
origin_leave(RepOriginId origin)
{
	if (origin != InvalidRepOriginId)
		replorigin_session_origin = InvalidRepOriginId;
}
