/*
 * codec_cell.h
 *		What a codec does with one cell: a value with its companion, out of any
 *		row. For the other files of the codec.
 */
#ifndef DBCRYPT_CODEC_CELL_H
#define DBCRYPT_CODEC_CELL_H

#include "postgres.h"

#include "core/api/status.h"
#include "core/api/value.h"
#include "values/codec.h"

/* What to do with a cell. */
typedef enum CellOperation
{
	CELL_REENCRYPT,
	CELL_REENCRYPT_VERIFY, /* the same, and decrypt what is current already */
	CELL_ENCRYPT,
	CELL_DECRYPT,
	CELL_CONVERT /* to a native envelope, with native_aad */
} CellOperation;

/* A cell's new content, in per-tuple memory. */
typedef struct NewCell
{
	struct varlena *value;
	struct varlena *companion; /* NULL for SQL NULL */
	struct varlena *salt;	   /* the same */
} NewCell;

/* A varlena of this many bytes in per-tuple memory; a clear error if that is too many. */
extern struct varlena *codec_allocate(ColumnCodec *codec, size_t size);

/*
 * Does what operation says. Sets *changed, and *new_cell if it is true; a cell
 * that is already as it should be is not changed.
 */
extern dbcrypt_status cell_apply(ColumnCodec *codec, CellOperation operation,
								 const dbcrypt_cell *cell, NewCell *new_cell, bool *changed);

/* Decrypts an encrypted cell only to see that it can be; no plaintext remains. */
extern dbcrypt_status cell_verify(ColumnCodec *codec, const dbcrypt_cell *cell);

/* The id of the key that an encrypted cell is under, "" where nothing tells. */
extern dbcrypt_status cell_identify(ColumnCodec *codec, const dbcrypt_cell *cell, char *key_id);

/*
 * Whether a value that is no envelope begins like one. Then it was cut short or
 * damaged, and must not be taken for plaintext.
 */
extern bool begins_like_envelope(dbcrypt_encoding encoding, const uint8_t *value, size_t size);

/*
 * Whether a cell that is not well formed is damaged rather than plaintext. Only
 * native envelopes show it by their first bytes: in a column of another scheme
 * every value should be well formed.
 */
extern bool cell_is_damaged(ColumnCodec *codec, const dbcrypt_cell *cell);

#endif
