/*
 * expression_check.h
 *		What is checked of a column's expressions before they are used for the first time.
 */
#ifndef DBCRYPT_EXPRESSION_CHECK_H
#define DBCRYPT_EXPRESSION_CHECK_H

#include "postgres.h"

#include "utils/rel.h"

#include "columns/target.h"

/*
 * Parses the expressions of the target's column in rel, its table or a child; evaluates
 * those that call functions of users on sample rows of rel under two opposed sets of
 * settings. Refuses what depends on the session; for the target's table it also warns of
 * what may change later.
 */
extern void expressions_check(Relation rel, const TargetColumn *target);

#endif
