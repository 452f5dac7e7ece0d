/*
 * walk.c
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

#include <math.h>

#include "access/relation.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "commands/tablecmds.h"
#include "executor/instrument.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"
#include "walk.h"

/* Passes after which someone must be writing under an old key all the time. */
#define MAX_PASSES 20

#define MAX_BATCH_BLOCKS 131072 /* 1 GB */
#define MAX_WORKERS 64

/* Seconds between two lines to the caller. */
#define REPORT_SECONDS 3

/* The caller's side of a walk. */
typedef struct Walk
{
	TargetColumn *target;
	const WalkOptions *options;
	WalkShared *shared;
	WalkMember *members;		/* of this pass */
	dsm_segment *segment;		/* NULL without workers */
	WalkWorkers *workers;
	MemoryContext context;		/* lives through commits */
	bool		registered;
	List	   *held;			/* OIDs of the relations locked for the whole walk */
	uint64		vacuumed_at;	/* WALK_BLOCKS and WALK_COLD at the last VACUUM */
	uint64		cold_at;
	bool		vacuum_given_up;
	TimestampTz started;
	TimestampTz reported;
} Walk;

const WalkMethod *const walk_methods[] = {
	[WALK_METHOD_ONLINE] = &walk_online,
	[WALK_METHOD_IN_PLACE] = &walk_in_place,
};

void
walk_check_call(FunctionCallInfo fcinfo, const char *procedure)
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
	int64		size;

	if (PG_ARGISNULL(n))
		return 0;
	size = DatumGetInt64(DirectFunctionCall1(pg_size_bytes, PG_GETARG_DATUM(n)));
	if (size <= 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("%s must be greater than zero", name)));
	return (uint64) size;
}

void
walk_read_options(FunctionCallInfo fcinfo, TargetColumn *target, WalkOptions *options)
{
	static const int required[] = {0, 1, 3, 4, 7, 8};
	char	   *on_error;

	for (size_t i = 0; i < lengthof(required); i++)
		if (PG_ARGISNULL(required[i]))
			ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
							errmsg("argument %d must not be null", required[i] + 1)));
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
walk_count(WalkShared *shared, WalkCounter counter, int64 n)
{
	if (n != 0)
		pg_atomic_fetch_add_u64(&shared->counters[counter], n);
}

static uint64
counted(WalkShared *shared, WalkCounter counter)
{
	return pg_atomic_read_u64(&shared->counters[counter]);
}

/* Values rotated so far, by whatever way. */
static int64
rotated(WalkShared *shared)
{
	return (int64) (counted(shared, WALK_UPDATED) + counted(shared, WALK_IN_PLACE));
}

void
walk_bad_value(WalkShared *shared, Relation rel, ItemPointer tid, const char *reason)
{
	SpinLockAcquire(&shared->lock);
	if (shared->nbad < WALK_BAD_KEPT)
	{
		WalkBadValue *bad = &shared->bad[shared->nbad];

		bad->relid = RelationGetRelid(rel);
		bad->tid = *tid;
		strlcpy(bad->reason, reason, sizeof(bad->reason));
	}
	shared->nbad++;
	SpinLockRelease(&shared->lock);
}

void
walk_busy_row(WalkBatch *batch, ItemPointer tid)
{
	MemoryContext caller = MemoryContextSwitchTo(batch->busy_context);
	ItemPointer copy = palloc(sizeof(ItemPointerData));

	*copy = *tid;
	batch->busy = lappend(batch->busy, copy);
	MemoryContextSwitchTo(caller);
}

/* ---- batches ---- */

/*
 * Begins the work of a transaction on a member: READ COMMITTED, as the caller,
 * the relation locked and fit. NULL if it was dropped or detached meanwhile.
 */
