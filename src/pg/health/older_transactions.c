/*
 * older_transactions.c
 *		Transactions that may still write a value under a key, or hold a copy of one.
 *
 * As CREATE INDEX CONCURRENTLY does: list the virtual transactions that run now, and
 * wait for the lock that each holds until it ends.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "nodes/pg_list.h"
#include "storage/lock.h"
#include "storage/proc.h"
#include "storage/procarray.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "health/older_transactions.h"
#include "rotation/throttle.h"
#include "support/catalog.h"
#include "support/compat.h"
#include "support/subtransaction.h"

/* Milliseconds between two looks. */
#define POLL_MS 20

/* Who the processes ($1) are; never what they execute. */
#define PROCESSES_QUERY                                                                    \
	"SELECT pg_catalog.string_agg(pg_catalog.concat(pid::text, ' (role ', usename::text, " \
	"', application \"', application_name, '\", ', state, ')'), ', ' ORDER BY pid) "       \
	"FROM pg_catalog.pg_stat_activity WHERE pid OPERATOR(pg_catalog.=) ANY ($1)"

/* The prepared transactions of this database. */
#define PREPARED_QUERY                                                                \
	"SELECT pg_catalog.string_agg(pg_catalog.quote_literal(gid), ', ' ORDER BY gid) " \
	"FROM pg_catalog.pg_prepared_xacts "                                              \
	"WHERE database OPERATOR(pg_catalog.=) pg_catalog.current_database()"

/* The one text that a query gives, in the caller's memory; NULL for NULL. */
static char *
query_text(const char *query, int nargs, Oid *types, Datum *values)
{
	MemoryContext caller = CurrentMemoryContext;
	char *found;

	SPI_connect();
	PushActiveSnapshot(GetLatestSnapshot());
	(void) catalog_execute(query, nargs, types, values, NULL, SPI_OK_SELECT);
	found = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
	if (found)
		found = MemoryContextStrdup(caller, found);
	PopActiveSnapshot();
	SPI_finish();
	return found;
}

/*
 * The transactions of this database that have a snapshot or a transaction id. One that
 * has neither has read and written nothing that it still holds. VACUUM and autovacuum
 * write no values.
 */
static List *
running_transactions(void)
{
	int count;
	VirtualTransactionId *all = GetCurrentVirtualXIDs(InvalidTransactionId, false, false,
													  PROC_IS_AUTOVACUUM | PROC_IN_VACUUM, &count);
	List *running = NIL;

	for (int i = 0; i < count; i++)
	{
		PGPROC *process = compat_transaction_process(&all[i]);

		if (process == NULL || TransactionIdIsValid(process->xid) ||
			TransactionIdIsValid(process->xmin))
			running = lappend(running, &all[i]);
	}
	return running;
}

/* Says who runs these transactions: processes, and prepared transactions. */
static char *
describe(List *transactions)
{
	Oid types[] = {INT4ARRAYOID};
	Datum *pids = palloc(sizeof(Datum) * Max(list_length(transactions), 1));
	int count = 0;
	Datum array;
	char *processes;
	char *prepared = query_text(PREPARED_QUERY, 0, NULL, NULL);
	ListCell *cell;

	foreach(cell, transactions)
	{
		PGPROC *process = compat_transaction_process(lfirst(cell));

		if (process)
			pids[count++] = Int32GetDatum(process->pid);
	}
	array =
		PointerGetDatum(construct_array(pids, count, INT4OID, sizeof(int32), true, TYPALIGN_INT));
	processes = query_text(PROCESSES_QUERY, 1, types, &array);
	return psprintf("%s%s%s%s%s%s%s", processes ? "Processes: " : "", processes ? processes : "",
					processes ? "." : "", processes && prepared ? " " : "",
					prepared ? "Prepared transactions: " : "", prepared ? prepared : "",
					prepared ? "." : "");
}

/* Drops from the list what has ended. */
static List *
still_running(List *transactions)
{
	ListCell *cell;

	foreach(cell, transactions)
		if (VirtualXactLock(*(VirtualTransactionId *) lfirst(cell), false))
			transactions = foreach_delete_current(transactions, cell);
	return transactions;
}

/* Waits for the end of a transaction, for subtransaction_run. */
static void
wait_for_transaction(void *arg)
{
	(void) VirtualXactLock(*(VirtualTransactionId *) arg, true);
}

/* Whether the transaction ends within so many milliseconds. */
static bool
transaction_ends(VirtualTransactionId *transaction, int64 timeout)
{
	int nestlevel;
	ErrorData *error;

	if (timeout <= 0)
		return VirtualXactLock(*transaction, false);
	nestlevel = NewGUCNestLevel();
	SetConfigOption("lock_timeout", psprintf("%dms", (int) timeout), PGC_USERSET, PGC_S_SESSION);
	error = subtransaction_run(wait_for_transaction, transaction);
	if (error && error->sqlerrcode != ERRCODE_LOCK_NOT_AVAILABLE)
		ReThrowError(error);
	AtEOXact_GUC(false, nestlevel);
	return error == NULL;
}

char *
older_transactions_prepared(void)
{
	char *prepared = query_text(PREPARED_QUERY, 0, NULL, NULL);

	return prepared ? psprintf("Prepared transactions: %s.", prepared) : NULL;
}

void
older_transactions_wait(int timeout)
{
	TimestampTz deadline = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), timeout);
	char *prepared = older_transactions_prepared();
	List *running;
	ListCell *cell;

	if (prepared)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_IN_USE),
				 errmsg("prepared transactions may hold values under the keys"),
				 errdetail("%s", prepared),
				 errhint("Commit or roll them back, then call dbcrypt_revoke_keys() again. Until "
						 "then the keys are retired: they open values and encrypt none.")));
	running = still_running(running_transactions());
	if (running != NIL)
		ereport(NOTICE,
				(errmsg("waiting for transactions that may hold values under the keys: %d",
						list_length(running)),
				 errdetail("%s", describe(running)), errhidestmt(true), errhidecontext(true)));
	foreach(cell, running)
	{
		int64 left = TimestampDifferenceMilliseconds(GetCurrentTimestamp(), deadline);

		if (!transaction_ends(lfirst(cell), left))
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_IN_USE),
					 errmsg("transactions that may hold values under the keys go on"),
					 errdetail("%s", describe(still_running(running))),
					 errhint("End them, or call dbcrypt_revoke_keys() again with a longer "
							 "wait_timeout. Until then the keys are retired: they open values "
							 "and encrypt none.")));
	}
}

char *
older_transactions_left(int timeout)
{
	TimestampTz deadline = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), timeout);
	List *running = still_running(running_transactions());

	while (running != NIL && GetCurrentTimestamp() < deadline)
	{
		interruptible_sleep(POLL_MS);
		running = still_running(running);
	}
	return running == NIL ? NULL : describe(running);
}
