/*
 * inspect.c
 *		The check that ends a pass of a rotation in place.
 */
#include "postgres.h"

#include "access/subtrans.h"
#include "access/transam.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"

#include "columns/target.h"
#include "rotation/in_place/inspect.h"
#include "rotation/in_place/page_plan.h"
#include "rotation/in_place/page_rows.h"
#include "rotation/in_place/page_work.h"
#include "rotation/method.h"
#include "rotation/options.h"
#include "rotation/throttle.h"

/* Whether others keep a page pinned for 100 ms, longer than a passing scan does. */
static bool
stays_pinned(Buffer buffer)
{
	for (int i = 0; i < 20; i++)
	{
		if (ConditionalLockBufferForCleanup(buffer))
		{
			LockBuffer(buffer, BUFFER_LOCK_UNLOCK);
			return false;
		}
		interruptible_sleep(5);
	}
	return true;
}

/* Counts what a planned page still needs, and releases it. */
static int64
inspect_page(PageWork *work, Buffer buffer, BlockNumber block, bool skip_bad,
			 RotationResult *result)
{
	int64 stale = page_work_count_changed(work, false);
	int64 dead = page_work_count_changed(work, true);

	if (dead > 0 && stays_pinned(buffer))
	{
		work->counts.left += dead;
		stale -= dead;
	}
	ReleaseBuffer(buffer);
	page_update_rows(work, block, &work->counts);
	if (skip_bad)
		result->skipped += work->nbad;
	else
		stale += work->nbad;
	return stale;
}

/* Adds the unsettled versions of a relation to the result. */
static void
note_unsettled(const PageWork *work, RotationResult *result)
{
	TransactionId xid;

	if (work->counts.unsettled == 0)
		return;
	xid = SubTransGetTopmostTransaction(work->inserter);
	if (result->unsettled == 0 || TransactionIdPrecedes(xid, result->inserter))
		result->inserter = xid;
	result->unsettled += work->counts.unsettled;
}

int64
in_place_inspect(Relation rel, const TargetColumn *target, const RotationOptions *options,
				 RotationResult *result)
{
	PageWork *work = page_work_begin(rel, target, NULL);
	BlockNumber nblocks = RelationGetNumberOfBlocks(rel);
	int64 stale = 0;

	for (BlockNumber block = 0; block < nblocks; block++)
	{
		Buffer buffer;

		CHECK_FOR_INTERRUPTS();
		buffer = page_read(work, block, false, &work->counts);
		if (BufferIsValid(buffer))
			stale += inspect_page(work, buffer, block, options->skip_bad, result);
		page_work_reset(work);
	}
	stale += work->counts.updated + work->counts.unsettled + work->counts.changed;
	note_unsettled(work, result);
	result->scanned += work->counts.nulls + work->counts.current + stale;
	result->nulls += work->counts.nulls;
	result->left += work->counts.left;
	page_work_end(work);
	return stale;
}
