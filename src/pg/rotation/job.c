/*
 * job.c
 *		The caller's side of a rotation while the application runs.
 *
 * A pass hands out block ranges; each is rotated in a transaction of its own.
 * Rows that someone else is changing are not waited for within a batch, which
 * holds row locks, but afterwards, one by one: so a walk is never part of a
 * deadlock. Rows that concurrent updates move are found by the check that ends
 * every pass: it reads all relations under one snapshot, in which each row is
 * seen exactly once, and starts another pass if one value needs it.
 */
#include "postgres.h"

#include "executor/executor.h"

#include <math.h>

#include "access/relation.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_inherits.h"
#include "commands/tablecmds.h"
#include "executor/instrument.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/lmgr.h"
#include "storage/proc.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

#include "columns/eligibility.h"
#include "columns/members.h"
#include "columns/opening.h"
#include "columns/registry.h"
#include "columns/target.h"
#include "core/core.h"
#include "rotation/job.h"
#include "rows/row_updater.h"
#include "support/catalog.h"
#include "support/compat.h"
#include "support/origin.h"
#include "support/progress.h"
#include "values/codec.h"
#include "values/codec_change.h"
#include "values/codec_inspect.h"

/* Passes after which someone must be writing under an old key all the time. */
#define MAX_PASSES 20

#define MAX_BATCH_BLOCKS 131072 /* 1 GB */

/* Batches that the check reads at once: it is so much faster than rotation. */
#define CHECK_BATCHES 8
#define MAX_WORKERS 64

/* Seconds between two lines to the caller. */
#define REPORT_SECONDS 3

/* The caller's side of a walk. */
typedef struct RotationJob
{
	TargetColumn *target;
	const RotationOptions *options;
	JobState *shared;
	JobMember *members;	  /* of this pass */
	dsm_segment *segment; /* NULL without workers */
	RotationWorkers *workers;
	MemoryContext context; /* lives through commits */
	bool registered;
	List *held;			/* OIDs of the relations locked for the whole walk */
	bool temporary;		/* a member is; other processes cannot read it */
	uint64 vacuumed_at; /* JOB_BLOCKS and JOB_COLD at the last VACUUM */
	uint64 cold_at;
	bool vacuum_missed;	  /* the caller has been told */
	TimestampTz started;  /* of this pass */
	int64 rotated_before; /* this pass */
	TimestampTz reported;
} RotationJob;

const RotationMethod *const rotation_methods[] = {
	[ROTATION_METHOD_ONLINE] = &rotation_method_online,
	[ROTATION_METHOD_IN_PLACE] = &rotation_method_in_place,
};

void
rotation_check_call(FunctionCallInfo fcinfo, const char *procedure)
{
	if (fcinfo->context == NULL || !IsA(fcinfo->context, CallContext) ||
		castNode(CallContext, fcinfo->context)->atomic)
		ereport(ERROR, (errcode(ERRCODE_INVALID_TRANSACTION_TERMINATION),
						errmsg("%s cannot run inside a transaction block or a function", procedure),
						errhint("CALL it by itself; it commits as it goes.")));
	PreventCommandDuringRecovery(procedure);
	PreventCommandIfReadOnly(procedure);
}

/* A size argument such as '20MB'; 0 for NULL. */
static uint64
size_argument(FunctionCallInfo fcinfo, int n, const char *name)
{
	int64 size;

	if (PG_ARGISNULL(n))
		return 0;
	size = DatumGetInt64(DirectFunctionCall1(pg_size_bytes, PG_GETARG_DATUM(n)));
	if (size <= 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("%s must be greater than zero", name)));
	return (uint64) size;
}

