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
 * In a scheme whose keys take long to derive, says what so many derivations for each value
 * of the open relations will cost, before they begin.
 */
extern void derivations_announce(const List *members, const TargetColumn *target, int derivations);

#endif
