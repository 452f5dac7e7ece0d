/*
 * throttle.c
 *		Waiting: between batches, as the caller's limits demand, and in general.
 */
#include "postgres.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "executor/instrument.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "utils/snapmgr.h"
#include "utils/wait_event.h"

#include "rotation/job_state.h"
#include "rotation/throttle.h"
#include "rotation/transaction.h"
#include "support/catalog.h"
#include "support/progress.h"

void
interruptible_sleep(double ms)
{
	InvalidateCatalogSnapshotConditionally();
	while (ms > 0)
	{
		long slice = (long) Min(ceil(ms), 1000);

		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, slice,
						 PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
		ms -= slice;
	}
}

/* Sleeps and says so in dbcrypt_progress; ends early when the job stops. */
static void
wait_throttled(JobState *shared, double ms)
{
	progress_phase(PROGRESS_WAITING);
	for (; ms > 0 && !job_stopped(shared); ms -= 200)
		interruptible_sleep(Min(ms, 200));
}

/* Whether a standby is more than max_lag bytes behind in replay. */
static bool
standby_lags(uint64 max_lag, CommitFunction commit)
{
	Oid types[] = {INT8OID};
	Datum values[] = {Int64GetDatum((int64) max_lag)};
	bool lags;

	transaction_begin_read_committed();
	SPI_connect();
	PushActiveSnapshot(GetTransactionSnapshot());
	lags = catalog_execute("SELECT FROM pg_catalog.pg_stat_replication "
						   "WHERE pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_lsn(), "
						   "replay_lsn) > $1",
						   1, types, values, NULL, SPI_OK_SELECT) > 0;
	PopActiveSnapshot();
	SPI_finish();
	commit();
	return lags;
}

void
job_throttle(JobState *shared, TimestampTz started, uint64 wal_before, CommitFunction commit)
{
	double worked = (double) (GetCurrentTimestamp() - started) / 1000.0;
	double pause = worked * (1.0 / shared->busy_share - 1.0);

	if (shared->max_wal_rate > 0)
	{
		double wal = (double) (pgWalUsage.wal_bytes - wal_before) * shared->processes;

		pause = Max(pause, wal * 1000.0 / (double) shared->max_wal_rate - worked);
	}
	if (pause > 0)
		wait_throttled(shared, pause);
	while (shared->max_lag > 0 && !job_stopped(shared) && standby_lags(shared->max_lag, commit))
		wait_throttled(shared, 100);
	progress_phase(PROGRESS_ROTATING);
}
