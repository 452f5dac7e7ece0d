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
#include "replication/origin.h"
#include "storage/ipc.h"
#include "storage/lmgr.h"

#include "support/origin.h"

#define ORIGIN_NAME "dbcrypt"

static bool entered = false;

/*
 * For a process that is terminated in between: it passes no PG_FINALLY, and its
 * abort would look for the progress of an origin that no session has set up.
 */
static void
leave_at_exit(int code, Datum arg)
{
	if (entered)
		replorigin_session_origin = InvalidRepOriginId;
}

RepOriginId
origin_lookup(void)
{
	static bool registered = false;
	RepOriginId origin;

	if (!XLogLogicalInfoActive() || replorigin_session_origin != InvalidRepOriginId)
		return InvalidRepOriginId;
	if (!registered) /* here, before callers add callbacks that they remove */
		before_shmem_exit(leave_at_exit, (Datum) 0);
	registered = true;
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
	if (origin == InvalidRepOriginId)
		return;
	entered = true;
	replorigin_session_origin = origin;
}

void
origin_leave(RepOriginId origin)
{
	if (origin == InvalidRepOriginId)
		return;
	replorigin_session_origin = InvalidRepOriginId;
	entered = false;
}
