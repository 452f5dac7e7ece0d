/*
 * databases.c
 *		dbcrypt_databases: in which databases of the server a key is in use.
 *
 * All of them share the key file. A backend reads one database only, so a worker is
 * started in each, one after the other, also in those that accept no connection.
 */
#include "postgres.h"

#include "executor/spi.h"
#include "fmgr.h"
#include "postmaster/bgworker.h"
#include "storage/dsm.h"
#include "utils/builtins.h"
#include "utils/tuplestore.h"

#include "health/databases.h"
#include "keys/settings.h"
#include "support/arguments.h"
#include "support/background_worker.h"

PG_FUNCTION_INFO_V1(dbcrypt_databases);

static const char *const answers[] = {
	[DATABASE_NOT_ASKED] = "could not be asked",
	[DATABASE_NO_EXTENSION] = "no extension: not searched",
	[DATABASE_NOT_IN_USE] = "not in use",
	[DATABASE_IN_USE] = "in use",
};

/* Refuses what is no key's id: every database would answer that it is not in use. */
static void
check_key_id(const char *key_id)
{
	if (strlen(key_id) != DBCRYPT_KEY_ID_LEN ||
		strspn(key_id, "0123456789abcdef") != DBCRYPT_KEY_ID_LEN)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("not the id of a key"),
						errhint("dbcrypt_key_status has the ids of all keys.")));
}

/* Starts a worker that answers the question, and waits for it; whether it ended in time. */
static bool
run_worker(dsm_segment *segment)
{
	BackgroundWorker worker;
	BackgroundWorkerHandle *handle;

	background_worker_describe(&worker, "dbcrypt census worker", "dbcrypt_database_worker_main");
	worker.bgw_start_time = BgWorkerStart_ConsistentState;
	worker.bgw_main_arg = UInt32GetDatum(dsm_segment_handle(segment));
	return RegisterDynamicBackgroundWorker(&worker, &handle) &&
		   background_worker_wait(handle, setting_check_timeout);
}

/* What a database answers. */
static DatabaseAnswer
ask_database(Oid database, const char *key_id)
{
	dsm_segment *segment = dsm_create(sizeof(DatabaseQuestion), DSM_CREATE_NULL_IF_MAXSEGMENTS);
	DatabaseQuestion *question;
	DatabaseAnswer answer;

	if (segment == NULL)
		return DATABASE_NOT_ASKED;
	question = dsm_segment_address(segment);
	memset(question, 0, sizeof(*question));
	question->database = database;
	strlcpy(question->key_id, key_id, sizeof(question->key_id));
	answer = run_worker(segment) ? question->answer : DATABASE_NOT_ASKED;
	dsm_detach(segment);
	return answer;
}

/* dbcrypt_databases(key_id text): a row for each database of the server. */
Datum
dbcrypt_databases(PG_FUNCTION_ARGS)
{
	char *key_id = text_to_cstring(PG_GETARG_TEXT_PP(0));
	ReturnSetInfo *result = result_set(fcinfo, 2);

	check_key_id(key_id);
	SPI_connect();
	if (SPI_execute("SELECT oid, datname FROM pg_catalog.pg_database ORDER BY datname", true, 0) !=
		SPI_OK_SELECT)
		elog(ERROR, "query on pg_database failed");
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		HeapTuple row = SPI_tuptable->vals[i];
		TupleDesc desc = SPI_tuptable->tupdesc;
		Datum values[2];
		bool nulls[2] = {false};
		bool isnull;
		Oid database = DatumGetObjectId(SPI_getbinval(row, desc, 1, &isnull));

		values[0] = SPI_getbinval(row, desc, 2, &isnull);
		values[1] = CStringGetTextDatum(answers[ask_database(database, key_id)]);
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	SPI_finish();
	return (Datum) 0;
}
