/*
 * key_catalog.h
 *		The extension's own tables, dbcrypt_keys first.
 */
#ifndef DBCRYPT_KEY_CATALOG_H
#define DBCRYPT_KEY_CATALOG_H

#include "postgres.h"

#include "nodes/pg_list.h"

#include "core/core.h"

/* OID of a table of the extension's schema, InvalidOid without the extension. */
extern Oid catalog_relation(const char *name);

/* The same, for use in a query: quoted and qualified. */
extern char *catalog_relation_name(const char *name);

/* Sets each ring key's state from dbcrypt_keys; its OID, to watch for changes. */
extern Oid catalog_read_key_states(dbcrypt_ring *ring);

/* A row of dbcrypt_keys. */
typedef struct RegisteredKey
{
	char key_id[DBCRYPT_KEY_ID_LEN + 1];
	bool revoked;
} RegisteredKey;

/* Every row of dbcrypt_keys, as RegisteredKey. */
extern List *catalog_keys(void);

/* Runs a query as the owner of dbcrypt's tables, whoever the caller is. */
extern uint64 catalog_execute(const char *query, int nargs, Oid *types, Datum *values,
							  const char *nulls, int expected);

#endif