void
rotation_read_options(FunctionCallInfo fcinfo, TargetColumn *target, RotationOptions *options)
{
	static const char *const names[] = {"table", "column", NULL,	  "batch_blocks", "busy_share",
										NULL,	 NULL,	   "workers", "on_error"};
	char *on_error;

	for (size_t i = 0; i < lengthof(names); i++)
		if (names[i] && PG_ARGISNULL(i))
			ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
							errmsg("%s must not be null", names[i])));
	target->relid = PG_GETARG_OID(0);
	target->name = pstrdup(NameStr(*PG_GETARG_NAME(1)));
	target->aad = PG_ARGISNULL(2) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(2));
	options->batch_blocks = PG_GETARG_INT32(3);
	options->busy_share = PG_GETARG_FLOAT8(4);
	options->max_wal_rate = size_argument(fcinfo, 5, "max_wal_rate");
	options->max_lag = size_argument(fcinfo, 6, "max_lag");
	options->workers = PG_GETARG_INT32(7);
	options->vacuum_every = -1;
	on_error = text_to_cstring(PG_GETARG_TEXT_PP(8));
	options->skip_bad = strcmp(on_error, "skip") == 0;

	if (options->batch_blocks < 1 || options->batch_blocks > MAX_BATCH_BLOCKS)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("batch_blocks must be between 1 and %d", MAX_BATCH_BLOCKS)));
	if (!(options->busy_share > 0 && options->busy_share <= 1))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("busy_share must be greater than 0 and at most 1")));
	if (options->workers < 1 || options->workers > MAX_WORKERS)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("workers must be between 1 and %d", MAX_WORKERS)));
	if (!options->skip_bad && strcmp(on_error, "stop") != 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("on_error must be 'stop' or 'skip'")));
}

void
job_count(JobState *shared, JobCounter counter, int64 n)
{
	if (n != 0)
		pg_atomic_fetch_add_u64(&shared->counters[counter], n);
}

static uint64
counted(JobState *shared, JobCounter counter)
{
	return pg_atomic_read_u64(&shared->counters[counter]);
}

/* Values rotated so far, by whatever way. */
static int64
rotated(JobState *shared)
{
	return (int64) (counted(shared, JOB_UPDATED) + counted(shared, JOB_IN_PLACE));
}

void
job_note_bad_value(JobState *shared, Relation rel, ItemPointer tid, const char *reason)
{
	JobBadValue bad = {.relid = RelationGetRelid(rel), .tid = *tid};

	strlcpy(bad.reason, reason, sizeof(bad.reason));
	SpinLockAcquire(&shared->lock);
	if (shared->nbad < JOB_BAD_KEPT)
		shared->bad[shared->nbad] = bad;
	shared->nbad++;
	SpinLockRelease(&shared->lock);
}

void
batch_note_busy_row(RotationBatch *batch, ItemPointer tid)
{
	MemoryContext caller = MemoryContextSwitchTo(batch->busy_context);
	ItemPointer copy = palloc(sizeof(ItemPointerData));

	*copy = *tid;
	batch->busy = lappend(batch->busy, copy);
	MemoryContextSwitchTo(caller);
}

/* ---- batches ---- */

/*
 * Begins a transaction's work: READ COMMITTED, whatever the session's default. As
 * with SET TRANSACTION, no snapshot may have been taken yet.
 */
static void
begin_work(void)
{
	Assert(!FirstSnapshotSet);
	XactIsoLevel = XACT_READ_COMMITTED;
	SetCurrentStatementStartTimestamp();
}

/*
 * Opens a member, locked, the caller's right to it and its fitness checked. NULL
 * if it was dropped or detached meanwhile.
 */
static Relation
open_member(JobState *shared, Oid relid, const TargetColumn *target, LOCKMODE lockmode)
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
		(void) column_check_relation(rel, target);
		CheckTableNotInUse(rel, "rotate");
		if (rotation_methods[shared->method]->check)
			rotation_methods[shared->method]->check(rel, target);
	}
	foreach(cell, ancestors)
	{
		UnlockRelationOid(lfirst_oid(cell), AccessShareLock);
	}
	return rel;
}

/* Begins a transaction on a member, with a snapshot; NULL if it is gone. */
static Relation
begin_batch(JobState *shared, Oid relid, const TargetColumn *target)
{
	Relation rel;

	begin_work();
	rel = open_member(shared, relid, target, rotation_methods[shared->method]->lockmode);
	if (rel)
		PushActiveSnapshot(GetTransactionSnapshot());
	return rel;
}

