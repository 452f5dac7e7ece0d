/*
 * key_types.h
 *		Types for keys that the API shares with its C callers.
 */
#ifndef DBCRYPT_KEY_TYPES_H
#define DBCRYPT_KEY_TYPES_H

#include <stddef.h>

/* Characters of a key id: the first 7 bytes of SHA-256(key), FIPS 180-4, in lower-case hex. */
#define DBCRYPT_KEY_ID_LEN 14

/* What the key catalog says of a key. The caller sets it; the core enforces it. */
typedef enum dbcrypt_key_state
{
	DBCRYPT_STATE_REGISTERED = 1, /* may encrypt */
	DBCRYPT_STATE_REVOKED = 2,	  /* may neither encrypt nor decrypt */
	DBCRYPT_STATE_BAD_CANARY = 4, /* may not encrypt */
	DBCRYPT_STATE_RETIRED = 8	  /* may not encrypt: is about to be revoked */
} dbcrypt_key_state;

/* Where in a key source an error is. */
typedef struct dbcrypt_source_error
{
	int line;	   /* entry of a list or line of a file, from 1; 0 for none */
	char file[64]; /* name of the file in a directory; "" for other sources */
} dbcrypt_source_error;

#endif
