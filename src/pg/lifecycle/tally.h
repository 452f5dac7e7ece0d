/*
 * tally.h
 *		Counts of the values of a column by state and key.
 */
#ifndef DBCRYPT_TALLY_H
#define DBCRYPT_TALLY_H

#include "postgres.h"

#include "nodes/pg_list.h"
#include "storage/itemptr.h"
#include "utils/rel.h"

#include "values/codec_inspect.h"

/* How many values of a column are in one state under one key. */
typedef struct Tally
{
	ValueState state;
	char key_id[DBCRYPT_KEY_ID_LEN + 1]; /* "" for none */
	int64 values;
	int nexamples;
	char *examples[5]; /* rows whose value cannot be decrypted */
} Tally;

/*
 * Counts a value in a list of Tally. The list stays short: after many keys, values
 * under others are counted together, without their keys.
 */
extern void tally_value(List **tallies, ValueState state, const char *key_id, Relation rel,
						ItemPointer tid);

/* Orders a list of Tally by state and key id. */
extern void tally_sort(List *tallies);

#endif