static void
end_batch(Relation rel, void (*commit)(void))
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

/*
 * Tries one row that was busy, with nothing else changed in its transaction.
 * False if it still is.
 */
static bool
retry_row(JobState *shared, Oid relid, ItemPointer tid, const TargetColumn *target,
		  void (*commit)(void))
{
	MemoryContext caller = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	Relation rel = begin_batch(shared, relid, target);
	volatile bool done = true;

	if (rel == NULL)
	{
		commit();
		return true;
	}
	BeginInternalSubTransaction(NULL);
	PG_TRY();
	{
		RowUpdater updater;

		updater_begin(&updater, rel, target, false);
		updater.scan.codec.soft_errors = true;
		limit_wait();
		if (fetch_newest(rel, tid, updater.scan.row))
		{
			ValueOutcome outcome = updater_reencrypt_row(&updater);

			job_count(shared, JOB_UPDATED, outcome == VALUE_CHANGED);
			job_count(shared, JOB_COLD, updater.cold_updates);
			if (outcome == VALUE_BAD)
				job_note_bad_value(shared, rel, &updater.scan.tid, updater.scan.codec.bad_reason);
		}
		updater_end(&updater);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		ErrorData *error;
		int code = geterrcode();

		MemoryContextSwitchTo(caller);
		error = CopyErrorData();
		FlushErrorState();

		/* First: an error out of a subtransaction would leave the session in its transaction. */
		RollbackAndReleaseCurrentSubTransaction();
		done = code == ERRCODE_T_R_SERIALIZATION_FAILURE; /* left to the next pass */
		if (!done && code != ERRCODE_LOCK_NOT_AVAILABLE && code != ERRCODE_T_R_DEADLOCK_DETECTED)
			ReThrowError(error);
		FreeErrorData(error);
		progress_resume();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(caller);
	CurrentResourceOwner = owner;
	end_batch(rel, commit);
	return done;
}

/* The member that a block of the walk's numbering lies in. */
static const JobMember *
member_of_block(const JobState *shared, const JobMember *members, uint64 block)
{
	int low = 0;
	int high = shared->nmembers - 1;

	while (low < high)
	{
		int middle = (low + high + 1) / 2;

		if (members[middle].first <= block)
			low = middle;
		else
			high = middle - 1;
	}
	return &members[low];
}

bool
batch_rotate_next(JobState *shared, const JobMember *members, const TargetColumn *target,
				  void (*commit)(void))
{
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext context;
	uint64 begin;
	uint64 end;

	if (pg_atomic_read_u32(&shared->stop) != 0)
		return false;
	begin = pg_atomic_fetch_add_u64(&shared->next, shared->batch_blocks);
	if (begin >= shared->total)
		return false;
	end = Min(begin + shared->batch_blocks, shared->total);

	context = AllocSetContextCreate(caller, "dbcrypt batch", ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(context);
	while (begin < end)
	{
		const JobMember *member = member_of_block(shared, members, begin);
		uint64 limit = Min(end, member->first + member->nblocks);
		RotationBatch batch = {.shared = shared, .target = target};
		ListCell *cell;

		batch.first = (BlockNumber) (begin - member->first);
		batch.count = (BlockNumber) (limit - begin);
		batch.busy_context = context;
		batch.rel = begin_batch(shared, member->relid, target);
		if (batch.rel)
		{
			rotation_methods[shared->method]->batch(&batch);
			end_batch(batch.rel, commit);
		}
		else
			commit();
		foreach(cell, batch.busy)
		{
			while (pg_atomic_read_u32(&shared->stop) == 0 &&
				   !retry_row(shared, member->relid, lfirst(cell), target, commit))
				CHECK_FOR_INTERRUPTS();
		}
		job_count(shared, JOB_BLOCKS, (int64) (limit - begin));
		begin = limit;
	}
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(context);
	return true;
}

/* ---- throttle ---- */

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

/* Waits as the walk's limits demand, unless it stops. */
static void
wait_throttled(JobState *shared, double ms)
{
	progress_phase(PROGRESS_WAITING);
	for (; ms > 0 && pg_atomic_read_u32(&shared->stop) == 0; ms -= 200)
		interruptible_sleep(Min(ms, 200));
}

/* Whether a standby is more than max_lag bytes behind in replay. */
static bool
standby_lags(uint64 max_lag, void (*commit)(void))
{
	Oid types[] = {INT8OID};
	Datum values[] = {Int64GetDatum((int64) max_lag)};
	bool lags;

	begin_work();
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
job_throttle(JobState *shared, TimestampTz started, uint64 wal_before, void (*commit)(void))
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
	while (shared->max_lag > 0 && pg_atomic_read_u32(&shared->stop) == 0 &&
		   standby_lags(shared->max_lag, commit))
		wait_throttled(shared, 100);
	progress_phase(PROGRESS_ROTATING);
}

/* ---- the caller ---- */

static void
commit_in_procedure(void)
{
	SPI_commit();
}

/*
 * Locks the members until release_held, or an error's, beyond commits. Waits
 * without a snapshot and without another lock on them: CREATE INDEX CONCURRENTLY,
 * which we may have to wait for, waits for both.
 */
static void
hold_members(RotationJob *walk)
{
	LOCKMODE lockmode = rotation_methods[walk->shared->method]->held;

	for (int i = 0; lockmode != NoLock && i < walk->shared->nmembers; i++)
	{
		LockRelId relation = {.relId = walk->members[i].relid, .dbId = MyDatabaseId};
		MemoryContext caller;

		if (list_member_oid(walk->held, relation.relId))
			continue;
		LockRelationIdForSession(&relation, lockmode);
		caller = MemoryContextSwitchTo(walk->context);
		walk->held = lappend_oid(walk->held, relation.relId);
		MemoryContextSwitchTo(caller);
	}
}

static void
release_held(RotationJob *walk)
{
	ListCell *cell;

	foreach(cell, walk->held)
	{
		LockRelId relation = {.relId = lfirst_oid(cell), .dbId = MyDatabaseId};

		UnlockRelationIdForSession(&relation, rotation_methods[walk->shared->method]->held);
	}
}

bool
batch_hold_members(const JobState *shared, const JobMember *members)
{
	for (int i = 0; i < shared->nmembers; i++)
	{
		LockRelId relation = {.relId = members[i].relid, .dbId = MyDatabaseId};

		if (!ConditionalLockRelationOid(members[i].relid, RowExclusiveLock))
		{
			while (--i >= 0)
			{
				relation.relId = members[i].relid;
				UnlockRelationIdForSession(&relation, RowExclusiveLock);
			}
			return false;
		}
		LockRelationIdForSession(&relation, RowExclusiveLock);
	}
	return true;
}

void
batch_release_members(const JobState *shared, const JobMember *members)
{
	for (int i = 0; i < shared->nmembers; i++)
	{
		LockRelId relation = {.relId = members[i].relid, .dbId = MyDatabaseId};

		UnlockRelationIdForSession(&relation, RowExclusiveLock);
	}
}

/* Lists the relations to walk and their sizes. */
static void
list_members(RotationJob *walk)
{
	const RotationMethod *method = rotation_methods[walk->shared->method];
	JobState *shared = walk->shared;
	int n = 0;
	uint64 total = 0;
	List *rels;
	MemoryContext caller;
	ListCell *cell;

	if (walk->members && !SearchSysCacheExists1(RELOID, ObjectIdGetDatum(shared->relid)))
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE),
						errmsg("the table was dropped while column \"%s\" was rotated",
							   walk->target->name)));
	rels = target_open(walk->target, AccessShareLock, "rotate");
	if (walk->members)
		pfree(walk->members);
	caller = MemoryContextSwitchTo(walk->context);
	walk->members = palloc(sizeof(JobMember) * Max(list_length(rels), 1));
	walk->temporary = false;
	foreach(cell, rels)
	{
		Relation rel = lfirst(cell);
		JobMember *member = &walk->members[n++];

		walk->temporary |= RelationUsesLocalBuffers(rel);
		member->relid = RelationGetRelid(rel);
		member->filenode = rel->rd_rel->relfilenode;
		member->nblocks = RelationGetNumberOfBlocks(rel);
		member->first = total;
		total += member->nblocks;
		if (method->check)
			method->check(rel, walk->target);
		relation_close(rel, NoLock);
	}
	shared->nmembers = n;
	shared->total = total;
	pg_atomic_write_u64(&shared->next, 0);
	MemoryContextSwitchTo(caller);
}

