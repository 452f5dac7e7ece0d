/*
 * census_values.h
 *		What one read of a relation finds: envelopes by column and key, and samples.
 *
 * The values are those of the SQL aggregate dbcrypt_census_values, so that PostgreSQL
 * reads the relation, in parallel where it pays.
 */
#ifndef DBCRYPT_CENSUS_VALUES_H
#define DBCRYPT_CENSUS_VALUES_H

#include "postgres.h"

#include "storage/itemptr.h"

#include "core/api/keyring.h"
#include "core/api/search.h"

#define CENSUS_HIT_EXAMPLES 3

/* Envelopes of one column under one key. Moved between processes as bytes. */
typedef struct CensusHit
{
	struct
	{
		int16 column;						 /* number of the argument, from 0 */
		char key_id[DBCRYPT_KEY_ID_LEN + 2]; /* "": of a newer format or damaged */
	} key;
	int64 values;
	int nexamples;
	ItemPointerData examples[CENSUS_HIT_EXAMPLES]; /* the lowest */
} CensusHit;

/* The aggregate's result. */
typedef struct CensusValues
{
	int nhits;
	const CensusHit *hits;
	int ncolumns;
	const dbcrypt_sample *samples; /* by column */
} CensusValues;

/* Reads what dbcrypt_census_values has returned; points into it. */
extern CensusValues census_values_read(Datum result);

#endif
