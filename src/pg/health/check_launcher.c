/*
 * check_launcher.c
 *		Starts a worker for each database, one after the other, at server start and
 *		after each reload; the worker runs dbcrypt_check() (see check_worker.c).
 *
 * The launcher belongs to no database. A worker holds up DROP DATABASE and CREATE
 * DATABASE ... TEMPLATE, so the launcher looks now and then whether one waits, and
 * then ends its worker.
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_database.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/lock.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "health/check_launcher.h"
#include "keys/settings.h"
#include "support/background_worker.h"

/* How often the launcher looks after its worker. */
#define WATCH_MS 250

/* How long a database that could not be checked waits for its next turn. */
#define RETRY_MS 5000

PGDLLEXPORT void dbcrypt_check_launcher_main(Datum argument);

typedef struct Database
{
	Oid oid;
	char *name;
} Database;

/* How the check of a database ended. */
typedef enum CheckEnd
{
	CHECK_DONE,
	CHECK_NO_WORKER, /* max_worker_processes is used up */
	CHECK_CUT_SHORT	 /* someone drops or copies the database */
} CheckEnd;

/* Sleeps until a signal, or at most so long if that is not 0. */
static void
sleep_ms(long milliseconds)
{
	int events = WL_LATCH_SET | WL_EXIT_ON_PM_DEATH | (milliseconds > 0 ? WL_TIMEOUT : 0);

	(void) WaitLatch(MyLatch, events, milliseconds, PG_WAIT_EXTENSION);
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
}

/*
 * The databases, in the given context. Those that accept no connections too: their
 * owners decide that, and values are in them all the same.
 */
static List *
all_databases(MemoryContext context)
{
	List *databases = NIL;
	Relation rel;
	TableScanDesc scan;
	HeapTuple tuple;

	StartTransactionCommand();
	(void) GetTransactionSnapshot();
	rel = table_open(DatabaseRelationId, AccessShareLock);
	scan = table_beginscan_catalog(rel, 0, NULL);
	while ((tuple = heap_getnext(scan, ForwardScanDirection)) != NULL)
	{
		Form_pg_database row = (Form_pg_database) GETSTRUCT(tuple);
		MemoryContext caller;
		Database *database;

		if (row->datconnlimit < -1) /* -2: half dropped */
			continue;
		caller = MemoryContextSwitchTo(context);
		database = palloc(sizeof(Database));
		database->oid = row->oid;
		database->name = pstrdup(NameStr(row->datname));
		databases = lappend(databases, database);
		MemoryContextSwitchTo(caller);
	}
	table_endscan(scan);
	table_close(rel, AccessShareLock);
	CommitTransactionCommand();
	return databases;
}

/* Whether someone holds the lock on a database that keeps connections out. */
static bool
database_is_wanted(Oid database)
{
	LOCKTAG tag;
	bool wanted;

	SET_LOCKTAG_OBJECT(tag, InvalidOid, DatabaseRelationId, database, 0);
	StartTransactionCommand();
	wanted = LockAcquire(&tag, RowExclusiveLock, false, true) == LOCKACQUIRE_NOT_AVAIL;
	CommitTransactionCommand();
	return wanted;
}

/* Starts a worker that checks a database; false if none is to have. */
static bool
start_check(const Database *database, BackgroundWorkerHandle **handle)
{
	BackgroundWorker worker;

	background_worker_describe(&worker, "dbcrypt check", "dbcrypt_check_worker_main");
	worker.bgw_start_time = BgWorkerStart_ConsistentState;
	worker.bgw_main_arg = ObjectIdGetDatum(database->oid);
	strlcpy(worker.bgw_extra, database->name, sizeof(worker.bgw_extra));
	snprintf(worker.bgw_name, BGW_MAXLEN, "dbcrypt check of database %u", database->oid);
	return RegisterDynamicBackgroundWorker(&worker, handle);
}

/* Whether a check goes on for too long; says so. */
static bool
is_too_long(const Database *database, TimestampTz since)
{
	if (!TimestampDifferenceExceeds(since, GetCurrentTimestamp(), setting_check_timeout))
		return false;
	ereport(WARNING, (errmsg("dbcrypt: database \"%s\" could not be checked", database->name),
					  errdetail("The check took longer than dbcrypt.check_timeout, %d ms.",
								setting_check_timeout),
					  errhint("It is checked again after the next reload.")));
	return true;
}

