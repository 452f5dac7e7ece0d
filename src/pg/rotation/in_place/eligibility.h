/*
 * eligibility.h
 *		Which columns can be rotated in place.
 */
#ifndef DBCRYPT_IN_PLACE_ELIGIBILITY_H
#define DBCRYPT_IN_PLACE_ELIGIBILITY_H

#include "postgres.h"

#include "access/attnum.h"
#include "utils/rel.h"

#include "support/compat.h"

/* Refuses a relation that has rows of its own and cannot be rotated in place, saying why. */
extern void in_place_check(Relation rel, AttrNumber attnum);

/* Refuses a column for a reason, one sentence, and names the functions that can rotate it. */
pg_noreturn extern void in_place_refuse(Relation rel, AttrNumber attnum, int sqlstate,
										const char *reason);

#endif
