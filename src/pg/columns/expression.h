/*
 * expression.h
 *		SQL expressions over the row of a value.
 */
#ifndef DBCRYPT_EXPRESSION_H
#define DBCRYPT_EXPRESSION_H

#include "postgres.h"

#include "executor/tuptable.h"
#include "nodes/execnodes.h"
#include "utils/rel.h"

#include "support/encoding.h"

/*
 * Parses an AAD expression over a relation's columns, as the current user. Its type
 * is text or bytea. Refuses an expression that reads what a rotation of the column
 * changes. NULL for NULL.
 */
extern Expr *aad_parse(Relation rel, AttrNumber attnum, const char *expression);

/*
 * The AAD of the row in slot, in the per-tuple memory of econtext; false if the
 * expression is NULL there.
 */
extern bool aad_evaluate(ExprState *state, ExprContext *econtext, TupleTableSlot *slot, Bytes *aad);

/* A prepared expression that may look into other tables. */
typedef struct RowExpression
{
	Oid type;				/* of its values: text or boolean */
	ExprState *state;		/* NULL with a subquery */
	struct _SPI_plan *plan; /* NULL without */
} RowExpression;

/* Parses, checks and prepares an expression; errors call it by what. */
extern RowExpression *expression_prepare(Relation rel, AttrNumber attnum, const char *expression,
										 const char *what, Oid type, EState *estate);

/* The columns that such an expression reads, offset as in pull_varattnos. */
extern Bitmapset *expression_inputs(Relation rel, AttrNumber attnum, const char *expression,
									const char *what, Oid type);

/* The expression's value for the row in slot, in per-tuple memory; false for NULL. */
extern bool expression_evaluate(RowExpression *self, ExprContext *econtext, TupleTableSlot *slot,
								Datum *value);

#endif