/* Runs the check of one database in a worker, and waits for its end. */
static CheckEnd
check_database(const Database *database)
{
	TimestampTz since = GetCurrentTimestamp();
	BackgroundWorkerHandle *handle;
	BgwHandleStatus status;
	pid_t pid;
	bool ended = false;
	bool cut_short = false;

	if (database_is_wanted(database->oid))
		return CHECK_CUT_SHORT;
	if (!start_check(database, &handle))
		return CHECK_NO_WORKER;
	while (!ShutdownRequestPending &&
		   (status = GetBackgroundWorkerPid(handle, &pid)) != BGWH_STOPPED)
	{
		if (status == BGWH_STARTED && !ended && database_is_wanted(database->oid))
		{
			ended = cut_short = true;
			ereport(LOG, (errmsg("dbcrypt: the check of database \"%s\" gives way to a command "
								 "that needs the database to itself",
								 database->name),
						  errdetail("It is run again later.")));
		}
		if (!ended)
			ended = is_too_long(database, since);
		if (ended)
			TerminateBackgroundWorker(handle);
		sleep_ms(WATCH_MS);
	}
	if (ShutdownRequestPending)
		TerminateBackgroundWorker(handle);
	pfree(handle);
	return cut_short ? CHECK_CUT_SHORT : CHECK_DONE;
}

/* Whether the launcher has something else to do. */
static bool
is_signalled(void)
{
	return ShutdownRequestPending || ConfigReloadPending;
}

/* Checks every database, those that cannot be at once a little later. */
static void
check_databases(MemoryContext context)
{
	List *pending = NIL; /* OIDs, from the second round on */
	bool complained = false;

	do
	{
		List *again = NIL;
		ListCell *cell;

		foreach(cell, all_databases(context))
		{
			Database *database = lfirst(cell);
			CheckEnd end;

			if (pending != NIL && !list_member_oid(pending, database->oid))
				continue;
			if (is_signalled())
				return;
			end = check_database(database);
			if (end == CHECK_NO_WORKER && !complained)
			{
				complained = true;
				ereport(WARNING,
						(errmsg("dbcrypt: no background worker is free to check database \"%s\"",
								database->name),
						 errhint("Raise max_worker_processes. The check is tried again every "
								 "%d seconds.",
								 RETRY_MS / 1000)));
			}
			if (end != CHECK_DONE)
				again = lappend_oid(again, database->oid);
		}
		pending = again;
		if (pending != NIL && !is_signalled())
			sleep_ms(RETRY_MS);
	} while (pending != NIL && !is_signalled());
	if (pending == NIL)
		ereport(DEBUG1, (errmsg_internal("dbcrypt: checked every database")));
}

/* Main function of the launcher. */
void
dbcrypt_check_launcher_main(Datum argument)
{
	MemoryContext context;

	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, SignalHandlerForShutdownRequest);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnection(NULL, NULL, 0);
	SetConfigOption("default_transaction_isolation", "read committed", PGC_SUSET, PGC_S_OVERRIDE);
	context = AllocSetContextCreate(TopMemoryContext, "dbcrypt launcher", ALLOCSET_SMALL_SIZES);

	while (!ShutdownRequestPending)
	{
		MemoryContextSwitchTo(context);
		check_databases(context);
		MemoryContextReset(context);
		while (!is_signalled())
			sleep_ms(0);
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
		}
	}
	proc_exit(0);
}

void
check_launcher_init(void)
{
	BackgroundWorker launcher;

	if (!library_preloaded || IsBinaryUpgrade)
		return;
	background_worker_describe(&launcher, "dbcrypt launcher", "dbcrypt_check_launcher_main");
	launcher.bgw_start_time = BgWorkerStart_ConsistentState;
	launcher.bgw_restart_time = BGW_DEFAULT_RESTART_INTERVAL;
	launcher.bgw_notify_pid = 0; /* it is no dynamic worker */
	RegisterBackgroundWorker(&launcher);
}