/* Moves the state into a shared segment, with all that a worker needs. */
static void
share_state(RotationJob *walk)
{
	JobState *local = walk->shared;
	Size members_size = sizeof(JobMember) * local->nmembers;
	Size aad_size = walk->target->aad ? strlen(walk->target->aad) + 1 : 0;
	Size settings_size = EstimateGUCStateSpace();
	Size members_offset = MAXALIGN(sizeof(JobState));
	Size aad_offset = members_offset + MAXALIGN(members_size);
	Size settings_offset = aad_offset + MAXALIGN(aad_size);
	char *start;

	walk->segment = dsm_create(settings_offset + settings_size, DSM_CREATE_NULL_IF_MAXSEGMENTS);
	if (walk->segment == NULL)
		return;
	dsm_pin_mapping(walk->segment);
	start = dsm_segment_address(walk->segment);
	memcpy(start, local, sizeof(JobState));
	memcpy(start + members_offset, walk->members, members_size);
	if (aad_size > 0)
		memcpy(start + aad_offset, walk->target->aad, aad_size);
	SerializeGUCState(settings_size, start + settings_offset);

	walk->shared = (JobState *) start;
	walk->shared->members_offset = members_offset;
	walk->shared->aad_offset = aad_size > 0 ? aad_offset : 0;
	walk->shared->settings_offset = settings_offset;
	SpinLockInit(&walk->shared->lock);
}

