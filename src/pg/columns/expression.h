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
 * A prepared expression. Where it calls functions of users, it runs under pinned
 * settings: they may depend on any.
 */
typedef struct RowExpression
{
	Oid type; /* of its values: text, boolean, or bytea for an AAD */
	Node *parsed;
	ExprState *state;		/* NULL with a subquery */
	struct _SPI_plan *plan; /* looks into other tables; NULL without */
	bool calls_user;		/* functions that are not PostgreSQL's own */
	bool runs_user_code;	/* the same, or whatever else may run code of users */
	bool is_mutable;		/* another result at another time is possible */
} RowExpression;

/*
 * Parses an AAD expression over a relation's columns, as the current user. Its type
 * is text, or bytea unless as_text. Refuses an expression that reads what a rotation
 * of the column changes, and one whose bytes depend on the session. NULL for NULL.
 */
extern Expr *aad_parse(Relation rel, AttrNumber attnum, const char *expression, bool as_text);

/* Prepares a parsed AAD, of which it makes a copy. */
extern RowExpression *aad_prepare(Expr *parsed, EState *estate);

/*
 * The AAD of the row in slot, in the per-tuple memory of econtext; false if the
 * expression is NULL there.
 */
extern bool aad_evaluate(RowExpression *self, ExprContext *econtext, TupleTableSlot *slot,
						 Bytes *aad);

/* Parses, checks and prepares an expression; errors call it by what. */
extern RowExpression *expression_prepare(Relation rel, AttrNumber attnum, const char *expression,
										 const char *what, Oid type, EState *estate);

/* The columns that such an expression reads, offset as in pull_varattnos. */
extern Bitmapset *expression_inputs(Relation rel, AttrNumber attnum, const char *expression,
									const char *what, Oid type);

/* The expression's value for the row in slot, in per-tuple memory; false for NULL. */
extern bool expression_evaluate(RowExpression *self, ExprContext *econtext, TupleTableSlot *slot,
								Datum *value);

/*
 * Evaluates an expression that calls functions of users under two opposed sets of
 * settings; refuses it if they differ for the row in slot.
 */
extern void expression_compare(RowExpression *self, ExprContext *econtext, TupleTableSlot *slot,
							   const char *what);

#endif
