/*
 * loaded_ring.c
 *		The ring that this session has loaded.
 *
 * Apart from the code that loads it (session_keyring.c), because log masking must
 * see the ring at any moment and may load nothing.
 */
#include "postgres.h"

#include "core/api/keyring.h"
#include "keys/loaded_ring.h"

static dbcrypt_ring *loaded = NULL;

dbcrypt_ring *
loaded_ring(void)
{
	return loaded;
}

void
loaded_ring_replace(dbcrypt_ring *ring)
{
	dbcrypt_ring_free(loaded);
	loaded = ring;
}
