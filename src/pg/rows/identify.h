/*
 * identify.h
 *		The key of each value of a column.
 */
#ifndef DBCRYPT_IDENTIFY_H
#define DBCRYPT_IDENTIFY_H

#include "postgres.h"

#include "columns/target.h"
#include "values/codec_inspect.h"

/* Called for each value that is not NULL, with its place; false ends the scan. */
typedef bool (*IdentifyVisitor)(void *arg, Relation rel, ValueState state, const char *key_id,
								ItemPointer tid);

/* Visits every value of a relation that is locked, under the latest snapshot. */
extern void identify_values(Relation rel, const TargetColumn *target, IdentifyVisitor visit,
							void *arg);

#endif
