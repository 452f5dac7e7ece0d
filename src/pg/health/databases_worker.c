/*
 * databases_worker.c
 *		The worker of dbcrypt_databases: searches one database for a key.
 */
#include "postgres.h"

#include "access/xact.h"
#include "commands/extension.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "storage/dsm.h"
#include "storage/ipc.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"

#include "health/census.h"
#include "health/census_result.h"
#include "health/databases.h"
#include "support/background_worker.h"

PGDLLEXPORT void dbcrypt_database_worker_main(Datum argument);

/* What the census of this database says of a key. */
static DatabaseAnswer
search_key(char *key_id)
{
	CensusRequest request = {.key_ids = list_make1(key_id)};
	DatabaseAnswer answer = DATABASE_NOT_IN_USE;
	ListCell *cell;

	PushActiveSnapshot(GetTransactionSnapshot());
	foreach(cell, census_run(&request))
	{
		const CensusRow *row = lfirst(cell);

		if (row->state != CENSUS_NOT_READABLE && row->key_id[0] != '\0')
			answer = DATABASE_IN_USE;
		else if ((row->registered || row->state == CENSUS_NOT_READABLE) &&
				 answer == DATABASE_NOT_IN_USE)
			answer = DATABASE_NOT_ASKED; /* it may be under the key, or its values */
	}
	PopActiveSnapshot();
	return answer;
}

/* Entry of the worker; argument: the handle of the segment with the question. */
void
dbcrypt_database_worker_main(Datum argument)
{
	DatabaseQuestion *question;
	dsm_segment *segment;

	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	CurrentResourceOwner = ResourceOwnerCreate(NULL, "dbcrypt worker");
	segment = dsm_attach(DatumGetUInt32(argument));
	if (segment == NULL)
		return; /* the caller is gone */
	dsm_pin_mapping(segment);
	question = dsm_segment_address(segment);
	background_worker_limit_waiting();
	background_worker_connect(question->database, BGWORKER_BYPASS_ALLOWCONN);
	SetConfigOption("default_transaction_isolation", "read committed", PGC_SUSET, PGC_S_OVERRIDE);

	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	pgstat_report_activity(STATE_RUNNING, "dbcrypt census worker");
	question->answer = OidIsValid(get_extension_oid("dbcrypt", true)) ? search_key(question->key_id)
																	  : DATABASE_NO_EXTENSION;
	CommitTransactionCommand();
	proc_exit(0);
}
