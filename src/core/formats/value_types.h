/*
 * value_types.h
 *		Types for values that the API shares with its C callers.
 */
#ifndef DBCRYPT_VALUE_TYPES_H
#define DBCRYPT_VALUE_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* How a value is stored: in a bytea or in a text column. */
typedef enum dbcrypt_encoding
{
	DBCRYPT_ENCODING_BINARY,
	DBCRYPT_ENCODING_TEXT
} dbcrypt_encoding;

typedef enum dbcrypt_companion
{
	DBCRYPT_COMPANION_NONE,
	DBCRYPT_COMPANION_KEY_ID, /* names the key, as the scheme writes it */
	DBCRYPT_COMPANION_IV,	  /* the nonce; the application calls it iv */
	DBCRYPT_COMPANION_NONCE
} dbcrypt_companion;

/* Properties of a scheme, the same for all of its values. */
typedef struct dbcrypt_scheme_traits
{
	const char *name;
	dbcrypt_companion companion;
	bool text;			/* values may be text */
	bool binary;		/* values may be bytea */
	bool aad;			/* values may be bound to AAD; otherwise AAD is ignored */
	bool hkdf;			/* the key depends on dbcrypt_context's table and attribute */
	bool names_key;		/* value, companion or record names the key; otherwise all are tried */
	bool keeps_empty;	/* an empty value stays as it is, not encrypted */
	bool deterministic; /* the same plaintext and key give the same value */

	/*
	 * Whether a value shows that it was opened with the right key. Where it does not, no
	 * key is tried: the whole column is under the context's recorded_key. names_key is
	 * then true.
	 */
	bool authenticated;
	bool salt;			 /* another companion beside the first: the salt of the value's key */
	unsigned derivation; /* microseconds that it takes to derive a value's key; about */

	/* SQL over the row, for a column that is adopted without options; NULL for none. */
	const char *default_aad;
	const char
		*foreign_key_column; /* a row where it is not NULL is under a key of another system */
} dbcrypt_scheme_traits;

/* What a value of a column is encrypted with. A pointer may be NULL if its size is 0. */
typedef struct dbcrypt_context
{
	dbcrypt_encoding encoding;
	const uint8_t *aad;
	size_t aad_size;
	const uint8_t *table; /* lockbox: HKDF's salt */
	size_t table_size;
	const uint8_t *attribute; /* lockbox: the end of HKDF's info, "_ciphertext" included */
	size_t attribute_size;

	/* For schemes without authentication. */
	const char *recorded_key; /* id of the key that the whole column is under; NULL for none */
	bool plaintext_is_text;	  /* a plaintext that is not UTF-8 is none */
} dbcrypt_context;

/*
 * A value and its companions, which are in columns beside it. A NULL pointer is SQL
 * NULL, whatever the size; an empty value has a pointer that is not NULL.
 */
typedef struct dbcrypt_cell
{
	const uint8_t *value;
	size_t value_size;
	const uint8_t *companion;
	size_t companion_size;
	const uint8_t *salt; /* a second companion, in schemes that have a salt */
	size_t salt_size;
} dbcrypt_cell;

typedef enum dbcrypt_cell_kind
{
	DBCRYPT_CELL_NULL,		/* stays NULL */
	DBCRYPT_CELL_EMPTY,		/* empty, and stored so by the scheme: needs no key */
	DBCRYPT_CELL_PLAINTEXT, /* not encrypted, as the scheme can tell */
	DBCRYPT_CELL_ENCRYPTED	/* everything else, also malformed values */
} dbcrypt_cell_kind;

#define DBCRYPT_COMPANION_MAX_SIZE 32

/* A new value and its companions. value is the caller's buffer, of the max size asked for. */
typedef struct dbcrypt_sealed
{
	uint8_t *value;
	size_t value_size;
	bool companion_is_null; /* always, if the scheme has none */
	size_t companion_size;
	uint8_t companion[DBCRYPT_COMPANION_MAX_SIZE];
	size_t salt_size; /* 0 if the scheme has none, or the value is stored empty */
	uint8_t salt[DBCRYPT_COMPANION_MAX_SIZE];
} dbcrypt_sealed;

#endif