/* Starts the workers that were asked for, and says so if they are fewer. */
static void
start_workers(RotationJob *walk)
{
	int wanted = walk->options->workers;
	int processes = 1;

	if (walk->temporary)
	{
		ereport(NOTICE, (errmsg("rotating without workers"),
						 errdetail("Other processes cannot read a temporary table.")));
		return;
	}
	share_state(walk);
	if (walk->segment)
	{
		walk->workers = rotation_workers_start(walk->segment, wanted - 1);
		processes += rotation_workers_count(walk->workers);
	}
	walk->shared->processes = processes;
	if (processes < wanted)
		ereport(NOTICE, (errmsg("%d of %d workers started", processes, wanted),
						 errdetail("The server has no more background workers to give."),
						 errhint("Raise max_worker_processes.")));
}

/* Ends the workers and the segment, whose settings may hold keys. */
static void
end_walk(RotationJob *walk)
{
	if (walk->segment == NULL)
		return;
	pg_atomic_write_u32(&walk->shared->stop, 1);
	if (walk->workers)
		rotation_workers_terminate(walk->workers);
	dbcrypt_cleanse((char *) walk->shared + walk->shared->settings_offset,
					dsm_segment_map_length(walk->segment) - walk->shared->settings_offset);
	dsm_detach(walk->segment);
	walk->segment = NULL;
}

static void
end_walk_on_error(int code, Datum arg)
{
	end_walk((RotationJob *) DatumGetPointer(arg));
}

/* Tells the caller, every few seconds, how far the pass is. */
static void
report(RotationJob *walk)
{
	JobState *shared = walk->shared;
	uint64 done = Min(counted(shared, JOB_BLOCKS), shared->total);
	TimestampTz now = GetCurrentTimestamp();
	double seconds = (double) (now - walk->started) / 1e6;
	int64 rows = rotated(shared) - walk->rotated_before;

	progress_update(done, rotated(shared));
	if (now - walk->reported < REPORT_SECONDS * USECS_PER_SEC || done == 0)
		return;
	walk->reported = now;
	ereport(NOTICE,
			(errmsg("column \"%s\" of table \"%s\": %.0f%%, %.0f rows per second, %.0f s left",
					walk->target->name, get_rel_name(walk->target->relid),
					100.0 * (double) done / (double) shared->total, (double) rows / seconds,
					seconds * ((double) shared->total / (double) done - 1.0)),
			 errhidestmt(true), errhidecontext(true)));
}

