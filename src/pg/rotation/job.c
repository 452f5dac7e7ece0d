/*
 * job.c
 *		The caller's side of a rotation while the application runs.
 *
 * A pass hands out block ranges; each is rotated in a transaction of its own.
 * Rows that concurrent updates move are found by the check that ends every pass.
 * If it finds one value that needs rotation, another pass begins.
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/transam.h"
#include "executor/instrument.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "storage/ipc.h"
#include "storage/lmgr.h"
#include "storage/procarray.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "columns/copying_triggers.h"
#include "columns/opening.h"
#include "columns/recorded_key.h"
#include "columns/registry.h"
#include "columns/target.h"
#include "rotation/batch.h"
#include "rotation/check_pass.h"
#include "rotation/job.h"
#include "rotation/job_state.h"
#include "rotation/method.h"
#include "rotation/methods.h"
#include "rotation/options.h"
#include "rotation/throttle.h"
#include "rotation/transaction.h"
#include "rotation/vacuum.h"
#include "rotation/workers.h"
#include "support/origin.h"
#include "support/progress.h"

/* Passes after which someone must be writing under an old key all the time. */
#define MAX_PASSES 20

/* Seconds between two lines to the caller. */
#define REPORT_SECONDS 3

/* The caller's side of a job. */
typedef struct RotationJob
{
	TargetColumn *target;
	const RotationOptions *options;
	const RotationMethod *method;
	JobState *shared;
	JobRelation *relations;	  /* of this pass */
	RotationWorkers *workers; /* NULL for none */
	MemoryContext context;	  /* lives through commits */
	bool registered;
	List *locked;		/* OIDs of the relations locked for the session */
	bool temporary;		/* a relation is; other processes cannot read it */
	uint64 vacuumed_at; /* JOB_BLOCKS and JOB_COLD at the last VACUUM */
	uint64 cold_at;
	bool vacuum_missed;	  /* the caller has been told */
	TimestampTz started;  /* of this pass */
	int64 rotated_before; /* this pass */
	TimestampTz reported;
} RotationJob;

/* The CommitFunction of the caller. */
static void
commit_in_procedure(void)
{
	SPI_commit();
}

/*
 * Locks the relations until unlock_relations, or an error's, beyond commits. Waits
 * without a snapshot and without another lock on them: CREATE INDEX CONCURRENTLY,
 * which we may have to wait for, waits for both.
 */
static void
lock_relations(RotationJob *job)
{
	LOCKMODE lockmode = job->method->session_lock;

	for (int i = 0; lockmode != NoLock && i < job->shared->nrelations; i++)
	{
		LockRelId lock = {.relId = job->relations[i].relid, .dbId = MyDatabaseId};
		MemoryContext caller;

		if (list_member_oid(job->locked, lock.relId))
			continue;
		LockRelationIdForSession(&lock, lockmode);
		caller = MemoryContextSwitchTo(job->context);
		job->locked = lappend_oid(job->locked, lock.relId);
		MemoryContextSwitchTo(caller);
	}
}

/* Releases what lock_relations has locked. */
static void
unlock_relations(RotationJob *job)
{
	ListCell *cell;

	foreach(cell, job->locked)
	{
		LockRelId lock = {.relId = lfirst_oid(cell), .dbId = MyDatabaseId};

		UnlockRelationIdForSession(&lock, job->method->session_lock);
	}
}

/* Adds an open relation to the list and closes it. Throws what makes the method unfit for it. */
static void
list_relation(RotationJob *job, Relation rel)
{
	JobState *shared = job->shared;
	JobRelation *relation = &job->relations[shared->nrelations++];

	job->temporary |= RelationUsesLocalBuffers(rel);
	relation->relid = RelationGetRelid(rel);
	relation->filenode = rel->rd_rel->relfilenode;
	relation->nblocks = RelationGetNumberOfBlocks(rel);
	relation->first = shared->total;
	shared->total += relation->nblocks;
	copying_trigger_check(rel, job->target);
	if (job->method->check)
		job->method->check(rel, job->target);
	relation_close(rel, NoLock);
}

