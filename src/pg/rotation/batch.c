/*
 * batch.c
 *		One batch of a rotation job: a block range in its own transaction.
 *
 * A batch holds the locks of the rows that it has changed. So it never waits for
 * a row that someone else is changing, and cannot be part of a deadlock. Such
 * rows are tried afterwards, one by one.
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/tableam.h"
#include "catalog/pg_inherits.h"
#include "commands/tablecmds.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "storage/lmgr.h"
#include "storage/proc.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "columns/copying_triggers.h"
#include "columns/eligibility.h"
#include "columns/members.h"
#include "columns/target.h"
#include "rotation/batch.h"
#include "rotation/job_state.h"
#include "rotation/method.h"
#include "rotation/methods.h"
#include "rotation/transaction.h"
#include "rows/row_updater.h"
#include "support/subtransaction.h"
#include "values/codec.h"

Relation
job_open_relation(JobState *shared, Oid relid, TargetColumn *target, LOCKMODE lockmode)
{
	List *ancestors = column_lock_ancestors(relid);
	Relation rel = try_relation_open(relid, lockmode);
	ListCell *cell;

	if (rel && relid != shared->relid &&
		!typeInheritsFrom(get_rel_type_id(relid), get_rel_type_id(shared->relid)))
	{
		relation_close(rel, lockmode);
		rel = NULL;
	}
	if (rel)
	{
		column_check_owner(shared->relid);
		column_refresh_name(target);
		(void) column_check_relation(rel, target);
		copying_trigger_check(rel, target);
		CheckTableNotInUse(rel, "rotate");
		if (job_method(shared)->check)
			job_method(shared)->check(rel, target);
	}
	foreach(cell, ancestors)
	{
		UnlockRelationOid(lfirst_oid(cell), AccessShareLock);
	}
	return rel;
}

/* Begins a transaction on a relation, with a snapshot; NULL, with no snapshot, if it is gone. */
static Relation
begin_batch(JobState *shared, Oid relid, TargetColumn *target)
{
	Relation rel;

	transaction_begin_read_committed();
	rel = job_open_relation(shared, relid, target, job_method(shared)->lockmode);
	if (rel)
		PushActiveSnapshot(GetTransactionSnapshot());
	return rel;
}

/* Commits it; the locks go with the commit. */
static void
end_batch(Relation rel, CommitFunction commit)
{
	PopActiveSnapshot();
	relation_close(rel, NoLock);
	commit();
}

/* Puts into slot the newest version of a row that the snapshot sees; false if there is none. */
static bool
fetch_newest(Relation rel, ItemPointer tid, TupleTableSlot *slot)
{
	Snapshot snapshot = GetActiveSnapshot();
	ItemPointerData newest = *tid;
	TableScanDesc scan;

	/* The table may have been truncated since. */
	if (ItemPointerGetBlockNumber(tid) >= RelationGetNumberOfBlocks(rel))
		return false;
	if (table_tuple_fetch_row_version(rel, tid, snapshot, slot))
		return true;
	scan = table_beginscan_tid(rel, snapshot);
	table_tuple_get_latest_tid(scan, &newest);
	table_endscan(scan);
	return table_tuple_fetch_row_version(rel, &newest, snapshot, slot);
}

/*
 * Makes this subtransaction wait for a row for half of deadlock_timeout at most.
 * Holding the relation's lock that long, it may be part of a deadlock (with
 * someone who changed the row and now runs DDL on the table), but it leaves
 * before anyone looks for one.
 */
static void
limit_wait(void)
{
	char limit[12];

	snprintf(limit, sizeof(limit), "%d", Max(DeadlockTimeout / 2, 1));
	(void) set_config_option("lock_timeout", limit, PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE,
							 true, 0, false);
}

/* A row that was busy. */
typedef struct BusyRow
{
	JobState *shared;
	Relation rel;
	ItemPointer tid;
	const TargetColumn *target;
} BusyRow;

/* Rotates a row, waiting for it for a short time. Runs in a subtransaction. */
static void
rotate_busy_row(void *arg)
{
	BusyRow *row = arg;
	RowUpdater updater;

	updater_begin(&updater, row->rel, row->target, false);
	updater.scan.codec.soft_errors = true;
	limit_wait();
	if (fetch_newest(row->rel, row->tid, updater.scan.row))
	{
		ValueOutcome outcome = updater_reencrypt_row(&updater);

		job_count(row->shared, JOB_UPDATED, outcome == VALUE_CHANGED);
		job_count(row->shared, JOB_COLD, updater.cold_updates);
		if (outcome == VALUE_BAD)
			job_note_bad_value(row->shared, row->rel, &updater.scan.tid,
							   updater.scan.codec.bad_reason);
	}
	updater_end(&updater);
}

/*
 * Tries one row that was busy, with nothing else changed in its transaction.
 * False if it still is.
 */
static bool
retry_row(JobState *shared, Oid relid, ItemPointer tid, TargetColumn *target, CommitFunction commit)
{
	BusyRow row = {.shared = shared, .tid = tid, .target = target};
	ErrorData *error;
	bool done = true;

	row.rel = begin_batch(shared, relid, target);
	if (row.rel == NULL)
	{
		commit();
		return true;
	}
	error = subtransaction_run(rotate_busy_row, &row);
	if (error)
	{
		/* A row that moved to another partition is left to the next pass. */
		done = error->sqlerrcode == ERRCODE_T_R_SERIALIZATION_FAILURE;
		if (!done && error->sqlerrcode != ERRCODE_LOCK_NOT_AVAILABLE &&
			error->sqlerrcode != ERRCODE_T_R_DEADLOCK_DETECTED)
			ReThrowError(error);
		FreeErrorData(error);
	}
	end_batch(row.rel, commit);
	return done;
}

/* Rotates blocks of one relation, and then the rows that were busy. */
static void
rotate_blocks(RotationBatch *batch, Oid relid, CommitFunction commit)
{
	TargetColumn target = *batch->target;
	ListCell *cell;

	batch->target = &target;
	batch->rel = begin_batch(batch->shared, relid, &target);
	if (batch->rel)
	{
		job_method(batch->shared)->batch(batch);
		end_batch(batch->rel, commit);
	}
	else
		commit();
	foreach(cell, batch->busy)
	{
		while (!job_stopped(batch->shared) &&
			   !retry_row(batch->shared, relid, lfirst(cell), &target, commit))
			CHECK_FOR_INTERRUPTS();
	}
}

bool
batch_rotate_next(JobState *shared, const JobRelation *relations, const TargetColumn *target,
				  CommitFunction commit)
{
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext context;
	uint64 begin;
	uint64 end;

	if (job_stopped(shared))
		return false;
	begin = pg_atomic_fetch_add_u64(&shared->next, shared->batch_blocks);
	if (begin >= shared->total)
		return false;
	end = Min(begin + shared->batch_blocks, shared->total);

	context = AllocSetContextCreate(caller, "dbcrypt batch", ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(context);
	while (begin < end)
	{
		const JobRelation *relation = job_relation_of_block(shared, relations, begin);
		uint64 limit = Min(end, relation->first + relation->nblocks);
		RotationBatch batch = {.shared = shared, .target = target, .busy_context = context};

		batch.first = (BlockNumber) (begin - relation->first);
		batch.count = (BlockNumber) (limit - begin);
		rotate_blocks(&batch, relation->relid, commit);
		job_count(shared, JOB_BLOCKS, (int64) (limit - begin));
		begin = limit;
	}
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(context);
	return true;
}
