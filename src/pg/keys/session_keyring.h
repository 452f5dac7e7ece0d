/*
 * session_keyring.h
 *		The key ring of this session.
 */
#ifndef DBCRYPT_SESSION_KEYRING_H
#define DBCRYPT_SESSION_KEYRING_H

#include "postgres.h"

#include "core/core.h"

/* To be called once, when the library is loaded. */
extern void session_init(void);

/*
 * The session's ring, its keys' states read from dbcrypt_keys. Costs two
 * comparisons unless a statement began, a setting changed or dbcrypt_keys did.
 * Valid until the next call: user code may run between two values.
 */
extern dbcrypt_ring *session_ring(void);

/*
 * A number that changes with dbcrypt_keys, once the session has heard of it: at
 * the latest when it takes a lock that the change's transaction conflicted with.
 * Counts from the first session_ring() on.
 */
extern uint64 session_keys_changes(void);

#endif
