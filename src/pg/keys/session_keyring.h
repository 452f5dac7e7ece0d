/*
 * session_keyring.h
 *		The key ring of this session.
 */
#ifndef DBCRYPT_SESSION_KEYRING_H
#define DBCRYPT_SESSION_KEYRING_H

#include "postgres.h"

#include "core/api/keyring.h"

/* To be called once, when the library is loaded. */
extern void session_init(void);

/*
 * The session's ring, its keys' states read from dbcrypt_keys. Costs two
 * comparisons unless a statement began, a setting changed or dbcrypt_keys did.
 * Valid until the next call: user code may run between two values.
 */
extern dbcrypt_ring *session_ring(void);

/*
 * A number that changes with dbcrypt_keys, as soon as the session has received the
 * invalidation: at the latest when it takes a lock that conflicts with one of the
 * changing transaction. Counts from the first session_ring() on.
 */
extern uint64 session_keys_changes(void);

#endif
