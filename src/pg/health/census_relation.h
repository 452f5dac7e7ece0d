/*
 * census_relation.h
 *		Reads one relation for the census.
 */
#ifndef DBCRYPT_CENSUS_RELATION_H
#define DBCRYPT_CENSUS_RELATION_H

#include "health/census_rows.h"

/*
 * Searches all values of a CensusRelation, as a subtransaction's action. Sets opening:
 * the columns for which census_open_values is to be called.
 */
extern void census_read_values(void *relation);

/*
 * Reads the column at work of a CensusRelation with its codec: counts the values of
 * another application's scheme by key, or those of dbcrypt's own that do not open.
 */
extern void census_open_values(void *relation);

#endif