/*
 * Registers the column. If it is registered, dbcrypt_revoke_key may hold the
 * registry and wait for a relation that we hold: then this locks nothing.
 */
static void
register_column(RotationJob *walk)
{
	if (walk->registered)
		return;
	begin_work();
	PushActiveSnapshot(GetTransactionSnapshot());
	if (column_registered(walk->target->relid, walk->target->attnum) == NULL)
		column_register(walk->target);
	PopActiveSnapshot();
	SPI_commit();
	walk->registered = true;
}

/* Runs a VACUUM when enough index entries of a member have died since the last. */
static void
vacuum_when_due(RotationJob *walk)
{
	JobState *shared = walk->shared;
	uint64 done = Min(counted(shared, JOB_BLOCKS), shared->total);
	uint64 cold = counted(shared, JOB_COLD);
	const JobMember *member;
	uint64 every;

	if (done == 0 || cold == walk->cold_at || walk->temporary)
		return;
	member = member_of_block(shared, walk->members, done - 1);
	every = Max(4000, member->nblocks / 16);
	if (walk->options->vacuum_every >= 0)
		every = (uint64) walk->options->vacuum_every * shared->batch_blocks;
	if (every == 0 || done - Max(walk->vacuumed_at, member->first) < every)
		return;
	progress_phase(PROGRESS_VACUUMING);
	InvalidateCatalogSnapshotConditionally();
	if (!rotation_vacuum(member->relid) && !walk->vacuum_missed)
	{
		walk->vacuum_missed = true;
		ereport(NOTICE, (errmsg("no background worker is free for VACUUM: going on without"),
						 errhint("Raise max_worker_processes, or the table grows.")));
	}
	walk->vacuumed_at = done;
	walk->cold_at = cold;
	progress_phase(PROGRESS_ROTATING);
}

/* Throws for what a worker or a value ended the walk with. */
static void
check_failures(RotationJob *walk)
{
	JobState *shared = walk->shared;
	StringInfoData detail;

	if (shared->error_code != 0)
	{
		int code = shared->error_code;
		char *message = pstrdup(shared->error_message);
		char *more = pstrdup(shared->error_detail);
		char *hint = pstrdup(shared->error_hint);

		ereport(ERROR, (errcode(code), errmsg("%s", message), more[0] ? errdetail("%s", more) : 0,
						hint[0] ? errhint("%s", hint) : 0,
						errcontext("background worker of the rotation")));
	}
	if (shared->nbad == 0 || walk->options->skip_bad)
		return;
	initStringInfo(&detail);
	for (int i = 0; i < Min(shared->nbad, JOB_BAD_KEPT); i++)
	{
		JobBadValue *bad = &shared->bad[i];

		appendStringInfo(&detail, "%sTable \"%s.%s\", row (%u,%u): %s.", i > 0 ? "\n" : "",
						 get_namespace_name(get_rel_namespace(bad->relid)),
						 get_rel_name(bad->relid), ItemPointerGetBlockNumberNoCheck(&bad->tid),
						 ItemPointerGetOffsetNumberNoCheck(&bad->tid), bad->reason);
	}
	if (shared->nbad > JOB_BAD_KEPT)
		appendStringInfo(&detail, "\nAnd %d more.", shared->nbad - JOB_BAD_KEPT);
	ereport(ERROR, (errcode(ERRCODE_DATA_EXCEPTION),
					errmsg("column \"%s\" of table \"%s\" holds values that cannot be rotated",
						   walk->target->name, get_rel_name(walk->target->relid)),
					errdetail("%s", detail.data),
					errhint("Correct them and call again, or pass on_error => 'skip'. What was "
							"rotated stays rotated.")));
}

