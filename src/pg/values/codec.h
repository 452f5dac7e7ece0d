/*
 * codec.h
 *		Encrypts and decrypts the values of one column of one relation.
 */
#ifndef DBCRYPT_CODEC_H
#define DBCRYPT_CODEC_H

#include "postgres.h"

#include "executor/tuptable.h"
#include "nodes/execnodes.h"
#include "utils/rel.h"

#include "columns/expression.h"
#include "columns/target.h"
#include "core/core.h"

/* New values of a row: the column's, and those of its companions. */
#define CHANGE_MAX_COLUMNS 2
typedef struct ColumnChange
{
	int count;
	AttrNumber attnums[CHANGE_MAX_COLUMNS];
	Datum values[CHANGE_MAX_COLUMNS];
	bool nulls[CHANGE_MAX_COLUMNS];
} ColumnChange;

/* What became of one value. */
typedef enum ValueOutcome
{
	VALUE_NULL,
	VALUE_CURRENT, /* as it should be already */
	VALUE_CHANGED, /* the change is set */
	VALUE_GONE,	   /* the row was deleted meanwhile */
	VALUE_BAD,	   /* it does not open; only with soft_errors */
	VALUE_SKIPPED, /* the column's where leaves the row out */
	VALUE_BUSY	   /* someone else is changing the row; only with nowait */
} ValueOutcome;

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

/* Opens and seals the values of one column of one relation. */
typedef struct ColumnCodec
{
	Relation rel;
	AttrNumber attnum;
	AttrNumber companion; /* column beside it, InvalidAttrNumber for none */
	dbcrypt_form form;
	const dbcrypt_scheme *scheme;
	dbcrypt_context context; /* of the row at work */
	Oid type;				 /* below domains */
	Oid domain;				 /* InvalidOid unless the type is a domain */
	void *domain_cache;
	bool not_null;			  /* the column or its domain */
	int max_characters;		  /* of varchar(n), or -1 */
	ExprState *aad;			  /* NULL for none */
	Oid runs_as;			  /* who evaluates all expressions */
	RowExpression *attribute; /* NULL for none, and so below */
	RowExpression *where;
	const char *json;		  /* which fields are values; each has its name as attribute … */
	bool attribute_per_field; /* … unless another is given */
	ExprContext *econtext;
	MemoryContext query_context;
	bool soft_errors;		/* return VALUE_BAD rather than throw for a bad value */
	const char *bad_reason; /* with VALUE_BAD, in per-tuple memory */
} ColumnCodec;

/*
 * Prepares the target's column in rel, which may be a child of the target's
 * table. Call it as the owner (run_as_owner). estate must outlive the cipher;
 * values come in its per-tuple memory, which the caller resets.
 */
extern void codec_init(ColumnCodec *codec, Relation rel, const TargetColumn *target,
					   EState *estate);

/*
 * Each works on the value in slot (with its tts_tid), sets *change when it
 * returns VALUE_CHANGED, and throws for a bad value, naming the row and the key.
 *
 * reencrypt: to the primary key; check_current opens what is there already too.
 * encrypt: from plaintext; a value that is an envelope must open, and stays.
 * decrypt: to plaintext; a value that is not encrypted stays.
 * convert: to a native envelope without AAD.
 * erase: to NULL, or '' where the column cannot be; looks at no value.
 */
extern ValueOutcome codec_reencrypt(ColumnCodec *codec, TupleTableSlot *slot, bool check_current,
									ColumnChange *change);
extern ValueOutcome codec_encrypt(ColumnCodec *codec, TupleTableSlot *slot, ColumnChange *change);
extern ValueOutcome codec_decrypt(ColumnCodec *codec, TupleTableSlot *slot, ColumnChange *change);

extern ValueOutcome codec_convert(ColumnCodec *codec, TupleTableSlot *slot, ColumnChange *change);
extern ValueOutcome codec_erase(ColumnCodec *codec, TupleTableSlot *slot, ColumnChange *change);

/*
 * Whether the value needs to be re-encrypted, as cheaply as its scheme can tell:
 * VALUE_CHANGED if it is not under the primary key, or no encrypted value.
 */
extern ValueOutcome codec_inspect(ColumnCodec *codec, TupleTableSlot *slot);

/* What a value is, and our id of its key, "" where nothing tells. */
typedef void (*ValueVisitor)(void *arg, ValueState state, const char *key_id);

/*
 * identify: says what the row's value is, as cheaply as its scheme can tell.
 * examine: opens it and says what it is. Neither throws for a bad one. A JSON
 * column has a value for each of its fields; NULL, and what the scheme keeps
 * empty, is no value.
 */
extern void codec_identify(ColumnCodec *codec, TupleTableSlot *slot, ValueVisitor visit, void *arg);
extern void codec_examine(ColumnCodec *codec, TupleTableSlot *slot, ValueVisitor visit, void *arg);

/*
 * identify for a column of nothing but native envelopes: reads no more of a long
 * value than its header. key_id has DBCRYPT_KEY_ID_LEN + 1 bytes.
 */
extern ValueState codec_identify_envelope(ColumnCodec *codec, TupleTableSlot *slot, char *key_id);

/* Status and key id of a value's header, however it is stored; no key needed. */
extern dbcrypt_status value_read_header(Datum value, dbcrypt_form form, char *key_id);

#endif