/* Lists the relations of the table and their sizes, for the next pass. */
static void
list_relations(RotationJob *job)
{
	JobState *shared = job->shared;
	List *rels;
	MemoryContext caller;
	ListCell *cell;

	if (job->relations && !SearchSysCacheExists1(RELOID, ObjectIdGetDatum(shared->relid)))
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE),
						errmsg("the table was dropped while column \"%s\" was rotated",
							   job->target->name)));
	rels = target_open(job->target, AccessShareLock, "rotate");
	recorded_key_refuse(job->target);
	shared->attnum = job->target->attnum;
	if (job->relations)
		pfree(job->relations);
	caller = MemoryContextSwitchTo(job->context);
	job->relations = palloc(sizeof(JobRelation) * Max(list_length(rels), 1));
	job->temporary = false;
	shared->nrelations = 0;
	shared->total = 0;
	foreach(cell, rels)
	{
		list_relation(job, lfirst(cell));
	}
	pg_atomic_write_u64(&shared->next, 0);
	MemoryContextSwitchTo(caller);
}

/* Starts the workers that were asked for, and says so if they are fewer. */
static void
start_workers(RotationJob *job)
{
	int wanted = job->options->workers;
	int processes;

	if (job->temporary)
	{
		ereport(NOTICE, (errmsg("rotating without workers"),
						 errdetail("Other processes cannot read a temporary table.")));
		return;
	}
	job->workers = rotation_workers_create(wanted - 1);
	job->shared = rotation_workers_start(job->workers, job->shared, job->relations, job->target);
	processes = 1 + rotation_workers_count(job->workers);
	job->shared->processes = processes;
	if (processes < wanted)
		ereport(NOTICE, (errmsg("%d of %d workers started", processes, wanted),
						 errdetail("The server has no more background workers to give."),
						 errhint("Raise dbcrypt.max_workers or max_worker_processes.")));
}

/* Ends the workers. The shared state may be gone afterwards. */
static void
end_workers(RotationJob *job)
{
	if (job->workers)
		rotation_workers_end(job->workers);
}

/* The same as a callback of PG_ENSURE_ERROR_CLEANUP. */
static void
end_workers_on_error(int code, Datum arg)
{
	end_workers((RotationJob *) DatumGetPointer(arg));
}

/* Tells the caller, every few seconds, how far the pass is. */
static void
report_progress(RotationJob *job)
{
	JobState *shared = job->shared;
	uint64 done = job_blocks_done(shared);
	TimestampTz now = GetCurrentTimestamp();
	double seconds = (double) (now - job->started) / 1e6;
	int64 rows = job_rotated(shared) - job->rotated_before;

	progress_update(done, job_rotated(shared));
	if (now - job->reported < REPORT_SECONDS * USECS_PER_SEC || done == 0)
		return;
	job->reported = now;
	ereport(NOTICE,
			(errmsg("column \"%s\" of table \"%s\": %.0f%%, %.0f rows per second, %.0f s left",
					job->target->name, get_rel_name(job->target->relid),
					100.0 * (double) done / (double) shared->total, (double) rows / seconds,
					seconds * ((double) shared->total / (double) done - 1.0)),
			 errhidestmt(true), errhidecontext(true)));
}

/*
 * Registers the column, once. A registered one is left alone, so that nothing is
 * locked.
 */
static void
register_column(RotationJob *job)
{
	if (job->registered)
		return;
	transaction_begin_read_committed();
	LockRelationOid(job->target->relid, AccessShareLock);
	column_refresh_name(job->target);
	PushActiveSnapshot(GetTransactionSnapshot());
	if (column_registered(job->target->relid, job->target->attnum) == NULL)
		column_register(job->target);
	PopActiveSnapshot();
	SPI_commit();
	job->registered = true;
}

