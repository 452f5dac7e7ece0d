/*
 * encoding.h
 *		Text as UTF-8, whatever the encoding of the database.
 */
#ifndef DBCRYPT_ENCODING_H
#define DBCRYPT_ENCODING_H

#include "postgres.h"

/* Bytes that stay valid as long as the value they came from. */
typedef struct Bytes
{
	const uint8_t *data;
	size_t size;
} Bytes;

/* The UTF-8 of a detoasted text in the database's encoding. Errors show no text. */
extern Bytes text_to_utf8(struct varlena *value);

/* Text of the database's encoding from UTF-8 in a varlena, perhaps the same. */
extern struct varlena *utf8_to_text(struct varlena *utf8);

#endif
