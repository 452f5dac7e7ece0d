/*
 * workers.c
 *		The background workers of a rotation job: they rotate batches as the caller
 *		does, with the caller's settings and rights.
 */
#include "postgres.h"

#include "access/xact.h"
#include "executor/instrument.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "storage/dsm.h"
#include "storage/ipc.h"
#include "storage/lmgr.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/timestamp.h"

#include "columns/opening.h"
#include "columns/target.h"
#include "core/api/status.h"
#include "keys/settings.h"
#include "rotation/batch.h"
#include "rotation/job_state.h"
#include "rotation/methods.h"
#include "rotation/throttle.h"
#include "rotation/workers.h"
#include "support/background_worker.h"

struct RotationWorkers
{
	dsm_segment *segment; /* NULL before it is there and after the end */
	JobState *shared;	  /* in the segment */
	char *settings;		  /* in the segment, NULL before they are there */
	Size settings_size;
	int wanted;
	int count;
	BackgroundWorkerHandle *handles[FLEXIBLE_ARRAY_MEMBER];
};

PGDLLEXPORT void dbcrypt_rotation_worker_main(Datum arg);

/* ---- the caller's side ---- */

RotationWorkers *
rotation_workers_create(int n)
{
	RotationWorkers *workers =
		palloc0(offsetof(RotationWorkers, handles) + sizeof(BackgroundWorkerHandle *) * n);

	workers->wanted = n;
	return workers;
}

/* Copies the state into a segment, with all that a worker needs; false if there is none to have. */
static bool
share_state(RotationWorkers *workers, const JobState *state, const JobRelation *relations,
			const TargetColumn *target)
{
	Size relations_size = sizeof(JobRelation) * state->nrelations;
	Size aad_size = target->aad ? strlen(target->aad) + 1 : 0;
	Size settings_size = EstimateGUCStateSpace();
	Size relations_offset = MAXALIGN(sizeof(JobState));
	Size aad_offset = relations_offset + MAXALIGN(relations_size);
	Size settings_offset = aad_offset + MAXALIGN(aad_size);
	char *start;

	workers->segment = dsm_create(settings_offset + settings_size, DSM_CREATE_NULL_IF_MAXSEGMENTS);
	if (workers->segment == NULL)
		return false;
	dsm_pin_mapping(workers->segment);
	start = dsm_segment_address(workers->segment);
	workers->shared = (JobState *) start;
	memcpy(start, state, sizeof(JobState));
	SpinLockInit(&workers->shared->lock);
	memcpy(start + relations_offset, relations, relations_size);
	if (aad_size > 0)
		memcpy(start + aad_offset, target->aad, aad_size);
	workers->shared->relations_offset = relations_offset;
	workers->shared->aad_offset = aad_size > 0 ? aad_offset : 0;
	workers->shared->settings_offset = settings_offset;

	workers->settings = start + settings_offset;
	workers->settings_size = settings_size;
	SerializeGUCState(settings_size, workers->settings);
	return true;
}

JobState *
rotation_workers_start(RotationWorkers *workers, JobState *state, const JobRelation *relations,
					   const TargetColumn *target)
{
	BackgroundWorker worker;

	if (!share_state(workers, state, relations, target))
		return state;
	background_worker_describe(&worker, "dbcrypt rotation worker", "dbcrypt_rotation_worker_main");
	worker.bgw_main_arg = UInt32GetDatum(dsm_segment_handle(workers->segment));
	while (workers->count < workers->wanted &&
		   background_worker_start(&worker, setting_max_workers, &workers->handles[workers->count]))
		workers->count++;
	return workers->shared;
}

int
rotation_workers_count(const RotationWorkers *workers)
{
	return workers->count;
}

bool
rotation_workers_running(const RotationWorkers *workers)
{
	for (int i = 0; i < workers->count; i++)
	{
		pid_t pid;
		BgwHandleStatus status = GetBackgroundWorkerPid(workers->handles[i], &pid);

		if (status == BGWH_STARTED || status == BGWH_NOT_YET_STARTED)
			return true;
	}
	return false;
}