/* Runs a VACUUM when enough index entries of a relation have died since the last. */
static void
vacuum_when_due(RotationJob *job)
{
	JobState *shared = job->shared;
	uint64 done = job_blocks_done(shared);
	uint64 cold = job_counted(shared, JOB_COLD);
	const JobRelation *relation;
	uint64 every;

	if (done == 0 || cold == job->cold_at || job->temporary)
		return;
	relation = job_relation_of_block(shared, job->relations, done - 1);
	every = Max(4000, relation->nblocks / 16);
	if (job->options->vacuum_every >= 0)
		every = (uint64) job->options->vacuum_every * shared->batch_blocks;
	if (every == 0 || done - Max(job->vacuumed_at, relation->first) < every)
		return;
	progress_phase(PROGRESS_VACUUMING);
	InvalidateCatalogSnapshotConditionally();
	if (!rotation_vacuum(relation->relid) && !job->vacuum_missed)
	{
		job->vacuum_missed = true;
		ereport(NOTICE, (errmsg("no background worker is free for VACUUM: going on without"),
						 errhint("Raise dbcrypt.max_workers or max_worker_processes, or the table "
								 "grows.")));
	}
	job->vacuumed_at = done;
	job->cold_at = cold;
	progress_phase(PROGRESS_ROTATING);
}

/* One pass of batches over all relations, alone or with the workers. */
static void
run_pass(RotationJob *job)
{
	JobState *shared = job->shared;
	bool batch_left = true;

	for (;;)
	{
		TimestampTz started = GetCurrentTimestamp();
		uint64 wal_before = pgWalUsage.wal_bytes;

		CHECK_FOR_INTERRUPTS();
		if (batch_left)
			batch_left =
				batch_rotate_next(shared, job->relations, job->target, commit_in_procedure);
		if (job_rotated(shared) > 0) /* a first batch has opened its values */
			register_column(job);
		report_progress(job);
		if (shared->nbad > 0 && !job->options->skip_bad)
			job_stop(shared);
		if (batch_left)
		{
			vacuum_when_due(job);
			job_throttle(shared, started, wal_before, commit_in_procedure);
		}
		else if (job->workers && rotation_workers_running(job->workers))
			interruptible_sleep(20);
		else
			break;
	}
	job_check_failures(shared, job->options->skip_bad);
}

/* Ends a pass: looks at every value under one snapshot; how many need another pass. */
static int64
check_pass(RotationJob *job, RotationResult *result)
{
	JobState *shared = job->shared;
	int64 stale;

	memset(result, 0, sizeof(*result));
	transaction_begin_read_committed();
	list_relations(job);
	SPI_commit();
	progress_phase(PROGRESS_CHECKING);
	progress_total(shared->total);
	transaction_begin_read_committed();
	if (job->method->before_inspect)
		job->method->before_inspect(job->relations, shared->nrelations, job->options);
	PushActiveSnapshot(GetTransactionSnapshot());
	stale = check_pass_inspect(shared, job->relations, job->target, job->options, result);
	PopActiveSnapshot();
	SPI_commit();
	return stale;
}

/*
 * Looks once more, when nothing is left, at what makes the column unfit: what appeared
 * since the last batch may have copied values as they were before.
 */
static void
check_again(RotationJob *job)
{
	transaction_begin_read_committed();
	list_relations(job);
	SPI_commit();
}

/* Makes the state ready for another pass. */
static void
begin_another_pass(RotationJob *job)
{
	JobState *shared = job->shared;

	shared->nbad = 0;
	shared->processes = 1;
	job->vacuumed_at = 0;
	job->started = job->reported = GetCurrentTimestamp();
	job->rotated_before = job_rotated(shared);
	pg_atomic_write_u64(&shared->counters[JOB_BLOCKS], 0);
	transaction_begin_read_committed();
	list_relations(job);
	SPI_commit();
	lock_relations(job);
	progress_total(shared->total);
	progress_phase(PROGRESS_ROTATING);
}

/*
 * Ends the job if nothing keeps it going but rows that a transaction has inserted
 * and not committed since the check before. More passes would find them again.
 */
static void
refuse_open_transaction(const RotationJob *job, const RotationResult *result, int64 stale,
						TransactionId inserter_before)
{
	int pid;

	if (result->unsettled < stale || !TransactionIdEquals(result->inserter, inserter_before))
		return;
	pid = BackendXidGetPid(result->inserter);
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_IN_USE),
			 errmsg("an open transaction has inserted values under another key into column \"%s\" "
					"of table \"%s\"",
					job->target->name, get_rel_name(job->target->relid)),
			 pid != 0 ? errdetail("Its process is %d.", pid)
					  : errdetail("It is a prepared transaction."),
			 errhint("Wait until it has ended, or end it, and call again. What was rotated stays "
					 "rotated.")));
}

