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

#include "support/compat.h"
#include "support/origin.h"

#define ORIGIN_NAME "dbcrypt"

/* Between origin_enter and origin_leave. */
static bool entered = false;

/*
 * For a process that is terminated between origin_enter and origin_leave: PG_FINALLY
 * does not run then, and the abort would fail, as it looks for the progress of an
 * origin that no session has set up.
 */
static void
leave_at_exit(int code, Datum arg)
{
	if (entered)
		COMPAT_SESSION_ORIGIN = InvalidReplOriginId;
}

ReplOriginId
origin_lookup(void)
{
	static bool registered = false;
	ReplOriginId origin;

	if (!XLogLogicalInfoActive() || COMPAT_SESSION_ORIGIN != InvalidReplOriginId)
		return InvalidReplOriginId;
	/* Here and not later: callers add callbacks and remove them in reverse order. */
	if (!registered)
		before_shmem_exit(leave_at_exit, (Datum) 0);
	registered = true;
	origin = replorigin_by_name(ORIGIN_NAME, true);
	if (origin == InvalidReplOriginId)
	{
		LockRelationOid(ReplicationOriginRelationId, ShareUpdateExclusiveLock);
		origin = replorigin_by_name(ORIGIN_NAME, true);
		if (origin == InvalidReplOriginId)
			origin = replorigin_create(ORIGIN_NAME);
	}
	return origin;
}

void
origin_enter(ReplOriginId origin)
{
	if (origin == InvalidReplOriginId)
		return;
	entered = true;
	COMPAT_SESSION_ORIGIN = origin;
}

void
origin_leave(ReplOriginId origin)
{
	if (origin == InvalidReplOriginId)
		return;
	COMPAT_SESSION_ORIGIN = InvalidReplOriginId;
	entered = false;
}
