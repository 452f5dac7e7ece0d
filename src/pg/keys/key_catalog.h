/*
 * key_catalog.h
 *		dbcrypt_keys: the keys that this database knows, and which are retired or revoked.
 */
#ifndef DBCRYPT_KEY_CATALOG_H
#define DBCRYPT_KEY_CATALOG_H

#include "postgres.h"

#include "nodes/pg_list.h"

#include "core/api/keyring.h"

/*
 * Sets the state of each key of the ring from dbcrypt_keys. Returns the OID of
 * dbcrypt_keys, to watch for changes, or InvalidOid without the extension.
 */
extern Oid catalog_read_key_states(dbcrypt_ring *ring);

/* A row of dbcrypt_keys. */
typedef struct RegisteredKey
{
	char key_id[DBCRYPT_KEY_ID_LEN + 1];
	bool retired; /* or revoked */
	bool revoked;
} RegisteredKey;

/* Every row of dbcrypt_keys, as RegisteredKey; none without the extension. */
extern List *catalog_keys(void);

/* The row of a key among those, NULL if there is none. */
extern const RegisteredKey *catalog_find_key(const List *keys, const char *key_id);

#endif