/* One pass of batches over all members, alone or with the workers. */
static void
run_pass(RotationJob *walk)
{
	JobState *shared = walk->shared;
	bool mine = true;

	for (;;)
	{
		TimestampTz started = GetCurrentTimestamp();
		uint64 wal_before = pgWalUsage.wal_bytes;

		CHECK_FOR_INTERRUPTS();
		if (mine)
			mine = batch_rotate_next(shared, walk->members, walk->target, commit_in_procedure);
		if (rotated(shared) > 0) /* a first batch has opened its values */
			register_column(walk);
		report(walk);
		if (shared->nbad > 0 && !walk->options->skip_bad)
			pg_atomic_write_u32(&shared->stop, 1);
		if (mine)
		{
			vacuum_when_due(walk);
			job_throttle(shared, started, wal_before, commit_in_procedure);
		}
		else if (walk->workers && rotation_workers_running(walk->workers))
			interruptible_sleep(20);
		else
			break;
	}
	check_failures(walk);
}

/* Looks at the rows of a block range that the active snapshot sees; how many need rotation. */
static int64
inspect_rows(Relation rel, BlockNumber first, BlockNumber count, RotationJob *walk,
			 RotationResult *result)
{
	RowUpdater updater;
	TableScanDesc scan;
	ItemPointerData begin;
	ItemPointerData end;
	int64 stale = 0;

	ItemPointerSet(&begin, first, FirstOffsetNumber);
	ItemPointerSet(&end, first + count - 1, MaxOffsetNumber);
	updater_begin(&updater, rel, walk->target, true);
	updater.scan.codec.soft_errors = true;
	scan = compat_beginscan_tidrange(rel, GetActiveSnapshot(), &begin, &end);
	while (table_scan_getnextslot_tidrange(scan, ForwardScanDirection, updater.scan.row))
	{
		ColumnChange change;
		ValueOutcome outcome;

		CHECK_FOR_INTERRUPTS();
		updater.scan.tid = updater.scan.row->tts_tid;
		outcome = codec_inspect(&updater.scan.codec, updater.scan.row);
		if (outcome == VALUE_CHANGED && walk->options->skip_bad)
			outcome = codec_reencrypt(&updater.scan.codec, updater.scan.row, false, &change);
		result->scanned++;
		result->nulls += outcome == VALUE_NULL;
		result->skipped += outcome == VALUE_BAD;
		stale += outcome == VALUE_CHANGED;
		ResetPerTupleExprContext(updater.scan.estate);
	}
	table_endscan(scan);
	updater_end(&updater);
	return stale;
}

/*
 * The same for all blocks of a member, which is locked for a range at a time.
 * A rewrite in between hides rows from the snapshot: it counts as one more.
 */
static int64
inspect_member(const JobMember *member, RotationJob *walk, RotationResult *result)
{
	const RotationMethod *method = rotation_methods[walk->shared->method];
	BlockNumber step = CHECK_BATCHES * walk->shared->batch_blocks;
	BlockNumber nblocks = InvalidBlockNumber;
	int64 stale = 0;

	for (BlockNumber first = 0; first < nblocks; first += Min(step, nblocks - first))
	{
		MemoryContext context =
			AllocSetContextCreate(CurrentMemoryContext, "dbcrypt check", ALLOCSET_DEFAULT_SIZES);
		MemoryContext caller = MemoryContextSwitchTo(context);
		Relation rel = open_member(walk->shared, member->relid, walk->target, AccessShareLock);

		if (rel == NULL)
			nblocks = first;
		else if (rel->rd_rel->relfilenode != member->filenode)
		{
			stale++;
			nblocks = first;
		}
		else if (method->inspect)
		{
			stale += method->inspect(rel, walk->target, walk->options, result);
			nblocks = first;
		}
		else
		{
			if (first == 0)
				nblocks = RelationGetNumberOfBlocks(rel);
			if (first < nblocks)
				stale += inspect_rows(rel, first, Min(step, nblocks - first), walk, result);
		}
		if (rel)
			relation_close(rel, AccessShareLock);
		MemoryContextSwitchTo(caller);
		MemoryContextDelete(context);
		progress_update(member->first + Min(first + (uint64) step, nblocks), rotated(walk->shared));
	}
	return stale;
}

