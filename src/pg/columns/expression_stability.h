/*
 * expression_stability.h
 *		Whether an expression gives the same bytes in every session.
 */
#ifndef DBCRYPT_EXPRESSION_STABILITY_H
#define DBCRYPT_EXPRESSION_STABILITY_H

#include "postgres.h"

#include "nodes/nodes.h"

/*
 * Refuses a parsed expression whose result depends on the session: by a conversion to
 * or from text, by a function of PostgreSQL's own, by a constant. Says nothing of
 * users' functions.
 */
extern void expression_check_stable(Node *expression, const char *what);

/* Warns of what may change with the database or the operating system. */
extern void expression_advise(Node *expression, const char *what);

/* Whether it calls functions that are not PostgreSQL's own. */
extern bool expression_calls_user(Node *expression);

/* The same for such as are not marked IMMUTABLE. */
extern bool expression_calls_mutable(Node *expression);

#endif
