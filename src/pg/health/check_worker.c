/*
 * check_worker.c
 *		Runs dbcrypt_check() in one database and logs its findings.
 */
#include "postgres.h"

#include "access/xact.h"
#include "commands/dbcommands.h"
#include "commands/extension.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "storage/ipc.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"

#include "support/background_worker.h"
#include "support/catalog.h"
#include "support/compat.h"

PGDLLEXPORT void dbcrypt_check_worker_main(Datum argument);

/* Runs dbcrypt_check() and logs its rows. */
static void
log_findings(void)
{
	char *database = get_database_name(MyDatabaseId);
	char *query = psprintf("SELECT * FROM %s()", catalog_relation_name("dbcrypt_check"));

	pgstat_report_activity(STATE_RUNNING, query);
	PushActiveSnapshot(GetTransactionSnapshot());
	SPI_connect();
	if (SPI_execute(query, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "dbcrypt_check() failed");
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		HeapTuple row = SPI_tuptable->vals[i];
		TupleDesc desc = SPI_tuptable->tupdesc;

		ereport(strcmp(SPI_getvalue(row, desc, 1), "notice") == 0 ? LOG : WARNING,
				(errmsg("dbcrypt: database \"%s\", %s: %s", database, SPI_getvalue(row, desc, 2),
						SPI_getvalue(row, desc, 3)),
				 errhint("%s", SPI_getvalue(row, desc, 4))));
	}
	SPI_finish();
	PopActiveSnapshot();
}

static bool done = false;
static volatile sig_atomic_t asked_to_end = false;

/* Signal handler: the launcher says why it ends its worker. */
static void
end(SIGNAL_ARGS)
{
	asked_to_end = true;
	die(COMPAT_SIGNAL);
}

/* At the end of the process: says that the check failed, of which the log has the error. */
static void
log_failure(int code, Datum argument)
{
	if (!done && !asked_to_end)
		ereport(WARNING, (errmsg("dbcrypt: database \"%s\" could not be checked",
								 MyBgworkerEntry->bgw_extra),
						  errhint("The error is logged above. It is checked again after the next "
								  "reload.")));
}

/* Main function of a worker: checks the database with this OID; its name is in bgw_extra. */
void
dbcrypt_check_worker_main(Datum argument)
{
	pqsignal(SIGTERM, end);
	BackgroundWorkerUnblockSignals();
	before_shmem_exit(log_failure, (Datum) 0);
	background_worker_limit_waiting();
	background_worker_connect(DatumGetObjectId(argument), BGWORKER_BYPASS_ALLOWCONN);
	SetConfigOption("default_transaction_isolation", "read committed", PGC_SUSET, PGC_S_OVERRIDE);

	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	if (OidIsValid(get_extension_oid("dbcrypt", true)))
		log_findings();
	CommitTransactionCommand();
	done = true;
	proc_exit(0);
}
