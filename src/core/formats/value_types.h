/*
 * value_types.h
 *		Types of values that the core and its C callers share.
 */
#ifndef DBCRYPT_VALUE_TYPES_H
#define DBCRYPT_VALUE_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The two spellings of an envelope: raw bytes, or their padded standard base64. */
typedef enum dbcrypt_form
{
	DBCRYPT_BINARY,
	DBCRYPT_TEXT
} dbcrypt_form;

typedef enum dbcrypt_companion
{
	DBCRYPT_COMPANION_NONE,
	DBCRYPT_COMPANION_KEY_ID, /* names the key, in the scheme's own spelling */
	DBCRYPT_COMPANION_IV,	  /* the nonce, called iv by its application */
	DBCRYPT_COMPANION_NONCE
} dbcrypt_companion;

/* What a scheme is like; true of every value. */
typedef struct dbcrypt_scheme_traits
{
	const char *name;
	dbcrypt_companion companion;
	bool text;			/* values may be text */
	bool binary;		/* values may be bytea */
	bool aad;			/* values may be bound to AAD; otherwise it is ignored */
	bool hkdf;			/* the key depends on dbcrypt_context's table and attribute */
	bool names_key;		/* value or companion says which key; otherwise all are tried */
	bool keeps_empty;	/* the empty value is stored as it is, not encrypted */
	bool deterministic; /* the same plaintext and key give the same value */
} dbcrypt_scheme_traits;

/* What a value of a column is used with. Pointers may be NULL where sizes are 0. */
typedef struct dbcrypt_context
{
	dbcrypt_form form;
	const uint8_t *aad;
	size_t aad_size;
	const uint8_t *table; /* lockbox: HKDF's salt */
	size_t table_size;
	const uint8_t *attribute; /* lockbox: the end of HKDF's info, "_ciphertext" included */
	size_t attribute_size;
} dbcrypt_context;

/* A NULL pointer is SQL NULL, whatever its size; an empty value has another. */
typedef struct dbcrypt_cell
{
	const uint8_t *value;
	size_t value_size;
	const uint8_t *companion;
	size_t companion_size;
} dbcrypt_cell;

typedef enum dbcrypt_cell_kind
{
	DBCRYPT_CELL_NULL,		/* stays NULL */
	DBCRYPT_CELL_EMPTY,		/* empty and kept so by the scheme: needs no key */
	DBCRYPT_CELL_PLAINTEXT, /* by the scheme's rule not encrypted yet */
	DBCRYPT_CELL_ENCRYPTED	/* everything else, well formed or not */
} dbcrypt_cell_kind;

#define DBCRYPT_COMPANION_ROOM 24

/* What a column shall hold. value is the caller's buffer, of the room asked for. */
typedef struct dbcrypt_sealed
{
	uint8_t *value;
	size_t value_size;
	bool companion_is_null; /* always so where the scheme has none */
	size_t companion_size;
	uint8_t companion[DBCRYPT_COMPANION_ROOM];
} dbcrypt_sealed;

#endif
