/*
 * codec.h
 *		The codec of one column of one relation: what it takes to encrypt and
 *		decrypt its values. What it does is in codec_change.h and codec_inspect.h.
 */
#ifndef DBCRYPT_CODEC_H
#define DBCRYPT_CODEC_H

#include "postgres.h"

#include "nodes/execnodes.h"
#include "utils/rel.h"

#include "columns/expression.h"
#include "columns/target.h"
#include "core/api/scheme.h"
#include "core/api/value.h"

/* What became of one value. */
typedef enum ValueOutcome
{
	VALUE_NULL,
	VALUE_CURRENT, /* as it should be already */
	VALUE_CHANGED, /* the change is set */
	VALUE_GONE,	   /* the row was deleted meanwhile */
	VALUE_BAD,	   /* it does not decrypt; only with soft_errors */
	VALUE_SKIPPED, /* the column's where leaves the row out */
	VALUE_BUSY	   /* someone else is changing the row; only with nowait */
} ValueOutcome;

/* The codec. Callers set soft_errors and read bad_reason; the rest is its own. */
typedef struct ColumnCodec
{
	Relation rel;
	AttrNumber attnum;
	AttrNumber companion_attnum; /* of the companion column, InvalidAttrNumber for none */
	AttrNumber salt_attnum;		 /* of the second one, which holds a salt; likewise */
	dbcrypt_encoding encoding;
	const dbcrypt_scheme *scheme;
	dbcrypt_context context; /* of the row at work */
	Oid type;				 /* below domains */
	Oid domain;				 /* InvalidOid unless the type is a domain */
	const char *domain_name; /* NULL unless the type is a domain */
	void *domain_cache;
	bool not_null;			   /* the column or its domain */
	int max_characters;		   /* of varchar(n), or -1 */
	RowExpression *aad;		   /* NULL for none */
	RowExpression *native_aad; /* of the envelopes to convert to; NULL for the same */
	Bytes native_aad_value;	   /* of the row at work */
	Oid runs_as;			   /* who evaluates all expressions */
	RowExpression *attribute;  /* NULL for none */
	RowExpression *where;	   /* NULL for none */
	const char *json;		   /* pattern of the JSON fields that are values; NULL for none */
	bool attribute_per_field;  /* each JSON field is derived with its own name as attribute */
	ExprContext *econtext;
	MemoryContext query_context;
	bool soft_errors;		/* return VALUE_BAD rather than throw for a bad value */
	const char *bad_reason; /* with VALUE_BAD, in per-tuple memory */
} ColumnCodec;

/*
 * Prepares the target's column in rel, which may be a child of the target's
 * table. Call it as the owner (run_as_owner). estate must outlive the codec;
 * values come in its per-tuple memory, which the caller resets.
 */
extern void codec_init(ColumnCodec *codec, Relation rel, const TargetColumn *target,
					   EState *estate);

/*
 * Sets the attribute that keys are derived with, in the current memory context:
 * that of a row or of a JSON field.
 */
extern void codec_set_attribute(ColumnCodec *codec, const char *name);

#endif
