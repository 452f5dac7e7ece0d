/*
 * throttle.h
 *		Waiting: between batches, as the caller's limits demand, and in general.
 */
#ifndef DBCRYPT_THROTTLE_H
#define DBCRYPT_THROTTLE_H

#include "postgres.h"

#include "utils/timestamp.h"

#include "rotation/job_state.h"
#include "rotation/transaction.h"

/* Sleeps, but wakes for interrupts. Holds back nobody's VACUUM meanwhile. */
extern void interruptible_sleep(double ms);

/*
 * Waits after a batch as the limits of the job demand. The batch began at started,
 * when this process had written wal_before bytes of WAL. To be called between two
 * transactions.
 */
extern void job_throttle(JobState *shared, TimestampTz started, uint64 wal_before,
						 CommitFunction commit);

#endif
