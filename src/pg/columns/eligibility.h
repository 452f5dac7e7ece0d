/*
 * eligibility.h
 *		Which columns dbcrypt can work on.
 */
#ifndef DBCRYPT_ELIGIBILITY_H
#define DBCRYPT_ELIGIBILITY_H

#include "postgres.h"

#include "utils/rel.h"

#include "columns/target.h"

/* Refuses a column that dbcrypt cannot work on, and says why; returns its number in rel. */
extern AttrNumber column_check_relation(Relation rel, const TargetColumn *target);

#endif
