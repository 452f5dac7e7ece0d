/*
 * background_worker.c
 *		What the background workers of this library have in common.
 */
#include "postgres.h"

#include "access/parallel.h"
#include "access/xact.h"
#include "catalog/pg_authid.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "port/atomics.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "utils/backend_status.h"
#include "utils/guc.h"
#include "utils/timestamp.h"

#include "core/api/status.h"
#include "support/background_worker.h"

void
background_worker_describe(BackgroundWorker *worker, const char *type, const char *function)
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

/*
 * PostgreSQL counts the workers of this class itself, under a lock and for the whole
 * server, against max_parallel_workers. But that is a setting that everybody may raise.
 */
bool
background_worker_start(BackgroundWorker *worker, int limit, BackgroundWorkerHandle **handle)
{
	int session_limit = max_parallel_workers;
	bool started;

	worker->bgw_flags |= BGWORKER_CLASS_PARALLEL;
	PG_TRY();
	{
		max_parallel_workers = Min(session_limit, limit);
		started = RegisterDynamicBackgroundWorker(worker, handle);
	}
	PG_FINALLY();
	{
		max_parallel_workers = session_limit;
	}
	PG_END_TRY();
	return started;
}

/* Ends a worker, as a callback of PG_ENSURE_ERROR_CLEANUP. */
static void
terminate_worker(int code, Datum handle)
{
	TerminateBackgroundWorker((BackgroundWorkerHandle *) DatumGetPointer(handle));
}

bool
background_worker_wait(BackgroundWorkerHandle *handle, int milliseconds)
{
	TimestampTz end = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), milliseconds);
	bool stopped = false;

	PG_ENSURE_ERROR_CLEANUP(terminate_worker, PointerGetDatum(handle));
	{
		pid_t pid;

		while (!(stopped = GetBackgroundWorkerPid(handle, &pid) == BGWH_STOPPED))
		{
			long left = TimestampDifferenceMilliseconds(GetCurrentTimestamp(), end);

			if (left <= 0)
				break;
			(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
							 Min(left, 1000), PG_WAIT_EXTENSION);
			ResetLatch(MyLatch);
			CHECK_FOR_INTERRUPTS();
		}
	}
	PG_END_ENSURE_ERROR_CLEANUP(terminate_worker, PointerGetDatum(handle));
	if (!stopped)
		TerminateBackgroundWorker(handle);
	return stopped;
}

/* Counts for the connection itself already, and no setting of the database's undoes it. */
void
background_worker_limit_waiting(void)
{
	SetConfigOption("lock_timeout", "10s", PGC_SUSET, PGC_S_OVERRIDE);
}

/*
 * A connection applies what ALTER DATABASE ... SET holds, as ordinary sessions want it.
 * A database's owner may set role, session_authorization, exit_on_error and more there.
 * So all settings become again what they were before the connection: the server's.
 */
void
background_worker_connect(Oid database, uint32 flags)
{
	Size size = EstimateGUCStateSpace();
	char *settings = palloc(size);

	SerializeGUCState(size, settings);
	BackgroundWorkerInitializeConnectionByOid(database, InvalidOid, flags);
	HOLD_INTERRUPTS(); /* those of a transaction_timeout, for one, come to nothing so */
	StartTransactionCommand();
	InitializingParallelWorker = true; /* restores transaction_read_only on a standby, too */
	RestoreGUCState(settings);
	InitializingParallelWorker = false;
	CommitTransactionCommand();
	SetCurrentRoleId(InvalidOid, false);
	SetSessionAuthorization(BOOTSTRAP_SUPERUSERID, true);
	RESUME_INTERRUPTS();
	dbcrypt_cleanse(settings, size); /* dbcrypt.keys may be among them */
	pfree(settings);
}

void
background_worker_show_role(Oid role)
{
	volatile PgBackendStatus *entry = MyBEEntry;

	PGSTAT_BEGIN_WRITE_ACTIVITY(entry);
	entry->st_userid = role;
	PGSTAT_END_WRITE_ACTIVITY(entry);
}
