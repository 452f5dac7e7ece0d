/*
 * method.h
 *		What a way to rotate a batch must offer.
 */
#ifndef DBCRYPT_ROTATION_METHOD_H
#define DBCRYPT_ROTATION_METHOD_H

#include "postgres.h"

#include "nodes/pg_list.h"
#include "storage/block.h"
#include "storage/lockdefs.h"
#include "utils/rel.h"

#include "columns/target.h"
#include "rotation/job_state.h"
#include "rotation/options.h"

/* A batch: a block range of one relation, locked, in its own transaction. */
typedef struct RotationBatch
{
	JobState *shared;
	Relation rel;
	const TargetColumn *target;
	BlockNumber first;
	BlockNumber count;
	List *busy; /* of ItemPointer: rows to come back to */
	MemoryContext busy_context;
} RotationBatch;

/* What a job did, and what its last check saw under one snapshot. */
typedef struct RotationResult
{
	int64 scanned;
	int64 rotated;
	int64 nulls;
	int64 skipped; /* bad values */
	int64 left;	   /* dead versions that keep their old value */

	/* Of the values that need another pass, those that open transactions have inserted: */
	int64 unsettled;
	TransactionId inserter; /* the oldest of the transactions */

	int64 counters[JOB_COUNTERS];
} RotationResult;

/* A way to rotate a batch. */
typedef struct RotationMethod
{
	LOCKMODE lockmode;	   /* on the relation, for a batch */
	LOCKMODE session_lock; /* on every relation, by the caller for the whole job */

	/* Throws what makes the method unfit for the relation; NULL for nothing. */
	void (*check)(Relation rel, const TargetColumn *target);

	/* Rotates the values of a batch; an active snapshot is set. */
	void (*batch)(RotationBatch *batch);

	/* Called before the check that ends a pass; NULL for nothing. */
	void (*before_inspect)(const JobRelation *relations, int nrelations,
						   const RotationOptions *options);

	/*
	 * Looks at all values of a relation under the active snapshot, adds them up,
	 * and returns how many need another pass. NULL: at the rows that it sees.
	 */
	int64 (*inspect)(Relation rel, const TargetColumn *target, const RotationOptions *options,
					 RotationResult *result);

	/* Called in the end, while everything is still locked; NULL for nothing. */
	void (*finish)(const TargetColumn *target, const RotationResult *result);
} RotationMethod;

/* How many values needed nothing; concurrent writes may make the sum disagree. */
extern int64 rotation_result_current(const RotationResult *result);

/* Remembers a row to come back to after the batch. */
extern void batch_note_busy_row(RotationBatch *batch, ItemPointer tid);

#endif
