/*
 * census.h
 *		The census: where in the whole database encrypted values are.
 */
#ifndef DBCRYPT_CENSUS_H
#define DBCRYPT_CENSUS_H

#include "postgres.h"

#include "nodes/pg_list.h"

#include "health/census_result.h"

/*
 * Runs the census under the active snapshot, which the caller has pushed; no right of
 * the caller is checked. Returns CensusRow in order of table and column.
 *
 * A registered value whose key nothing tells ("" as key_id: no loaded key opens it, or
 * it is damaged) is a row whatever keys are searched for: it may need any of them. So
 * is every relation that is not readable. Relations are locked one at a time, and in
 * subtransactions, against being dropped; nothing keeps writers out.
 */
extern List *census_run(const CensusRequest *request);

#endif