/* Passes until a check finds nothing left. */
static void
run_passes(RotationJob *job, RotationResult *result)
{
	TransactionId inserter = InvalidTransactionId; /* of the check before */

	for (int pass = 1;; pass++)
	{
		int64 stale;

		job->shared->pass = pass;
		job->shared->pin_deadline = 0;
		run_pass(job);
		stale = check_pass(job, result);
		if (stale == 0)
		{
			check_again(job);
			return;
		}
		refuse_open_transaction(job, result, stale, inserter);
		inserter = result->inserter;
		if (pass == MAX_PASSES)
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("column \"%s\" of table \"%s\" is still being written under "
							"another key",
							job->target->name, get_rel_name(job->target->relid)),
					 errdetail("%lld values were found after %d passes.", (long long) stale, pass),
					 errhint("See that every session's first key is the new one, then call "
							 "again.")));
		ereport(NOTICE, (errmsg("%lld values are not under the primary key yet: passing again",
								(long long) stale),
						 errhidestmt(true), errhidecontext(true)));
		begin_another_pass(job);
	}
}

/* A fresh state from the options. */
static JobState *
make_state(const TargetColumn *target, int method, const RotationOptions *options)
{
	JobState *shared = palloc0(sizeof(JobState));

	shared->database = MyDatabaseId;
	shared->userid = GetUserId();
	shared->relid = target->relid;
	shared->method = method;
	shared->batch_blocks = (uint32) options->batch_blocks;
	shared->processes = 1;
	shared->busy_share = options->busy_share;
	shared->max_wal_rate = options->max_wal_rate;
	shared->max_lag = options->max_lag;
	shared->pin_timeout = options->pin_timeout;
	shared->pass = 1;
	pg_atomic_init_u64(&shared->next, 0);
	pg_atomic_init_u32(&shared->stop, 0);
	for (int i = 0; i < JOB_COUNTERS; i++)
		pg_atomic_init_u64(&shared->counters[i], 0);
	SpinLockInit(&shared->lock);
	return shared;
}

/* Adds to the result what all processes did; a WARNING if values were skipped. */
static void
complete_result(const RotationJob *job, RotationResult *result)
{
	if (result->skipped > 0)
		ereport(WARNING, (errmsg("column \"%s\" of table \"%s\" is not fully rotated",
								 job->target->name, get_rel_name(job->target->relid)),
						  errdetail("%lld values could not be opened and were skipped.",
									(long long) result->skipped),
						  errhint("dbcrypt_verify() lists them.")));
	result->rotated = job_rotated(job->shared);
	for (int i = 0; i < JOB_COUNTERS; i++)
		result->counters[i] = (int64) job_counted(job->shared, i);
}

void
rotation_job_run(TargetColumn *target, int method, const RotationOptions *options,
				 RotationResult *result)
{
	RotationJob job = {.target = target, .options = options, .context = CurrentMemoryContext};

	job.shared = make_state(target, method, options);
	job.method = job_method(job.shared);
	job.started = job.reported = GetCurrentTimestamp();

	/* CALL has a snapshot, so READ COMMITTED can be set first after this transaction. */
	list_relations(&job);
	(void) origin_lookup();
	SPI_commit();
	lock_relations(&job);
	progress_start(target->relid, target->attnum, job.shared->total);

	/* Whatever fails: the segment, which holds the session's settings, must not stay. */
	PG_ENSURE_ERROR_CLEANUP(end_workers_on_error, PointerGetDatum(&job));
	{
		if (options->workers > 1)
			start_workers(&job);
		run_passes(&job, result);
		register_column(&job);
		complete_result(&job, result);
		progress_end();
		if (job.method->finish)
			job.method->finish(target, result);
		unlock_relations(&job);
	}
	PG_END_ENSURE_ERROR_CLEANUP(end_workers_on_error, PointerGetDatum(&job));
	end_workers(&job);
}
