/*
 * application_keys.c
 *		An application's own catalog of keys, as Coder keeps it: a table named
 *		dbcrypt_keys with a row for each key's digest, to which every column of
 *		key ids refers by a foreign key.
 *
 * dbcrypt writes below the executor, where no foreign key is checked. So it makes
 * sure that the referenced row is there, and locks it, before it writes values. It
 * revokes a key by an ordinary UPDATE, in which PostgreSQL looks for references.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "columns/application_catalog.h"
#include "columns/members.h"
#include "columns/target.h"
#include "core/api/keyring.h"
#include "core/api/scheme.h"
#include "keys/keyring.h"
#include "keys/session_keyring.h"
#include "rows/application_keys.h"
#include "support/errors.h"
#include "support/relation_name.h"
#include "support/run_as.h"
#include "support/subtransaction.h"

/* What each row's column "test" holds, encrypted under the row's key. */
#define TEST_PLAINTEXT "coder"

/* ---- statements on a catalog ---- */

/*
 * Runs a statement as the catalog's owner: %s in it stands for the catalog, $1 and
 * $2 for two texts. Returns how many rows it found or changed. Needs SPI.
 */
static uint64
execute(Oid catalog, const char *statement, const char *first, const char *second)
{
	char *table = relation_name(catalog);
	Oid types[] = {TEXTOID, TEXTOID};
	Datum values[2];
	RunAsContext saved;
	int result;

	run_as_owner(owner_of(catalog), &saved);
	values[0] = CStringGetTextDatum(first);
	values[1] = second ? CStringGetTextDatum(second) : (Datum) 0;
	result = SPI_execute_with_args(psprintf(statement, table), second ? 2 : 1, types, values, NULL,
								   false, 0);
	if (result < 0)
		elog(ERROR, "query on table %s failed: %s", table, SPI_result_code_string(result));
	run_as_restore(&saved);
	return SPI_processed;
}

/* Locks a key's row against deletion and revocation; false if there is none. */
static bool
hold_row(Oid catalog, const char *digest)
{
	return execute(catalog, "SELECT FROM %s WHERE active_key_digest = $1 FOR KEY SHARE", digest,
				   NULL) > 0;
}

/* The catalog's test text encrypted under the primary key. */
static char *
seal_test(const dbcrypt_scheme *scheme)
{
	dbcrypt_context context = {.encoding = DBCRYPT_ENCODING_TEXT};
	size_t size = strlen(TEST_PLAINTEXT);
	dbcrypt_sealed sealed = {
		.value = palloc(dbcrypt_scheme_seal_max_size(scheme, DBCRYPT_ENCODING_TEXT, size) + 1)};
	dbcrypt_status status = dbcrypt_scheme_seal(scheme, session_ring(), &context,
												(const uint8_t *) TEST_PLAINTEXT, size, &sealed);

	if (status != DBCRYPT_OK)
		raise_key_status(session_ring(), status, DBCRYPT_ENCODING_TEXT, "", NULL);
	sealed.value[sealed.value_size] = '\0';
	return (char *) sealed.value;
}

/*
 * Refuses a caller who may not add keys. The statement itself runs as the catalog's
 * owner, who may.
 */
static void
check_may_insert(Oid catalog, Oid caller)
{
	if (pg_class_aclcheck(catalog, caller, ACL_INSERT) == ACLCHECK_OK)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("permission denied for table %s", get_rel_name(catalog)),
			 errdetail("It has no row yet for the primary key, and role \"%s\" may not add one.",
					   GetUserNameFromId(caller, false)),
			 errhint("Grant INSERT and UPDATE on the table, or let its owner rotate first.")));
}

/* Gives the primary key its row, unless another transaction did meanwhile. */
static void
add_row(Oid catalog, const dbcrypt_scheme *scheme, const char *digest, Oid caller)
{
	check_may_insert(catalog, caller);
	/* Other transactions may still refer to rows, but not add keys. */
	LockRelationOid(catalog, ShareRowExclusiveLock);
	if (hold_row(catalog, digest))
		return;
	if (execute(catalog, "SELECT FROM %s WHERE revoked_key_digest = $1", digest, NULL) > 0)
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
						errmsg("key %s is revoked by the application", digest),
						errdetail("Its digest is in column \"revoked_key_digest\" of table \"%s\".",
								  get_rel_name(catalog)),
						errhint("Put a new key first in dbcrypt.key_file.")));
	(void) execute(catalog,
				   "INSERT INTO %1$s (number, active_key_digest, created_at, test) "
				   "SELECT coalesce(max(number), 0) + 1, $1, now(), $2 FROM %1$s",
				   digest, seal_test(scheme));
}

