/*
 * page_rows.c
 *		The rows of a page that cannot be written in place: they are updated the
 *		ordinary way.
 */
#include "postgres.h"

#include "access/tableam.h"
#include "access/xact.h"
#include "miscadmin.h"
#include "utils/snapmgr.h"

#include "rotation/in_place/page_plan.h"
#include "rotation/in_place/page_rows.h"
#include "rotation/in_place/page_work.h"
#include "rotation/job_state.h"
#include "rotation/method.h"
#include "rows/row_updater.h"
#include "values/codec.h"
#include "values/codec_inspect.h"

/*
 * Counts a listed version that our snapshot does not see, so that it cannot be
 * updated. One that is being inserted counts as unsettled unless its value is
 * current.
 */
static void
count_invisible(PageWork *work, BlockNumber block, OffsetNumber item, VersionCounts *counts)
{
	switch (work->needs[item])
	{
		case NEED_WORK_DEAD:
			counts->left++;
			break;
		case NEED_WORK_UNSETTLED:
			page_work_store_tuple(work, block, item);
			if (page_inspect_safely(work) == VALUE_CURRENT)
				counts->current++;
			else
				page_work_count_unsettled(work, counts);
			ExecClearTuple(work->slot);
			break;
		default:
			counts->changed++;
			break;
	}
}

/*
 * Updates one listed row, or counts it when pages are only read. A row that someone
 * else is changing is left for after the batch.
 */
static void
update_or_inspect_row(PageWork *work, BlockNumber block, OffsetNumber item, VersionCounts *counts)
{
	RowUpdater *updater = &work->updater;
	ValueOutcome outcome;

	ItemPointerSet(&updater->scan.tid, block, item);
	PushActiveSnapshot(GetLatestSnapshot());
	if (!table_tuple_fetch_row_version(updater->scan.rel, &updater->scan.tid, GetActiveSnapshot(),
									   updater->scan.row))
		count_invisible(work, block, item, counts);
	else if (work->batch)
	{
		outcome = updater_reencrypt_row(updater);
		counts->updated += outcome == VALUE_CHANGED;
		counts->current += outcome == VALUE_CURRENT;
		if (outcome == VALUE_BUSY)
			batch_note_busy_row(work->batch, &updater->scan.tid);
		if (outcome == VALUE_BAD)
			job_note_bad_value(work->batch->shared, updater->scan.rel, &updater->scan.tid,
							   updater->scan.codec.bad_reason);
	}
	else
	{
		outcome = codec_inspect(&updater->scan.codec, updater->scan.row);
		counts->updated += outcome == VALUE_CHANGED;
		counts->current += outcome == VALUE_CURRENT;
	}
	ExecClearTuple(updater->scan.row);
	PopActiveSnapshot();
}

void
page_update_rows(PageWork *work, BlockNumber block, VersionCounts *counts)
{
	int64 before = counts->updated;

	for (int i = 0; i < work->nrows; i++)
	{
		CHECK_FOR_INTERRUPTS();
		update_or_inspect_row(work, block, work->rows[i], counts);
	}
	if (work->batch && counts->updated > before)
	{
		CommandCounterIncrement();
		work->scan->estate->es_output_cid = GetCurrentCommandId(true);
	}
}
