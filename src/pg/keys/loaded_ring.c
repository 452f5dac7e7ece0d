/*
 * loaded_ring.c
 *		The ring that this session has loaded.
 *
 * Apart from the code that loads it (session_keyring.c), because log masking must
 * see the ring at any moment and may load nothing.
 */
#include "postgres.h"

#include "storage/ipc.h"

#include "core/api/keyring.h"
#include "keys/loaded_ring.h"

static dbcrypt_ring *loaded = NULL;

/* However the process ends by itself, by FATAL too: its keys are wiped. */
static void
forget_ring(int code, Datum arg)
{
	dbcrypt_ring_free(loaded);
	loaded = NULL;
}

dbcrypt_ring *
loaded_ring(void)
{
	return loaded;
}

void
loaded_ring_replace(dbcrypt_ring *ring)
{
	static bool at_exit = false;

	if (!at_exit)
		on_proc_exit(forget_ring, (Datum) 0);
	at_exit = true;
	dbcrypt_ring_free(loaded);
	loaded = ring;
}
