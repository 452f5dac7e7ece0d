/*
 * expression_trust.h
 *		Whether an expression may run code of users.
 */
#ifndef DBCRYPT_EXPRESSION_TRUST_H
#define DBCRYPT_EXPRESSION_TRUST_H

#include "postgres.h"

#include "nodes/nodes.h"

#include "columns/target.h"

/*
 * Whether a parsed expression may run code of users: their functions, a view, a check
 * of a domain, whatever their ranges and composite types bring along.
 */
extern bool expression_runs_user_code(Node *expression);

/*
 * Refuses a target whose expressions run as another role than when they were registered,
 * if by their text they may run code of users: even to parse them could run it.
 */
extern void expressions_refuse_foreign(Oid relid, const TargetColumn *target);

/* The same as a text that says what is wrong; NULL if nothing is. */
extern char *expressions_foreign_problem(Oid relid, const TargetColumn *target);

/* Refuses one of them after it was parsed, if it runs code of users. */
extern void expression_refuse_foreign(const TargetColumn *target, Node *parsed, const char *what);

#endif
