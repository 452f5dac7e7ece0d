/*
 * eligibility.h
 *		Which columns dbcrypt can work on.
 */
#ifndef DBCRYPT_ELIGIBILITY_H
#define DBCRYPT_ELIGIBILITY_H

#include "postgres.h"

#include "utils/rel.h"

#include "columns/target.h"

/* Refuses a relation that cannot be rotated, saying why; column number in it. */
extern AttrNumber column_check_relation(Relation rel, const TargetColumn *target);

#endif