void
application_keys_hold(Relation rel, AttrNumber companion, const dbcrypt_scheme *scheme, Oid caller)
{
	Oid catalog = application_catalog_of(RelationGetRelid(rel), companion);
	dbcrypt_ring *ring = session_ring();
	char *digest;

	if (!OidIsValid(catalog))
		return;
	if (dbcrypt_ring_count(ring) == 0)
		raise_status(DBCRYPT_NO_KEYS, DBCRYPT_ENCODING_TEXT, NULL, NULL);
	digest = pstrdup(dbcrypt_scheme_key_name(scheme, ring, 0));
	SPI_connect();
	if (!hold_row(catalog, digest))
		add_row(catalog, scheme, digest, caller);
	SPI_finish();
}

/* A key's row in a catalog. */
typedef struct CatalogKey
{
	Oid catalog;
	const char *digest;
} CatalogKey;

/* Revokes a key as the application does, as an action of subtransaction_run. */
static void
revoke_row(void *arg)
{
	const CatalogKey *key = arg;

	(void) execute(key->catalog,
				   "UPDATE %s SET revoked_key_digest = active_key_digest, "
				   "active_key_digest = NULL, revoked_at = now() WHERE active_key_digest = $1",
				   key->digest, NULL);
}

/*
 * Revokes a key in a catalog; a notice says so where values still refer to it, or where
 * the caller may not.
 */
static void
revoke_in_catalog(Oid catalog, const char *digest)
{
	CatalogKey key = {catalog, digest};
	ErrorData *error;

	if (pg_class_aclcheck(catalog, GetUserId(), ACL_UPDATE) != ACLCHECK_OK)
	{
		ereport(NOTICE,
				(errmsg("key %s is not revoked in table \"%s\"", digest, get_rel_name(catalog)),
				 errdetail("That takes the privilege to UPDATE the table.")));
		return;
	}
	error = subtransaction_run(revoke_row, &key);
	if (error == NULL)
		return;
	if (error->sqlerrcode != ERRCODE_FOREIGN_KEY_VIOLATION)
		ReThrowError(error);
	ereport(NOTICE, (errmsg("key %s is still in use by the application, and not revoked", digest),
					 error->detail ? errdetail_internal("%s", error->detail) : 0));
}

/* Revokes in a catalog every key of the ring but the primary one. */
static void
revoke_old_keys(Oid catalog, const dbcrypt_scheme *scheme)
{
	for (size_t i = 1; i < dbcrypt_ring_count(session_ring()); i++)
	{
		char *digest = pstrdup(dbcrypt_scheme_key_name(scheme, session_ring(), i));

		SPI_connect();
		if (execute(catalog, "SELECT FROM %s WHERE active_key_digest = $1", digest, NULL) > 0)
			revoke_in_catalog(catalog, digest);
		SPI_finish();
	}
}

/* The OIDs of the catalogs that a target's tables refer to. */
static List *
catalogs_of(const TargetColumn *target)
{
	List *catalogs = NIL;
	ListCell *cell;

	foreach(cell, column_members(target->relid, NoLock))
	{
		Oid catalog = application_catalog_of(
			lfirst_oid(cell), get_attnum(lfirst_oid(cell), target->options.companion));

		if (OidIsValid(catalog))
			catalogs = list_append_unique_oid(catalogs, catalog);
	}
	return catalogs;
}

void
application_keys_revoke_unused(List *targets)
{
	List *done = NIL;
	ListCell *cell;
	ListCell *catalog;

	foreach(cell, targets)
	{
		const TargetColumn *target = lfirst(cell);
		List *catalogs;

		if (target->options.companion == NULL)
			continue;
		catalogs = list_difference_oid(catalogs_of(target), done);
		done = list_concat(done, catalogs);
		foreach(catalog, catalogs)
			revoke_old_keys(lfirst_oid(catalog), target->scheme);
	}
}
