/*
 * keyring.c
 *		A key of a ring by its id, and errors that name a key.
 */
#include "postgres.h"

#include "core/api/keyring.h"
#include "core/api/value.h"
#include "keys/keyring.h"
#include "support/errors.h"

int
keyring_find(dbcrypt_ring *ring, const char *key_id)
{
	size_t i = dbcrypt_ring_find(ring, key_id);

	return i < dbcrypt_ring_count(ring) ? (int) i : -1;
}

/* Whether a key is in the ring and revoked. */
static bool
is_revoked(dbcrypt_ring *ring, const char *key_id)
{
	int i = keyring_find(ring, key_id);

	return i >= 0 && (dbcrypt_ring_state(ring, i) & DBCRYPT_STATE_REVOKED) != 0;
}

void
raise_key_status(dbcrypt_ring *ring, dbcrypt_status status, dbcrypt_encoding encoding,
				 const char *key_id, const ValuePlace *place)
{
	/* Writing failed, not reading, so the key in question is the primary one. */
	if (dbcrypt_ring_count(ring) > 0 &&
		(status == DBCRYPT_KEY_NOT_REGISTERED || status == DBCRYPT_KEY_CANARY_MISMATCH ||
		 status == DBCRYPT_KEY_RETIRED ||
		 (status == DBCRYPT_KEY_REVOKED && !is_revoked(ring, key_id))))
		key_id = dbcrypt_ring_key_id(ring, 0);
	raise_status(status, encoding, key_id[0] ? key_id : NULL, place);
}

void
raise_value_status(dbcrypt_ring *ring, dbcrypt_status status, dbcrypt_encoding encoding,
				   struct varlena *envelope, const ValuePlace *place)
{
	char key_id[DBCRYPT_KEY_ID_LEN + 1];

	if (dbcrypt_read_header(encoding, (uint8_t *) VARDATA_ANY(envelope),
							VARSIZE_ANY_EXHDR(envelope), key_id) != DBCRYPT_OK)
		key_id[0] = '\0';
	raise_key_status(ring, status, encoding, key_id, place);
}
