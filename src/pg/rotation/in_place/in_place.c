/*
 * in_place.c
 *		Writes re-encrypted values over the old ones, inside their tuples.
 *
 * An envelope keeps its length when its key changes, and its plaintext stays. So
 * no reader, snapshot or index can tell the difference while both keys are in
 * every key ring. A page is changed under the cleanup lock alone, as pruning
 * does: readers keep pointers into a page that they have pinned.
 *
 * Every stored version counts, whoever can see it: an aborted or deleted one
 * holds ciphertext too. Tuple headers, visibility and free space stay as they
 * are.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

#include "columns/eligibility.h"
#include "columns/target.h"
#include "rotation/in_place/eligibility.h"
#include "rotation/in_place/finish.h"
#include "rotation/in_place/in_place.h"
#include "rotation/in_place/inspect.h"
#include "rotation/in_place/page_plan.h"
#include "rotation/in_place/page_rows.h"
#include "rotation/in_place/page_work.h"
#include "rotation/in_place/page_write.h"
#include "rotation/in_place/waiting.h"
#include "rotation/job_state.h"
#include "rotation/method.h"
#include "rotation/throttle.h"

/* One attempt at rotating the values on a page. */
static PageResult
try_page(PageWork *work, BlockNumber block, bool ordinary_only)
{
	VersionCounts counts = {0};
	PageResult result = PAGE_DONE;
	Buffer buffer;

	CHECK_FOR_INTERRUPTS();
	buffer = page_read(work, block, ordinary_only, &counts);
	if (BufferIsValid(buffer))
	{
		result = page_write(work, buffer, &counts);
		if (result != PAGE_PINNED)
			page_update_rows(work, block, &counts);
		for (int i = 0; result == PAGE_DONE && i < work->nbad; i++)
		{
			ItemPointerSet(&work->scan->tid, block, work->bad[i].item);
			job_note_bad_value(work->batch->shared, work->scan->rel, &work->scan->tid,
							   work->bad[i].reason);
		}
	}
	if (result != PAGE_PINNED)
		version_counts_add(&work->counts, &counts);
	page_work_reset(work);
	return result;
}

/* Tries again while tuples of the page change between the look and the write. */
static PageResult
rotate_page(PageWork *work, BlockNumber block, bool ordinary_only)
{
	PageResult result;

	do
		result = try_page(work, block, ordinary_only);
	while (result == PAGE_CHANGED);
	return result;
}

/*
 * Waits for a page that others have pinned, as long as the job allows, then
 * updates its rows the ordinary way.
 */
static void
rotate_pinned_page(PageWork *work, BlockNumber block)
{
	JobState *shared = work->batch->shared;
	Relation rel = work->scan->rel;

	if (shared->pin_deadline == 0)
		shared->pin_deadline =
			TimestampTzPlusMilliseconds(GetCurrentTimestamp(), shared->pin_timeout);
	while (rotate_page(work, block, false) == PAGE_PINNED)
	{
		if (GetCurrentTimestamp() >= shared->pin_deadline)
		{
			ereport(NOTICE,
					(errmsg("page %u of table \"%s\" stays pinned: its rows are updated instead",
							block, RelationGetRelationName(rel)),
					 errdetail("%s", in_place_describe_users(RelationGetRelid(rel))),
					 errhint("An open cursor does that, for one.")));
			(void) rotate_page(work, block, true);
			return;
		}
		interruptible_sleep(5);
	}
}

/* Rotates the pages of a block range. */
static void
in_place_batch(RotationBatch *batch)
{
	JobState *shared = batch->shared;
	PageWork *work = page_work_begin(batch->rel, batch->target, batch);
	BlockNumber *pinned = palloc(sizeof(BlockNumber) * batch->count);
	BlockNumber end;
	int npinned = 0;

	/* The relation may have shrunk before it was locked for the session, not since. */
	end = Min(batch->first + batch->count, RelationGetNumberOfBlocks(batch->rel));
	for (BlockNumber block = batch->first; block < end; block++)
		if (rotate_page(work, block, false) == PAGE_PINNED)
			pinned[npinned++] = block;
	if (shared->pass == 1)
		job_count(shared, JOB_PAGES_WAITED, npinned);
	for (int i = 0; i < npinned; i++)
		if (shared->pass == 1)
			(void) rotate_page(work, pinned[i], false); /* or in the next pass */
		else
			rotate_pinned_page(work, pinned[i]);
	job_count(shared, JOB_IN_PLACE, work->counts.in_place);
	job_count(shared, JOB_UPDATED, work->counts.updated);
	job_count(shared, JOB_PAGES, work->counts.pages);
	page_work_end(work);
}

/* Throws what makes the method unfit for the column, or for its companion column. */
static void
in_place_check_column(Relation rel, const TargetColumn *target)
{
	in_place_check(rel, column_check_relation(rel, target));
	if (target->options.companion)
		in_place_check(rel, get_attnum(RelationGetRelid(rel), target->options.companion));
}

const RotationMethod rotation_method_in_place = {
	.lockmode = RowExclusiveLock,
	.session_lock = ShareUpdateExclusiveLock,
	.check = in_place_check_column,
	.batch = in_place_batch,
	.before_inspect = in_place_wait_for_writers,
	.inspect = in_place_inspect,
	.finish = in_place_finish,
};
