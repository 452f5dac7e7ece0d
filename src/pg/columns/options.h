/*
 * options.h
 *		Schemes and options of a column.
 */
#ifndef DBCRYPT_OPTIONS_H
#define DBCRYPT_OPTIONS_H

#include "postgres.h"

#include "nodes/pg_list.h"
#include "utils/jsonb.h"

#include "core/api/scheme.h"

/* What a scheme needs besides the value; each NULL if not given. */
typedef struct ColumnOptions
{
	char *companion;			/* companion column: of the key id, iv or nonce */
	char *table;				/* HKDF table name */
	char *attribute;			/* HKDF attribute, "_ciphertext" included */
	char *attribute_expression; /* the same, over the row */
	char *where;				/* predicate: which rows hold values */
	char *json;					/* $.path, or ILIKE pattern of top-level names */
	char *salt;					/* second companion column: of the salt */
	char *key;					/* id of the key that the whole column is recorded to be under */
	char *plaintext;			/* "text" or "bytes": whether it must be UTF-8 */
	List *ignore_triggers;		/* of char *: triggers that copy rows and are accepted */
} ColumnOptions;

/* The scheme of that name; throws for an unknown one, naming all. */
extern const dbcrypt_scheme *scheme_named(const char *name);

/* dbcrypt's own scheme. */
extern const dbcrypt_scheme *scheme_native(void);

/* Reads and writes options as dbcrypt_columns stores them. */
extern void options_read(Jsonb *stored, ColumnOptions *options);
extern Datum options_write(const ColumnOptions *options);

/* A copy of options in the current memory context. */
extern ColumnOptions options_copy(const ColumnOptions *options);

/* Whether a column of that name is a companion column. */
extern bool options_is_companion(const ColumnOptions *options, const char *column);

/* Whether a plaintext must be UTF-8: as option plaintext says, otherwise in text columns. */
extern bool options_plaintext_is_text(const ColumnOptions *options, dbcrypt_encoding encoding);

/* The HKDF attribute as Lockbox names it: the column's name and "_ciphertext". */
extern char *options_attribute(const char *name);

#endif
