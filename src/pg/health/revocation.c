/*
 * revocation.c
 *		Keys are retired, revoked and reinstated: dbcrypt_revoke_keys, dbcrypt_revoke_key
 *		and dbcrypt_reinstate_key.
 *
 * A key is active, retired (it opens values and encrypts none) or revoked (neither).
 * Retiring it first makes the search for its values final: once every transaction
 * that began before has ended, nobody writes another.
 */
#include "postgres.h"

#include "access/relation.h"
#include "catalog/pg_type.h"
#include "commands/tablecmds.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "columns/members.h"
#include "columns/opening.h"
#include "columns/target.h"
#include "core/api/keyring.h"
#include "health/older_transactions.h"
#include "health/revocation_search.h"
#include "keys/key_catalog.h"
#include "keys/keyring.h"
#include "keys/session_keyring.h"
#include "rotation/options.h"
#include "rotation/transaction.h"
#include "support/arguments.h"
#include "support/catalog.h"
#include "support/string_list.h"

PG_FUNCTION_INFO_V1(dbcrypt_revoke_keys);
PG_FUNCTION_INFO_V1(dbcrypt_revoke_key);
PG_FUNCTION_INFO_V1(dbcrypt_reinstate_key);

/*
 * How long dbcrypt_revoke_key lets statements of others end, in milliseconds. It holds
 * locks meanwhile, so not long.
 */
#define GRACE_MS 1000

/* The arguments of dbcrypt_revoke_keys. */
enum
{
	ARG_KEYS,
	ARG_SEARCH,
	ARG_ACCEPT,
	ARG_WAIT_TIMEOUT
};

/* Refuses keys that are not registered, and the session's primary key. */
static void
check_keys(List *key_ids)
{
	dbcrypt_ring *ring = session_ring();
	List *known = catalog_keys();
	ListCell *cell;

	foreach(cell, key_ids)
	{
		const char *key_id = lfirst(cell);

		if (catalog_find_key(known, key_id) == NULL)
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_OBJECT),
					 errmsg("encryption key %s is not in dbcrypt_keys", key_id),
					 errhint("Only a registered key can be revoked; see dbcrypt_key_status.")));
		if (keyring_find(ring, key_id) == 0)
			ereport(ERROR, (errcode(ERRCODE_OBJECT_IN_USE),
							errmsg("encryption key %s is still in use", key_id),
							errdetail("It is the primary key of this session."),
							errhint("Put a new key first in dbcrypt.key_file and rotate.")));
	}
}

/*
 * Updates the rows of keys in dbcrypt_keys; returns how many. In the query, $1 is the
 * array of keys, $2 a time.
 */
static uint64
update_keys(List *key_ids, const char *set, const char *where, TimestampTz time)
{
	Oid types[] = {TEXTARRAYOID, TIMESTAMPTZOID};
	Datum *ids = palloc(sizeof(Datum) * list_length(key_ids));
	Datum values[2];
	uint64 updated;
	ListCell *cell;

	foreach(cell, key_ids)
		ids[foreach_current_index(cell)] = CStringGetTextDatum(lfirst(cell));
	values[0] = PointerGetDatum(
		construct_array(ids, list_length(key_ids), TEXTOID, -1, false, TYPALIGN_INT));
	values[1] = TimestampTzGetDatum(time);
	SPI_connect();
	updated = catalog_execute(psprintf("UPDATE %s SET %s WHERE key_id OPERATOR(pg_catalog.=) "
									   "ANY ($1) AND %s AND $2 IS NOT NULL",
									   catalog_relation_name("dbcrypt_keys"), set, where),
							  lengthof(types), types, values, NULL, SPI_OK_UPDATE);
	SPI_finish();
	return updated;
}

/* The elements of a text array argument, without duplicates; refuses NULLs. */
static List *
text_list_argument(FunctionCallInfo fcinfo, int n, const char *name)
{
	List *texts = NIL;
	Datum *elements;
	bool *nulls;
	int count;

	deconstruct_array(PG_GETARG_ARRAYTYPE_P(n), TEXTOID, -1, false, TYPALIGN_INT, &elements, &nulls,
					  &count);
	for (int i = 0; i < count; i++)
	{
		if (nulls[i])
			ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
							errmsg("%s must not contain null", name)));
		texts = string_list_add(texts, TextDatumGetCString(elements[i]));
	}
	return texts;
}

/* Reads the arguments of dbcrypt_revoke_keys; the time limit is returned. */
static int
read_arguments(FunctionCallInfo fcinfo, RevocationSearch *search)
{
	static const char *const names[] = {"keys", "search", "accept", "wait_timeout"};
	char *where;
	List *accept;

	arguments_refuse_null(fcinfo, names, lengthof(names));
	search->key_ids = text_list_argument(fcinfo, ARG_KEYS, "keys");
	if (search->key_ids == NIL)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("keys must name at least one key")));
	where = text_argument(fcinfo, ARG_SEARCH);
	search->registered_only = strcmp(where, "registered") == 0;
	if (!search->registered_only && strcmp(where, "database") != 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("search must be 'database' or 'registered'")));
	accept = text_list_argument(fcinfo, ARG_ACCEPT, "accept");
	if (accept != NIL && !superuser())
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
						errmsg("only a superuser may accept places that hold values under a "
							   "revoked key")));
	search->accepted = accepted_places(accept);
	search->accept = "have a superuser pass the places in accept";
	if (PG_GETARG_INT32(ARG_WAIT_TIMEOUT) < 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("wait_timeout must be a number of milliseconds from 0 up")));
	return PG_GETARG_INT32(ARG_WAIT_TIMEOUT);
}

