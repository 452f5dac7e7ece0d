/*
 * check_pass.c
 *		The check that ends a pass of a rotation job. All relations are read under
 *		one snapshot, in which each row is seen exactly once, wherever concurrent
 *		updates move it.
 */
#include "postgres.h"

#include "access/relation.h"
#include "storage/bufmgr.h"
#include "storage/lmgr.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "columns/empty_scan.h"
#include "columns/target.h"
#include "rotation/batch.h"
#include "rotation/check_pass.h"
#include "rotation/job_state.h"
#include "rotation/method.h"
#include "rotation/methods.h"
#include "rotation/options.h"
#include "rows/column_scan.h"
#include "support/progress.h"
#include "values/codec.h"
#include "values/codec_change.h"
#include "values/codec_inspect.h"

/* Batches that the check reads at once: it is so much faster than rotation. */
#define CHECK_BATCHES 8

/* The check at work. */
typedef struct CheckPass
{
	JobState *shared;
	const TargetColumn *target;
	const RotationOptions *options;
	RotationResult *result;
	int64 stale; /* values that still need rotation */
} CheckPass;

/* Looks at one row. Decrypts a value only if it needs rotation and may be bad. */
static bool
inspect_row(ColumnScan *scan, void *arg)
{
	CheckPass *check = arg;
	RotationResult *result = check->result;
	ColumnChange change;
	ValueOutcome outcome = codec_inspect(&scan->codec, scan->row);

	if (outcome == VALUE_CHANGED && check->options->skip_bad)
		outcome = codec_reencrypt(&scan->codec, scan->row, &change);
	result->scanned++;
	result->nulls += outcome == VALUE_NULL;
	result->skipped += outcome == VALUE_BAD;
	check->stale += outcome == VALUE_CHANGED;
	return true;
}

/* Looks at the rows of a block range that the active snapshot sees. */
static void
inspect_rows(CheckPass *check, Relation rel, const TargetColumn *target, BlockNumber first,
			 BlockNumber count)
{
	ColumnScan scan;

	column_scan_begin(&scan, rel, target);
	scan.codec.soft_errors = true;
	column_scan_blocks(&scan, GetActiveSnapshot(), first, count, inspect_row, check);
	column_scan_end(&scan);
}

/*
 * Looks at up to step blocks of a relation from first on; returns the block where
 * the relation ends, as far as the check is concerned.
 */
static BlockNumber
inspect_blocks(CheckPass *check, const JobRelation *relation, BlockNumber first, BlockNumber step,
			   BlockNumber end)
{
	const RotationMethod *method = job_method(check->shared);
	TargetColumn target = *check->target;
	Relation rel = job_open_relation(check->shared, relation->relid, &target, AccessShareLock);

	if (rel == NULL)
		return first;
	if (rel->rd_rel->relfilenode != relation->filenode)
	{
		/* A rewrite hides rows from the snapshot: it counts as one value. */
		check->stale++;
		end = first;
	}
	else if (method->inspect)
	{
		check->stale += method->inspect(rel, &target, check->options, check->result);
		end = first;
	}
	else
	{
		if (first == 0)
			end = RelationGetNumberOfBlocks(rel);
		if (first < end)
			inspect_rows(check, rel, &target, first, Min(step, end - first));
	}
	relation_close(rel, AccessShareLock);
	return end;
}

/* Looks at all blocks of a relation, which is locked for a range at a time. */
static void
inspect_relation(CheckPass *check, const JobRelation *relation)
{
	BlockNumber step = CHECK_BATCHES * check->shared->batch_blocks;
	BlockNumber end = InvalidBlockNumber;

	for (BlockNumber first = 0; first < end; first += Min(step, end - first))
	{
		MemoryContext context =
			AllocSetContextCreate(CurrentMemoryContext, "dbcrypt check", ALLOCSET_DEFAULT_SIZES);
		MemoryContext caller = MemoryContextSwitchTo(context);

		end = inspect_blocks(check, relation, first, step, end);
		MemoryContextSwitchTo(caller);
		MemoryContextDelete(context);
		progress_update(relation->first + Min(first + (uint64) step, end),
						job_rotated(check->shared));
	}
}

/* Looks with SQL where no row was found, under the column's present name. */
static void
check_empty_scan(const CheckPass *check)
{
	TargetColumn target = *check->target;

	if (check->result->scanned > 0)
		return;
	LockRelationOid(target.relid, AccessShareLock);
	column_refresh_name(&target);
	empty_scan_check(&target, check->result->scanned);
}

int64
check_pass_inspect(JobState *shared, const JobRelation *relations, const TargetColumn *target,
				   const RotationOptions *options, RotationResult *result)
{
	CheckPass check = {.shared = shared, .target = target, .options = options, .result = result};

	for (int i = 0; i < shared->nrelations; i++)
		inspect_relation(&check, &relations[i]);
	if (check.stale == 0)
		check_empty_scan(&check);
	return check.stale;
}
