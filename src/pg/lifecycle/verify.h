/*
 * verify.h
 *		Counts of values by state and key.
 */
#ifndef DBCRYPT_VERIFY_H
#define DBCRYPT_VERIFY_H

#include "postgres.h"

#include "nodes/pg_list.h"

#include "values/codec_inspect.h"

/* Values of a column that are in one state under one key. */
typedef struct Tally
{
	ValueState state;
	char key_id[DBCRYPT_KEY_ID_LEN + 1]; /* "" for none */
	int64 values;
	int nexamples;
	char *examples[5]; /* places of what cannot be opened */
} Tally;

/* Counts a value in a list of Tally, which stays small. */
extern void tally_value(List **tallies, ValueState state, const char *key_id, Relation rel,
						ItemPointer tid);

/* Orders a list of Tally by state and key id. */
extern void tally_sort(List *tallies);

#endif
