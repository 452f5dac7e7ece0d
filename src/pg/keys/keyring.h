/*
 * keyring.h
 *		A key of a ring by its id, and errors that name a key.
 */
#ifndef DBCRYPT_KEYRING_H
#define DBCRYPT_KEYRING_H

#include "postgres.h"

#include "core/api/keyring.h"
#include "core/api/status.h"
#include "core/api/value.h"
#include "support/compat.h"
#include "support/errors.h"

/* Index in the ring of the key with that id, or -1; as fast with any number of keys. */
extern int keyring_find(dbcrypt_ring *ring, const char *key_id);

/*
 * Throws the error of a status that a value gave. key_id is the value's own, or "" if it
 * is not known; the error names the primary key where that is the one in question.
 */
pg_noreturn extern void raise_key_status(dbcrypt_ring *ring, dbcrypt_status status,
										 dbcrypt_encoding encoding, const char *key_id,
										 const ValuePlace *place);

/* The same for a native envelope, which says its key id itself. */
pg_noreturn extern void raise_value_status(dbcrypt_ring *ring, dbcrypt_status status,
										   dbcrypt_encoding encoding, struct varlena *envelope,
										   const ValuePlace *place);

#endif