/* Ends the transaction, and begins the next. */
static void
commit(void)
{
	SPI_commit();
	transaction_begin_read_committed();
}

/*
 * dbcrypt_revoke_keys(keys, search, accept, wait_timeout): stops nobody. What it cannot
 * finish leaves the keys retired, which dbcrypt_reinstate_key undoes.
 */
Datum
dbcrypt_revoke_keys(PG_FUNCTION_ARGS)
{
	RevocationSearch search = {0};
	TimestampTz retired;
	int wait_timeout;

	rotation_check_call(fcinfo, "dbcrypt_revoke_keys");
	SPI_connect_ext(SPI_OPT_NONATOMIC);
	search.context = CurrentMemoryContext;
	wait_timeout = read_arguments(fcinfo, &search);
	check_keys(search.key_ids);
	if (search.registered_only)
		ereport(WARNING, (errmsg("only registered columns are searched"),
						  errdetail("A value anywhere else is lost if it is under one of the "
									"keys.")));

	commit();
	PushActiveSnapshot(GetTransactionSnapshot());
	retired = GetCurrentTimestamp();
	(void) update_keys(search.key_ids, "retired_at = coalesce(retired_at, $2)",
					   "revoked_at IS NULL", retired);
	PopActiveSnapshot();
	commit();
	older_transactions_wait(wait_timeout);
	commit();
	revocation_search(&search);

	/*
	 * A transaction that began since may have read a value that was gone when its turn in
	 * the search came, and write it elsewhere. So a second look follows when all have ended
	 * that began before the first.
	 */
	commit();
	older_transactions_wait(wait_timeout);
	commit();
	revocation_search(&search);
	PushActiveSnapshot(GetLatestSnapshot());
	if (update_keys(search.key_ids, "revoked_at = coalesce(revoked_at, pg_catalog.now())",
					"(revoked_at IS NOT NULL OR retired_at OPERATOR(pg_catalog.<=) $2)",
					retired) < list_length(search.key_ids))
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("a key was reinstated or deleted while its values were searched"),
						errhint("See dbcrypt_key_status.")));
	PopActiveSnapshot();
	SPI_finish();
	PG_RETURN_NULL();
}

/*
 * Locks the registered columns' tables and the registry: no column is registered and no
 * registered value written until the transaction ends.
 */
static void
lock_registered(void)
{
	ListCell *cell;

	foreach(cell, columns_lock_registered(ShareLock))
	{
		TargetColumn *target = lfirst(cell);
		ListCell *member;

		if (target->problem)
			continue; /* which the search reports */
		foreach(member, column_lock_existing(target->relid, ShareLock))
		{
			Relation rel = relation_open(lfirst_oid(member), NoLock);

			/* The statement that calls this may be writing too; nobody sees its rows yet. */
			CheckTableNotInUse(rel, "revoke a key of");
			relation_close(rel, NoLock);
		}
	}
}

/* Refuses to revoke a key because of others, unless there are none. */
static void
refuse_others(const char *key_id, const char *others)
{
	if (others)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_IN_USE),
				 errmsg("transactions that may hold values under encryption key %s go on", key_id),
				 errdetail("%s", others),
				 errhint("End prepared ones, and CALL dbcrypt_revoke_keys(ARRAY['%s']), which "
						 "waits for the rest.",
						 key_id)));
}

/* dbcrypt_revoke_key(key_id text): nobody uses the key once this is committed. */
Datum
dbcrypt_revoke_key(PG_FUNCTION_ARGS)
{
	RevocationSearch search = {.accept = "have a superuser pass the places in accept to "
										 "dbcrypt_revoke_keys()",
							   .context = CurrentMemoryContext};
	char *key_id = text_to_cstring(PG_GETARG_TEXT_PP(0));
	char *others;

	PreventCommandDuringRecovery("dbcrypt_revoke_key");
	PreventCommandIfReadOnly("dbcrypt_revoke_key");
	search.key_ids = list_make1(key_id);
	check_keys(search.key_ids);
	/* At once: they may hold locks that would be waited for. */
	refuse_others(key_id, older_transactions_prepared());
	lock_registered();
	others = older_transactions_left(GRACE_MS);
	revocation_search(&search);
	refuse_others(key_id, others);
	(void) update_keys(search.key_ids,
					   "retired_at = coalesce(retired_at, pg_catalog.now()), "
					   "revoked_at = coalesce(revoked_at, pg_catalog.now())",
					   "true", GetCurrentTimestamp());
	PG_RETURN_VOID();
}

/* dbcrypt_reinstate_key(key_id text): the key may be used again. */
Datum
dbcrypt_reinstate_key(PG_FUNCTION_ARGS)
{
	char *key_id = text_to_cstring(PG_GETARG_TEXT_PP(0));

	PreventCommandDuringRecovery("dbcrypt_reinstate_key");
	if (update_keys(list_make1(key_id), "retired_at = NULL, revoked_at = NULL", "true",
					GetCurrentTimestamp()) == 0)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
						errmsg("encryption key %s is not in dbcrypt_keys", key_id),
						errhint("See dbcrypt_key_status.")));
	PG_RETURN_VOID();
}