void
rotation_workers_end(RotationWorkers *workers)
{
	dsm_segment *segment = workers->segment;

	if (segment == NULL)
		return;
	workers->segment = NULL;
	job_stop(workers->shared);
	for (int i = 0; i < workers->count; i++)
		TerminateBackgroundWorker(workers->handles[i]);
	dbcrypt_cleanse(workers->settings, workers->settings_size);
	dsm_detach(segment);
}

/* ---- the worker's side ---- */

/* The CommitFunction of a worker. */
static void
commit_in_worker(void)
{
	MemoryContext caller = CurrentMemoryContext;

	CommitTransactionCommand();
	StartTransactionCommand();
	MemoryContextSwitchTo(caller);
}

/* Releases the first n relations that lock_relations has locked. */
static void
unlock_relations(const JobRelation *relations, int n)
{
	for (int i = 0; i < n; i++)
	{
		LockRelId lock = {.relId = relations[i].relid, .dbId = MyDatabaseId};

		UnlockRelationIdForSession(&lock, RowExclusiveLock);
	}
}

/*
 * Locks every relation beyond commits, as the caller has; false, with none locked,
 * where someone waits for one. Without it, the worker's next batch would queue
 * behind a command that waits for the caller, who waits for the worker.
 */
static bool
lock_relations(const JobRelation *relations, int n)
{
	for (int i = 0; i < n; i++)
	{
		LockRelId lock = {.relId = relations[i].relid, .dbId = MyDatabaseId};

		if (!ConditionalLockRelationOid(relations[i].relid, RowExclusiveLock))
		{
			unlock_relations(relations, i);
			return false;
		}
		LockRelationIdForSession(&lock, RowExclusiveLock);
	}
	return true;
}

/* Rotates batches until none is left or the job stops. */
static void
rotate_batches(JobState *shared)
{
	char *start = (char *) shared;
	const JobRelation *relations = (JobRelation *) (start + shared->relations_offset);
	TargetColumn target = {.relid = shared->relid, .attnum = shared->attnum};
	bool lock = job_method(shared)->session_lock != NoLock;

	if (shared->aad_offset != 0)
		target.aad = start + shared->aad_offset;
	column_refresh_name(&target);
	column_resolve(&target);
	if (lock && !lock_relations(relations, shared->nrelations))
		return;
	for (;;)
	{
		TimestampTz started = GetCurrentTimestamp();
		uint64 wal_before = pgWalUsage.wal_bytes;

		CHECK_FOR_INTERRUPTS();
		if (!batch_rotate_next(shared, relations, &target, commit_in_worker))
			break;
		job_throttle(shared, started, wal_before, commit_in_worker);
	}
	if (lock)
		unlock_relations(relations, shared->nrelations);
}

/* Takes over the caller's settings and rights, and rotates. Its error is left to the caller. */
static void
work_as_caller(JobState *shared, MemoryContext context)
{
	PG_TRY();
	{
		StartTransactionCommand();
		RestoreGUCState((char *) shared + shared->settings_offset);
		CommitTransactionCommand();
		StartTransactionCommand();
		SetUserIdAndSecContext(shared->userid, 0);
		MemoryContextSwitchTo(context);
		pgstat_report_activity(STATE_RUNNING, "dbcrypt rotation worker");
		rotate_batches(shared);
		CommitTransactionCommand();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		job_note_error(shared, CopyErrorData());
		PG_RE_THROW();
	}
	PG_END_TRY();
}

/* Entry of a rotation worker; arg: the handle of its job's segment. */
void
dbcrypt_rotation_worker_main(Datum arg)
{
	MemoryContext context;
	dsm_segment *segment;
	JobState *shared;

	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	CurrentResourceOwner = ResourceOwnerCreate(NULL, "dbcrypt worker");
	context = AllocSetContextCreate(TopMemoryContext, "dbcrypt worker", ALLOCSET_DEFAULT_SIZES);

	segment = dsm_attach(DatumGetUInt32(arg));
	if (segment == NULL)
		return; /* the caller is gone */
	dsm_pin_mapping(segment);
	shared = dsm_segment_address(segment);
	background_worker_connect(shared->database, 0);
	background_worker_show_role(shared->userid);
	work_as_caller(shared, context);
	dsm_detach(segment);
}
