/*
 * codec_change.h
 *		What a codec changes a row's value to.
 */
#ifndef DBCRYPT_CODEC_CHANGE_H
#define DBCRYPT_CODEC_CHANGE_H

#include "postgres.h"

#include "access/attnum.h"
#include "executor/tuptable.h"

#include "values/codec.h"

/* New values of a row: of the column and of its companion columns. */
#define CHANGE_MAX_COLUMNS 3
typedef struct ColumnChange
{
	int count;
	AttrNumber attnums[CHANGE_MAX_COLUMNS];
	Datum values[CHANGE_MAX_COLUMNS];
	bool nulls[CHANGE_MAX_COLUMNS];
} ColumnChange;

/*
 * Each works on the value in slot (with its tts_tid), sets *change when it
 * returns VALUE_CHANGED, and throws for a bad value, naming the row and the key.
 *
 * reencrypt: to the primary key.
 * reencrypt_verifying: the same; a value that is under it already must decrypt too.
 * encrypt: from plaintext; a value that is an envelope must decrypt, and stays.
 * decrypt: to plaintext; a value that is not encrypted stays.
 * convert: to a native envelope, with the target's native_aad.
 * erase: to NULL, or '' where the column cannot be NULL; decrypts nothing.
 */
extern ValueOutcome codec_reencrypt(ColumnCodec *codec, TupleTableSlot *slot, ColumnChange *change);
extern ValueOutcome codec_reencrypt_verifying(ColumnCodec *codec, TupleTableSlot *slot,
											  ColumnChange *change);
extern ValueOutcome codec_encrypt(ColumnCodec *codec, TupleTableSlot *slot, ColumnChange *change);
extern ValueOutcome codec_decrypt(ColumnCodec *codec, TupleTableSlot *slot, ColumnChange *change);
extern ValueOutcome codec_convert(ColumnCodec *codec, TupleTableSlot *slot, ColumnChange *change);
extern ValueOutcome codec_erase(ColumnCodec *codec, TupleTableSlot *slot, ColumnChange *change);

#endif