static Relation
begin_batch(WalkShared *shared, Oid relid, const TargetColumn *target)
{
	const WalkMethod *method = walk_methods[shared->method];
	Relation	rel;

	XactIsoLevel = XACT_READ_COMMITTED;
	SetCurrentStatementStartTimestamp();

	rel = try_relation_open(relid, method->lockmode);
	if (rel == NULL)
		return NULL;
	column_check_owner(shared->relid);
	(void) column_check_relation(rel, target);
	CheckTableNotInUse(rel, "rotate");
	if (method->check)
		method->check(rel, target);
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

/*
 * Comes back to one row that was busy, waiting for it while nothing else is
 * locked. What cannot be done even so is left to the next pass.
 */
static void
retry_row(WalkShared *shared, Oid relid, ItemPointer tid, const TargetColumn *target,
		  void (*commit)(void))
{
	MemoryContext caller = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	Relation	rel = begin_batch(shared, relid, target);

	if (rel == NULL)
	{
		commit();
		return;
	}
	BeginInternalSubTransaction(NULL);
	PG_TRY();
	{
		RowUpdater	updater;

		updater_begin(&updater, rel, target, false);
		updater.cipher.soft_errors = true;
		if (table_tuple_fetch_row_version(rel, tid, GetActiveSnapshot(), updater.row))
		{
			ValueOutcome outcome = updater_reencrypt_row(&updater);

			walk_count(shared, WALK_UPDATED, outcome == VALUE_CHANGED);
			walk_count(shared, WALK_COLD, updater.cold_updates);
			if (outcome == VALUE_BAD)
				walk_bad_value(shared, rel, &updater.tid, updater.cipher.bad_reason);
		}
		updater_end(&updater);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		if (geterrcode() != ERRCODE_T_R_SERIALIZATION_FAILURE)
			PG_RE_THROW();
		MemoryContextSwitchTo(caller);
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(caller);
	CurrentResourceOwner = owner;
	end_batch(rel, commit);
}

/* The member that a block of the walk's numbering lies in. */
static const WalkMember *
member_of_block(const WalkShared *shared, const WalkMember *members, uint64 block)
{
	int			low = 0;
	int			high = shared->nmembers - 1;

	while (low < high)
	{
		int			middle = (low + high + 1) / 2;

		if (members[middle].first <= block)
			low = middle;
		else
			high = middle - 1;
	}
	return &members[low];
}

bool
walk_next_batch(WalkShared *shared, const WalkMember *members, const TargetColumn *target,
				void (*commit)(void))
{
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext context;
	uint64		begin;
	uint64		end;

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
		const WalkMember *member = member_of_block(shared, members, begin);
		uint64		limit = Min(end, member->first + member->nblocks);
		WalkBatch	batch = {.shared = shared, .target = target};
		ListCell   *cell;

		batch.first = (BlockNumber) (begin - member->first);
		batch.count = (BlockNumber) (limit - begin);
		batch.busy_context = context;
		batch.rel = begin_batch(shared, member->relid, target);
		if (batch.rel)
		{
			walk_methods[shared->method]->batch(&batch);
			end_batch(batch.rel, commit);
		}
		else
			commit();
		foreach(cell, batch.busy)
			retry_row(shared, member->relid, lfirst(cell), target, commit);
		walk_count(shared, WALK_BLOCKS, (int64) (limit - begin));
		begin = limit;
	}
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(context);
	return true;
}

/* ---- throttle ---- */

void
walk_sleep(double ms)
{
	while (ms > 0)
	{
		long		slice = (long) Min(ceil(ms), 1000);

		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, slice,
						 PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
		ms -= slice;
	}
}

/* Whether a standby is more than max_lag bytes behind in replay. */
static bool
standby_lags(uint64 max_lag, void (*commit)(void))
{
	Oid			types[] = {INT8OID};
	Datum		values[] = {Int64GetDatum((int64) max_lag)};
	bool		lags;

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
walk_throttle(WalkShared *shared, TimestampTz started, uint64 wal_before, void (*commit)(void))
{
	double		worked = (double) (GetCurrentTimestamp() - started) / 1000.0;
	double		pause = worked * (1.0 / shared->busy_share - 1.0);

	if (shared->max_wal_rate > 0)
	{
		double		wal = (double) (pgWalUsage.wal_bytes - wal_before) * shared->processes;

		pause = Max(pause, wal * 1000.0 / (double) shared->max_wal_rate - worked);
	}
	walk_sleep(pause);
	if (shared->max_lag > 0)
		while (pg_atomic_read_u32(&shared->stop) == 0 && standby_lags(shared->max_lag, commit))
			walk_sleep(100);
}

/* ---- the caller ---- */

static void
commit_in_procedure(void)
{
	SPI_commit();
}

/* Locks a relation until release_held, or an error's, beyond commits. */
static void
hold_relation(Walk *walk, Relation rel, LOCKMODE lockmode)
{
	if (lockmode == NoLock || list_member_oid(walk->held, RelationGetRelid(rel)))
		return;
	LockRelationIdForSession(&rel->rd_lockInfo.lockRelId, lockmode);
	walk->held = lappend_oid(walk->held, RelationGetRelid(rel));
}

static void
release_held(Walk *walk)
{
	ListCell   *cell;

	foreach(cell, walk->held)
	{
		LockRelId	relation = {.relId = lfirst_oid(cell), .dbId = MyDatabaseId};

		UnlockRelationIdForSession(&relation, walk_methods[walk->shared->method]->held);
	}
}

bool
walk_hold_members(const WalkShared *shared, const WalkMember *members)
{
	for (int i = 0; i < shared->nmembers; i++)
	{
		LockRelId	relation = {.relId = members[i].relid, .dbId = MyDatabaseId};

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
walk_release_members(const WalkShared *shared, const WalkMember *members)
{
	for (int i = 0; i < shared->nmembers; i++)
	{
		LockRelId	relation = {.relId = members[i].relid, .dbId = MyDatabaseId};

		UnlockRelationIdForSession(&relation, RowExclusiveLock);
	}
}

/* Lists the relations to walk and their sizes, from the start of a transaction. */
static void
list_members(Walk *walk)
{
	const WalkMethod *method = walk_methods[walk->shared->method];
	List	   *rels = target_open(walk->target, AccessShareLock, "rotate");
	MemoryContext caller = MemoryContextSwitchTo(walk->context);
	WalkShared *shared = walk->shared;
	int			n = 0;
	uint64		total = 0;
	ListCell   *cell;

	walk->members = palloc(sizeof(WalkMember) * Max(list_length(rels), 1));
	foreach(cell, rels)
	{
		Relation	rel = lfirst(cell);
		WalkMember *member = &walk->members[n++];

		hold_relation(walk, rel, method->held);
		member->relid = RelationGetRelid(rel);
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
share_state(Walk *walk)
{
	WalkShared *local = walk->shared;
	Size		members_size = sizeof(WalkMember) * local->nmembers;
	Size		aad_size = walk->target->aad ? strlen(walk->target->aad) + 1 : 0;
	Size		settings_size = EstimateGUCStateSpace();
	Size		members_offset = MAXALIGN(sizeof(WalkShared));
	Size		aad_offset = members_offset + MAXALIGN(members_size);
	Size		settings_offset = aad_offset + MAXALIGN(aad_size);
	char	   *start;

	walk->segment = dsm_create(settings_offset + settings_size, DSM_CREATE_NULL_IF_MAXSEGMENTS);
	if (walk->segment == NULL)
		return;
	dsm_pin_mapping(walk->segment);
	start = dsm_segment_address(walk->segment);
	memcpy(start, local, sizeof(WalkShared));
	memcpy(start + members_offset, walk->members, members_size);
	if (aad_size > 0)
		memcpy(start + aad_offset, walk->target->aad, aad_size);
	SerializeGUCState(settings_size, start + settings_offset);

	walk->shared = (WalkShared *) start;
	walk->shared->members_offset = members_offset;
	walk->shared->aad_offset = aad_size > 0 ? aad_offset : 0;
	walk->shared->settings_offset = settings_offset;
	SpinLockInit(&walk->shared->lock);
}

/* Ends the workers and the segment, whose settings may hold keys. */
static void
end_walk(Walk *walk)
{
	if (walk->segment == NULL)
		return;
	pg_atomic_write_u32(&walk->shared->stop, 1);
	if (walk->workers)
		walk_workers_terminate(walk->workers);
	dbcrypt_cleanse((char *) walk->shared + walk->shared->settings_offset,
					dsm_segment_map_length(walk->segment) - walk->shared->settings_offset);
	dsm_detach(walk->segment);
	walk->segment = NULL;
}

static void
end_walk_on_error(int code, Datum arg)
{
	end_walk((Walk *) DatumGetPointer(arg));
}

/* Tells the caller, every few seconds, how far the pass is. */
static void
report(Walk *walk)
{
	WalkShared *shared = walk->shared;
	uint64		done = Min(counted(shared, WALK_BLOCKS), shared->total);
	TimestampTz now = GetCurrentTimestamp();
	double		seconds = (double) (now - walk->started) / 1e6;

	progress_update(done, rotated(shared));
	if (now - walk->reported < REPORT_SECONDS * USECS_PER_SEC || done == 0)
		return;
	walk->reported = now;
	ereport(NOTICE,
			(errmsg("column \"%s\" of table \"%s\": %.0f%%, %.0f rows per second, %.0f s left",
					walk->target->name, get_rel_name(walk->target->relid),
					100.0 * (double) done / (double) shared->total,
					(double) rotated(shared) / seconds,
					seconds * ((double) shared->total / (double) done - 1.0)),
			 errhidestmt(true), errhidecontext(true)));
}

/*
 * Registers the column. If it is registered, dbcrypt_revoke_key may hold the
 * registry and wait for a relation that we hold: then this locks nothing.
 */
static void
register_column(Walk *walk)
{
	if (walk->registered)
		return;
	PushActiveSnapshot(GetTransactionSnapshot());
	if (column_registered(walk->target->relid, walk->target->attnum) == NULL)
		column_register(walk->target);
	PopActiveSnapshot();
	SPI_commit();
	walk->registered = true;
}

/* Runs a VACUUM when enough index entries have died since the last. */
static void
vacuum_when_due(Walk *walk)
{
	WalkShared *shared = walk->shared;
	uint64		done = counted(shared, WALK_BLOCKS);
	uint64		cold = counted(shared, WALK_COLD);
	uint64		every = Max(4000, shared->total / 16);
	const WalkMember *member;

	if (walk->options->vacuum_every >= 0)
		every = (uint64) walk->options->vacuum_every * shared->batch_blocks;
	if (every == 0 || walk->vacuum_given_up || done - walk->vacuumed_at < every ||
		cold == walk->cold_at || shared->total == 0)
		return;
	progress_phase(PROGRESS_VACUUMING);
	member = member_of_block(shared, walk->members, Min(done, shared->total) - 1);
	if (!walk_vacuum(member->relid))
	{
		walk->vacuum_given_up = true;
		ereport(NOTICE, (errmsg("no background worker is free for VACUUM: going on without"),
						 errhint("Raise max_worker_processes, or the table grows.")));
	}
	walk->vacuumed_at = counted(shared, WALK_BLOCKS);
	walk->cold_at = counted(shared, WALK_COLD);
	progress_phase(PROGRESS_ROTATING);
}

/* Throws for what a worker or a value ended the walk with. */
static void
check_failures(Walk *walk)
{
	WalkShared *shared = walk->shared;
	StringInfoData detail;

	if (shared->error_code != 0)
	{
		int			code = shared->error_code;
		char	   *message = pstrdup(shared->error_message);

		ereport(ERROR, (errcode(code), errmsg("%s", message),
						errcontext("background worker of the rotation")));
	}
	if (shared->nbad == 0 || walk->options->skip_bad)
		return;
	initStringInfo(&detail);
	for (int i = 0; i < Min(shared->nbad, WALK_BAD_KEPT); i++)
	{
		WalkBadValue *bad = &shared->bad[i];

		appendStringInfo(&detail, "%sTable \"%s\", row (%u,%u): %s.", i > 0 ? "\n" : "",
						 get_rel_name(bad->relid), ItemPointerGetBlockNumberNoCheck(&bad->tid),
						 ItemPointerGetOffsetNumberNoCheck(&bad->tid), bad->reason);
	}
	if (shared->nbad > WALK_BAD_KEPT)
		appendStringInfo(&detail, "\nAnd %d more.", shared->nbad - WALK_BAD_KEPT);
	ereport(ERROR, (errcode(ERRCODE_DATA_EXCEPTION),
					errmsg("column \"%s\" of table \"%s\" holds values that cannot be rotated",
						   walk->target->name, get_rel_name(walk->target->relid)),
					errdetail("%s", detail.data),
					errhint("Correct them and call again, or pass on_error => 'skip'. What was "
							"rotated stays rotated.")));
}

/* One pass of batches over all members, alone or with the workers. */
static void
run_pass(Walk *walk)
{
	WalkShared *shared = walk->shared;
	bool		mine = true;

	for (;;)
	{
		TimestampTz started = GetCurrentTimestamp();
		uint64		wal_before = pgWalUsage.wal_bytes;

		CHECK_FOR_INTERRUPTS();
		if (mine)
			mine = walk_next_batch(shared, walk->members, walk->target, commit_in_procedure);
		if (rotated(shared) > 0)	/* a first batch has opened its values */
			register_column(walk);
		report(walk);
		if (shared->nbad > 0 && !walk->options->skip_bad)
			pg_atomic_write_u32(&shared->stop, 1);
		if (mine)
		{
			vacuum_when_due(walk);
			progress_phase(PROGRESS_WAITING);
			walk_throttle(shared, started, wal_before, commit_in_procedure);
			progress_phase(PROGRESS_ROTATING);
		}
		else if (walk->workers && walk_workers_running(walk->workers))
			walk_sleep(20);
		else
			break;
	}
	check_failures(walk);
}

/* Looks at every row of a relation that the active snapshot sees. */
static int64
inspect_rows(Relation rel, const TargetColumn *target, const WalkOptions *options,
			 WalkResult *result)
{
	int64		stale = 0;
	RowUpdater	updater;
	TableScanDesc scan;

	updater_begin(&updater, rel, target, true);
	updater.cipher.soft_errors = true;
	scan = table_beginscan(rel, GetActiveSnapshot(), 0, NULL);
	while (table_scan_getnextslot(scan, ForwardScanDirection, updater.row))
	{
		ColumnChange change;
		ValueOutcome outcome;

		CHECK_FOR_INTERRUPTS();
		updater.tid = updater.row->tts_tid;
		outcome = cipher_inspect(&updater.cipher, updater.row);
		if (outcome == VALUE_CHANGED && options->skip_bad)
			outcome = cipher_reencrypt(&updater.cipher, updater.row, false, &change);
		result->scanned++;
		result->nulls += outcome == VALUE_NULL;
		result->skipped += outcome == VALUE_BAD;
		stale += outcome == VALUE_CHANGED;
		ResetPerTupleExprContext(updater.estate);
	}
	table_endscan(scan);
	updater_end(&updater);
	return stale;
}

/*
 * Looks at every value once, under one snapshot. Returns how many still need
 * rotation; those that do not open are counted apart.
 */
static int64
check_pass(Walk *walk, WalkResult *result)
{
	const WalkMethod *method = walk_methods[walk->shared->method];
	int64		stale = 0;
	List	   *rels;
	ListCell   *cell;

	progress_phase(PROGRESS_CHECKING);
	XactIsoLevel = XACT_READ_COMMITTED;
	SetCurrentStatementStartTimestamp();
	if (method->before_inspect)
		method->before_inspect(walk->members, walk->shared->nmembers, walk->options);
	memset(result, 0, sizeof(*result));
	rels = target_open(walk->target, AccessShareLock, "rotate");
	PushActiveSnapshot(GetTransactionSnapshot());
	foreach(cell, rels)
	{
		Relation	rel = lfirst(cell);

		if (method->check)
			method->check(rel, walk->target);
		stale += (method->inspect ? method->inspect : inspect_rows)(rel, walk->target,
																   walk->options, result);
		relation_close(rel, NoLock);
	}
	PopActiveSnapshot();
	SPI_commit();
	return stale;
}

/* Passes until a check finds nothing left. */
static void
run_passes(Walk *walk, WalkResult *result)
{
	for (int pass = 1;; pass++)
	{
		int64		stale;

		walk->shared->pass = pass;
		walk->shared->pin_deadline = 0;
		run_pass(walk);
		stale = check_pass(walk, result);
		if (stale == 0)
			return;
		if (pass == MAX_PASSES)
			ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
							errmsg("column \"%s\" of table \"%s\" is still being written under "
								   "another key",
								   walk->target->name, get_rel_name(walk->target->relid)),
							errdetail("%lld values were found after %d passes.", (long long) stale,
									  pass),
							errhint("See that every session's first key is the new one, then call "
									"again.")));
		ereport(NOTICE, (errmsg("%lld values are not under the primary key yet: passing again",
								(long long) stale),
						 errhidestmt(true), errhidecontext(true)));
		walk->shared->nbad = 0;
		walk->vacuumed_at = walk->cold_at = 0;
		pg_atomic_write_u64(&walk->shared->counters[WALK_BLOCKS], 0);
		list_members(walk);
		SPI_commit();
		progress_total(walk->shared->total);
		progress_phase(PROGRESS_ROTATING);
	}
}

/* A fresh state from the options. */
static WalkShared *
make_state(const TargetColumn *target, int method, const WalkOptions *options)
{
	WalkShared *shared = palloc0(sizeof(WalkShared));

	shared->database = MyDatabaseId;
	shared->userid = GetUserId();
	shared->relid = target->relid;
	namestrcpy(&shared->column, target->name);
	shared->method = method;
	shared->batch_blocks = (uint32) options->batch_blocks;
	shared->processes = options->workers;
	shared->busy_share = options->busy_share;
	shared->max_wal_rate = options->max_wal_rate;
	shared->max_lag = options->max_lag;
	shared->pin_timeout = options->pin_timeout;
	shared->pass = 1;
	pg_atomic_init_u64(&shared->next, 0);
	pg_atomic_init_u32(&shared->stop, 0);
	for (int i = 0; i < WALK_COUNTERS; i++)
		pg_atomic_init_u64(&shared->counters[i], 0);
	SpinLockInit(&shared->lock);
	return shared;
}

void
walk_column(TargetColumn *target, int method, const WalkOptions *options, WalkResult *result)
{
	Walk		walk = {.target = target, .options = options, .context = CurrentMemoryContext};

	walk.shared = make_state(target, method, options);
	walk.started = walk.reported = GetCurrentTimestamp();
	list_members(&walk);
	(void) origin_lookup();
	SPI_commit();
	progress_start(target->relid, target->attnum, walk.shared->total);

	PG_ENSURE_ERROR_CLEANUP(end_walk_on_error, PointerGetDatum(&walk));
	{
		if (options->workers > 1)
		{
			share_state(&walk);
			if (walk.segment)
				walk.workers = walk_workers_start(walk.segment, options->workers - 1);
		}
		run_passes(&walk, result);
		register_column(&walk);
	}
	PG_END_ENSURE_ERROR_CLEANUP(end_walk_on_error, PointerGetDatum(&walk));

	if (result->skipped > 0)
		ereport(WARNING, (errmsg("column \"%s\" of table \"%s\" is not fully rotated",
								 target->name, get_rel_name(target->relid)),
						  errdetail("%lld values could not be opened and were skipped.",
									(long long) result->skipped),
						  errhint("dbcrypt_verify() lists them.")));
	result->rotated = rotated(walk.shared);
	for (int i = 0; i < WALK_COUNTERS; i++)
		result->counters[i] = (int64) counted(walk.shared, i);
	progress_end();
	release_held(&walk);
	end_walk(&walk);
}
