/*
 * codec_inspect.h
 *		What a codec says of a row's value without changing it.
 */
#ifndef DBCRYPT_CODEC_INSPECT_H
#define DBCRYPT_CODEC_INSPECT_H

#include "postgres.h"

#include "executor/tuptable.h"

#include "core/api/status.h"
#include "core/api/value.h"
#include "values/codec.h"

/* What one value is found to be. */
typedef enum ValueState
{
	STATE_NULL,
	STATE_PRIMARY,
	STATE_OLD,
	STATE_REVOKED,
	STATE_NOT_LOADED,
	STATE_PLAINTEXT,
	STATE_FAILED
} ValueState;

/* Called with what a value is, and the id of its key, "" where nothing tells. */
typedef void (*ValueVisitor)(void *arg, ValueState state, const char *key_id);

/*
 * identify: says what the row's value is, as cheaply as its scheme can tell.
 * examine: decrypts it and says what it is. Neither throws for a bad one. A JSON
 * column has a value for each of its fields; NULL, and what the scheme keeps
 * empty, is no value.
 */
extern void codec_identify(ColumnCodec *codec, TupleTableSlot *slot, ValueVisitor visit, void *arg);
extern void codec_examine(ColumnCodec *codec, TupleTableSlot *slot, ValueVisitor visit, void *arg);

/*
 * Whether the value needs to be re-encrypted, as cheaply as its scheme can tell:
 * VALUE_CHANGED if it is not under the primary key, or not encrypted.
 */
extern ValueOutcome codec_inspect(ColumnCodec *codec, TupleTableSlot *slot);

/*
 * identify for a column of nothing but native envelopes: reads no more of a long
 * value than its header. key_id has DBCRYPT_KEY_ID_LEN + 1 bytes.
 */
extern ValueState codec_identify_envelope(ColumnCodec *codec, TupleTableSlot *slot, char *key_id);

/* Whether a stored value is an envelope, or a damaged one; no key needed. */
extern bool codec_holds_envelope(const ColumnCodec *codec, Datum stored);

/* Status and key id of a value's header, however it is stored; no key needed. */
extern dbcrypt_status value_read_header(Datum value, dbcrypt_encoding encoding, char *key_id);

#endif
