/*
 * derivations.h
 *		What it costs to derive a key for each value.
 */
#ifndef DBCRYPT_DERIVATIONS_H
#define DBCRYPT_DERIVATIONS_H

#include "postgres.h"

#include "nodes/pg_list.h"

#include "columns/target.h"

/*
 * Counts the column's values in its open relations. In a scheme whose keys take long to
 * derive, says what so many derivations a value will cost, before they begin.
 */
extern int64 derivations_announce(const List *members, const TargetColumn *target, int derivations);

#endif
