/*
 * online.c
 *		Rotation by ordinary row updates, batch by batch, while the application
 *		writes.
 */
#include "postgres.h"

#include "access/tableam.h"
#include "utils/snapmgr.h"

#include "columns/target.h"
#include "rotation/job_state.h"
#include "rotation/method.h"
#include "rotation/online.h"
#include "rows/column_scan.h"
#include "rows/row_updater.h"
#include "values/codec.h"

/* A batch at work. */
typedef struct OnlineBatch
{
	RotationBatch *batch;
	RowUpdater updater;
	int64 updated;
} OnlineBatch;

/* Rotates one row. One that someone else is changing comes after the batch. */
static bool
rotate_row(ColumnScan *scan, void *arg)
{
	OnlineBatch *work = arg;

	switch (updater_reencrypt_row(&work->updater))
	{
		case VALUE_CHANGED:
			work->updated++;
			break;
		case VALUE_BUSY:
			batch_note_busy_row(work->batch, &scan->tid);
			break;
		case VALUE_BAD:
			job_note_bad_value(work->batch->shared, scan->rel, &scan->tid, scan->codec.bad_reason);
			break;
		default:
			break;
	}
	return true;
}

/* Rotates the rows of a block range. */
static void
online_batch(RotationBatch *batch)
{
	OnlineBatch work = {.batch = batch};
	ColumnScan *scan = &work.updater.scan;

	updater_begin(&work.updater, batch->rel, batch->target, false);
	scan->codec.soft_errors = true;
	work.updater.nowait = true;
	column_scan_blocks(scan, GetActiveSnapshot(), batch->first, batch->count, rotate_row, &work);
	job_count(batch->shared, JOB_UPDATED, work.updated);
	job_count(batch->shared, JOB_COLD, work.updater.cold_updates);
	updater_end(&work.updater);
}

/* Batches are block ranges, which not every access method can scan. */
static void
online_check(Relation rel, const TargetColumn *target)
{
	if (rel->rd_tableam->scan_set_tidrange == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("access method of table \"%s\" does not support scans of block ranges",
						RelationGetRelationName(rel)),
				 errhint("Use dbcrypt_rotate().")));
}

const RotationMethod rotation_method_online = {
	.lockmode = RowExclusiveLock,
	.check = online_check,
	.batch = online_batch,
};
