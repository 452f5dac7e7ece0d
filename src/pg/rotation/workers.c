/*
 * workers.c
 *		Background workers of a walk: they rotate batches as the caller does, or
 *		run the VACUUM that a procedure cannot.
 */
#include "postgres.h"

#include "access/xact.h"
#include "commands/vacuum.h"
#include "executor/instrument.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "parser/parse_node.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "storage/ipc.h"
#include "tcop/tcopprot.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "columns/opening.h"
#include "columns/target.h"
#include "rotation/job.h"

struct RotationWorkers
{
	int count;
	BackgroundWorkerHandle *handles[FLEXIBLE_ARRAY_MEMBER];
};

/* What a VACUUM worker needs, in bgw_extra. */
typedef struct VacuumOrder
{
	Oid database;
	Oid relid;
} VacuumOrder;

PGDLLEXPORT void dbcrypt_rotation_worker_main(Datum arg);
PGDLLEXPORT void dbcrypt_vacuum_worker_main(Datum arg);

/* A worker description with what all of ours share. */
static void
describe_worker(BackgroundWorker *worker, const char *type, const char *function)
{
	memset(worker, 0, sizeof(*worker));
	strlcpy(worker->bgw_name, type, BGW_MAXLEN);
	strlcpy(worker->bgw_type, type, BGW_MAXLEN);
	worker->bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker->bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker->bgw_restart_time = BGW_NEVER_RESTART;
	strlcpy(worker->bgw_library_name, "dbcrypt", sizeof(worker->bgw_library_name));
	strlcpy(worker->bgw_function_name, function, sizeof(worker->bgw_function_name));
	worker->bgw_notify_pid = MyProcPid;
}

RotationWorkers *
rotation_workers_start(dsm_segment *segment, int n)
{
	RotationWorkers *workers =
		palloc(offsetof(RotationWorkers, handles) + sizeof(BackgroundWorkerHandle *) * n);
	BackgroundWorker worker;

	workers->count = 0;
	describe_worker(&worker, "dbcrypt rotation worker", "dbcrypt_rotation_worker_main");
	worker.bgw_main_arg = UInt32GetDatum(dsm_segment_handle(segment));
	while (workers->count < n &&
		   RegisterDynamicBackgroundWorker(&worker, &workers->handles[workers->count]))
		workers->count++;
	return workers;
}

int
rotation_workers_count(RotationWorkers *workers)
{
	return workers->count;
}

bool
rotation_workers_running(RotationWorkers *workers)
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
rotation_workers_terminate(RotationWorkers *workers)
{
	for (int i = 0; i < workers->count; i++)
		TerminateBackgroundWorker(workers->handles[i]);
}

static void
commit_in_worker(void)
{
	MemoryContext caller = CurrentMemoryContext;

	CommitTransactionCommand();
	StartTransactionCommand();
	MemoryContextSwitchTo(caller);
}

/* Leaves the error for the caller to throw; the first one counts. */
static void
keep_error(JobState *shared, MemoryContext context)
{
	ErrorData *error;
	bool first;

	MemoryContextSwitchTo(context);
	error = CopyErrorData();
	SpinLockAcquire(&shared->lock);
	first = !shared->failed;
	shared->failed = true;
	SpinLockRelease(&shared->lock);
	if (first)
	{
		strlcpy(shared->error_message, error->message ? error->message : "unknown error",
				sizeof(shared->error_message));
		strlcpy(shared->error_detail, error->detail ? error->detail : "",
				sizeof(shared->error_detail));
		strlcpy(shared->error_hint, error->hint ? error->hint : "", sizeof(shared->error_hint));
		pg_write_barrier();
		shared->error_code = error->sqlerrcode;
	}
	pg_atomic_write_u32(&shared->stop, 1);
}

/* Rotates batches until none is left or the walk stops. */
static void
work(JobState *shared)
{
	char *start = (char *) shared;
	const JobMember *members = (JobMember *) (start + shared->members_offset);
	TargetColumn target = {.relid = shared->relid, .name = NameStr(shared->column)};
	bool hold = rotation_methods[shared->method]->held != NoLock;
	TimestampTz started;
	uint64 wal_before;

	if (shared->aad_offset != 0)
		target.aad = start + shared->aad_offset;
	column_resolve(&target);
	if (hold && !batch_hold_members(shared, members))
		return;
	for (;;)
	{
		CHECK_FOR_INTERRUPTS();
		started = GetCurrentTimestamp();
		wal_before = pgWalUsage.wal_bytes;
		if (!batch_rotate_next(shared, members, &target, commit_in_worker))
			break;
		job_throttle(shared, started, wal_before, commit_in_worker);
	}
	if (hold)
		batch_release_members(shared, members);
}

/* Entry of a rotation worker; arg: the handle of its walk's segment. */
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
	BackgroundWorkerInitializeConnectionByOid(shared->database, InvalidOid, 0);

	PG_TRY();
	{
		StartTransactionCommand();
		RestoreGUCState((char *) shared + shared->settings_offset);
		CommitTransactionCommand();
		StartTransactionCommand();
		SetUserIdAndSecContext(shared->userid, 0);
		MemoryContextSwitchTo(context);
		pgstat_report_activity(STATE_RUNNING, "dbcrypt rotation worker");
		work(shared);
		CommitTransactionCommand();
	}
	PG_CATCH();
	{
		keep_error(shared, context);
		PG_RE_THROW();
	}
	PG_END_TRY();
	dsm_detach(segment);
}

/* Entry of a VACUUM worker; its order is in bgw_extra. */
void
dbcrypt_vacuum_worker_main(Datum arg)
{
	VacuumOrder order;
	VacuumStmt *statement;
	ParseState *pstate;

	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	memcpy(&order, MyBgworkerEntry->bgw_extra, sizeof(order));
	BackgroundWorkerInitializeConnectionByOid(order.database, InvalidOid, 0);

	PortalContext =
		AllocSetContextCreate(TopMemoryContext, "dbcrypt vacuum", ALLOCSET_DEFAULT_SIZES);
	StartTransactionCommand();
	MemoryContextSwitchTo(PortalContext);
	pgstat_report_activity(STATE_RUNNING, "dbcrypt: VACUUM between batches");
	statement = makeNode(VacuumStmt);
	statement->is_vacuumcmd = true;
	statement->options = list_make2(makeDefElem("truncate", (Node *) makeString("off"), -1),
									makeDefElem("skip_locked", NULL, -1));
	statement->rels = list_make1(makeVacuumRelation(NULL, order.relid, NIL));
	pstate = make_parsestate(NULL);
	ExecVacuum(pstate, statement, true);
	CommitTransactionCommand();
}

bool
rotation_vacuum(Oid relid)
{
	VacuumOrder order = {.database = MyDatabaseId, .relid = relid};
	BackgroundWorker worker;
	BackgroundWorkerHandle *handle;
	BgwHandleStatus status;

	StaticAssertStmt(sizeof(order) <= BGW_EXTRALEN, "order must fit bgw_extra");
	describe_worker(&worker, "dbcrypt vacuum worker", "dbcrypt_vacuum_worker_main");
	memcpy(worker.bgw_extra, &order, sizeof(order));
	if (!RegisterDynamicBackgroundWorker(&worker, &handle))
		return false;
	PG_TRY();
	{
		status = WaitForBackgroundWorkerShutdown(handle);
	}
	PG_CATCH();
	{
		TerminateBackgroundWorker(handle);
		PG_RE_THROW();
	}
	PG_END_TRY();
	if (status == BGWH_POSTMASTER_DIED)
		proc_exit(1);
	return true;
}
