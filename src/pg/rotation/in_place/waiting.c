/*
 * waiting.c
 *		Whom a rotation in place waits for: transactions that may hold copies of
 *		rows as they were, and sessions that keep pages pinned.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "rotation/in_place/waiting.h"
#include "rotation/job_state.h"
#include "rotation/options.h"
#include "rotation/throttle.h"
#include "support/catalog.h"

/* Milliseconds between two looks. */
#define POLL_MS 20

/*
 * Of the transactions that hold a lock on the relations ($1), those that are in
 * $2, or all if it is NULL; $3: only writers. Prepared ones execute nothing and
 * hold no copies.
 */
#define USERS_QUERY                                                                               \
	"SELECT pg_catalog.array_agg(DISTINCT virtualtransaction), "                                  \
	"pg_catalog.string_agg(DISTINCT pid::text, ', ') FROM pg_catalog.pg_locks "                   \
	"WHERE locktype = 'relation' AND relation = ANY ($1) AND granted "                            \
	"AND database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database()) " \
	"AND pid <> pg_catalog.pg_backend_pid() AND ($2 IS NULL OR virtualtransaction = ANY ($2)) "   \
	"AND (NOT $3 OR mode IN ('RowExclusiveLock', 'ShareRowExclusiveLock', 'ExclusiveLock', "      \
	"'AccessExclusiveLock'))"

/*
 * Runs the query. True if it finds any; then *transactions is who, for the next
 * call, and *pids their processes.
 */
static bool
find_users(Datum relids, bool only_writers, Datum *transactions, char **pids)
{
	Oid types[] = {OIDARRAYOID, TEXTARRAYOID, BOOLOID};
	Datum values[] = {relids, *transactions, BoolGetDatum(only_writers)};
	char nulls[] = {' ', *transactions ? ' ' : 'n', ' ', '\0'};
	MemoryContext caller = CurrentMemoryContext;
	bool none;
	Datum found;

	SPI_connect();
	PushActiveSnapshot(GetTransactionSnapshot());
	(void) catalog_execute(USERS_QUERY, lengthof(types), types, values, nulls, SPI_OK_SELECT);
	found = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &none);
	if (!none)
	{
		MemoryContext spi = MemoryContextSwitchTo(caller);

		*transactions = datumCopy(found, false, -1);
		*pids = pstrdup(SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2));
		MemoryContextSwitchTo(spi);
	}
	PopActiveSnapshot();
	SPI_finish();
	return !none;
}

void
in_place_wait_for_writers(const JobRelation *relations, int nrelations,
						  const RotationOptions *options)
{
	Datum *relids = palloc(sizeof(Datum) * Max(nrelations, 1));
	TimestampTz deadline = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), options->pin_timeout);
	Datum array;
	Datum transactions = 0;
	char *pids;

	for (int i = 0; i < nrelations; i++)
		relids[i] = ObjectIdGetDatum(relations[i].relid);
	array = PointerGetDatum(
		construct_array(relids, nrelations, OIDOID, sizeof(Oid), true, TYPALIGN_INT));
	while (find_users(array, true, &transactions, &pids))
	{
		if (GetCurrentTimestamp() >= deadline)
		{
			ereport(NOTICE,
					(errmsg("transactions that wrote to the table during the rotation go on"),
					 errdetail("Processes: %s.", pids),
					 errhint("If one writes back a value that it read before, the value is under "
							 "an old key; dbcrypt_revoke_key() finds it."),
					 errhidestmt(true), errhidecontext(true)));
			return;
		}
		interruptible_sleep(POLL_MS);
	}
}

char *
in_place_describe_users(Oid relid)
{
	Datum relids[] = {ObjectIdGetDatum(relid)};
	Datum transactions = 0;
	char *pids;

	if (!find_users(
			PointerGetDatum(construct_array(relids, 1, OIDOID, sizeof(Oid), true, TYPALIGN_INT)),
			false, &transactions, &pids))
		return pstrdup("No other process has the table locked.");
	return psprintf("Processes that use the table: %s.", pids);
}
