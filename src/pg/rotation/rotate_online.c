/*
 * rotate_online.c
 *		dbcrypt_rotate_online: rotation by ordinary row updates, batch by batch,
 *		while the application writes.
 */
#include "postgres.h"

#include "access/tableam.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"

#include "columns/target.h"
#include "rotation/job.h"
#include "rows/row_updater.h"
#include "support/compat.h"
#include "values/codec.h"

PG_FUNCTION_INFO_V1(dbcrypt_rotate_online);

/* Rotates the rows of a block range; those that someone else changes come later. */
static void
online_batch(RotationBatch *batch)
{
	RowUpdater updater;
	TableScanDesc scan;
	ItemPointerData first;
	ItemPointerData last;
	int64 updated = 0;

	ItemPointerSet(&first, batch->first, FirstOffsetNumber);
	ItemPointerSet(&last, batch->first + batch->count - 1, MaxOffsetNumber);

	updater_begin(&updater, batch->rel, batch->target, false);
	updater.scan.codec.soft_errors = true;
	updater.nowait = true;
	scan = compat_beginscan_tidrange(batch->rel, GetActiveSnapshot(), &first, &last);
	while (table_scan_getnextslot_tidrange(scan, ForwardScanDirection, updater.scan.row))
	{
		CHECK_FOR_INTERRUPTS();
		switch (updater_reencrypt_row(&updater))
		{
			case VALUE_CHANGED:
				updated++;
				break;
			case VALUE_BUSY:
				batch_note_busy_row(batch, &updater.scan.tid);
				break;
			case VALUE_BAD:
				job_note_bad_value(batch->shared, batch->rel, &updater.scan.tid,
								   updater.scan.codec.bad_reason);
				break;
			default:
				break;
		}
		ResetPerTupleExprContext(updater.scan.estate);
	}
	table_endscan(scan);
	job_count(batch->shared, JOB_UPDATED, updated);
	job_count(batch->shared, JOB_COLD, updater.cold_updates);
	updater_end(&updater);
}

/* The walk is by block, which not every access method can do. */
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
	.name = "dbcrypt_rotate_online",
	.lockmode = RowExclusiveLock,
	.check = online_check,
	.batch = online_batch,
};

/*
 * dbcrypt_rotate_online("table", "column", aad, batch_blocks, busy_share,
 * max_wal_rate, max_lag, workers, on_error, vacuum_every)
 */
Datum
dbcrypt_rotate_online(PG_FUNCTION_ARGS)
{
	TargetColumn target = {0};
	RotationOptions options;
	RotationResult result = {0};
	TupleDesc desc;
	Datum values[5];
	bool nulls[5] = {false};

	rotation_check_call(fcinfo, rotation_method_online.name);
	SPI_connect_ext(SPI_OPT_NONATOMIC);
	rotation_read_options(fcinfo, &target, &options);
	if (!PG_ARGISNULL(9))
	{
		options.vacuum_every = PG_GETARG_INT32(9);
		if (options.vacuum_every < 0)
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
							errmsg("vacuum_every must not be negative")));
	}
	rotation_job_run(&target, ROTATION_METHOD_ONLINE, &options, &result);
	SPI_finish();

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	values[0] = Int64GetDatum(result.scanned);
	values[1] = Int64GetDatum(result.rotated);
	values[2] =
		Int64GetDatum(Max(result.scanned - result.nulls - result.skipped - result.rotated, 0));
	values[3] = Int64GetDatum(result.nulls);
	values[4] = Int64GetDatum(result.skipped);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}