/*
 * Looks at every value once, under one snapshot. Returns how many still need
 * rotation; those that do not open are counted apart.
 */
static int64
check_pass(RotationJob *walk, RotationResult *result)
{
	const RotationMethod *method = rotation_methods[walk->shared->method];
	int64 stale = 0;

	memset(result, 0, sizeof(*result));
	begin_work();
	list_members(walk);
	SPI_commit();
	progress_phase(PROGRESS_CHECKING);
	progress_total(walk->shared->total);
	begin_work();
	if (method->before_inspect)
		method->before_inspect(walk->members, walk->shared->nmembers, walk->options);
	PushActiveSnapshot(GetTransactionSnapshot());
	for (int i = 0; i < walk->shared->nmembers; i++)
		stale += inspect_member(&walk->members[i], walk, result);
	PopActiveSnapshot();
	SPI_commit();
	return stale;
}

/* Passes until a check finds nothing left. */
static void
run_passes(RotationJob *walk, RotationResult *result)
{
	for (int pass = 1;; pass++)
	{
		int64 stale;

		walk->shared->pass = pass;
		walk->shared->pin_deadline = 0;
		run_pass(walk);
		stale = check_pass(walk, result);
		if (stale == 0)
			return;
		if (pass == MAX_PASSES)
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("column \"%s\" of table \"%s\" is still being written under "
							"another key",
							walk->target->name, get_rel_name(walk->target->relid)),
					 errdetail("%lld values were found after %d passes.", (long long) stale, pass),
					 errhint("See that every session's first key is the new one, then call "
							 "again.")));
		ereport(NOTICE, (errmsg("%lld values are not under the primary key yet: passing again",
								(long long) stale),
						 errhidestmt(true), errhidecontext(true)));
		walk->shared->nbad = 0;
		walk->shared->processes = 1;
		walk->vacuumed_at = 0;
		walk->started = walk->reported = GetCurrentTimestamp();
		walk->rotated_before = rotated(walk->shared);
		pg_atomic_write_u64(&walk->shared->counters[JOB_BLOCKS], 0);
		begin_work();
		list_members(walk);
		SPI_commit();
		hold_members(walk);
		progress_total(walk->shared->total);
		progress_phase(PROGRESS_ROTATING);
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
	namestrcpy(&shared->column, target->name);
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

void
rotation_job_run(TargetColumn *target, int method, const RotationOptions *options,
				 RotationResult *result)
{
	RotationJob walk = {.target = target, .options = options, .context = CurrentMemoryContext};

	walk.shared = make_state(target, method, options);
	walk.started = walk.reported = GetCurrentTimestamp();

	/* CALL has a snapshot: work as begin_work's begins after this transaction. */
	list_members(&walk);
	(void) origin_lookup();
	SPI_commit();
	hold_members(&walk);
	progress_start(target->relid, target->attnum, walk.shared->total);

	PG_ENSURE_ERROR_CLEANUP(end_walk_on_error, PointerGetDatum(&walk));
	{
		if (options->workers > 1)
			start_workers(&walk);
		run_passes(&walk, result);
		register_column(&walk);
	}
	PG_END_ENSURE_ERROR_CLEANUP(end_walk_on_error, PointerGetDatum(&walk));

	if (result->skipped > 0)
		ereport(WARNING, (errmsg("column \"%s\" of table \"%s\" is not fully rotated", target->name,
								 get_rel_name(target->relid)),
						  errdetail("%lld values could not be opened and were skipped.",
									(long long) result->skipped),
						  errhint("dbcrypt_verify() lists them.")));
	result->rotated = rotated(walk.shared);
	for (int i = 0; i < JOB_COUNTERS; i++)
		result->counters[i] = (int64) counted(walk.shared, i);
	progress_end();
	if (rotation_methods[method]->finish)
		rotation_methods[method]->finish(target, result);
	release_held(&walk);
	end_walk(&walk);
}
