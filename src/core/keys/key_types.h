/*
 * key_types.h
 *		Types of keys that the core and its C callers share.
 */
#ifndef DBCRYPT_KEY_TYPES_H
#define DBCRYPT_KEY_TYPES_H

#include <stddef.h>

/* Length of a key id: the first 7 bytes of SHA-256(key) in lower-case hex. */
#define DBCRYPT_KEY_ID_LEN 14

/* What the key catalog says of a ring key; set by the caller, obeyed by the core. */
typedef enum dbcrypt_key_state
{
	DBCRYPT_STATE_REGISTERED = 1, /* may encrypt */
	DBCRYPT_STATE_REVOKED = 2,	  /* may neither encrypt nor decrypt */
	DBCRYPT_STATE_BAD_CANARY = 4  /* may not encrypt */
} dbcrypt_key_state;

/* Where in a key source an error is: the entry (list) or line (file), from 1. */
typedef struct dbcrypt_source_error
{
	int line;
	char file[64]; /* for a directory: the name of the file in it, else "" */
} dbcrypt_source_error;

#endif
