/*
 * census_result.h
 *		What a census is asked for, and what it returns.
 */
#ifndef DBCRYPT_CENSUS_RESULT_H
#define DBCRYPT_CENSUS_RESULT_H

#include "postgres.h"

#include "access/attnum.h"
#include "nodes/pg_list.h"

#include "core/api/keyring.h"

typedef enum CensusState
{
	CENSUS_REGISTERED,		/* values of a registered column */
	CENSUS_UNREGISTERED,	/* native envelopes where no column is registered */
	CENSUS_LOOKS_ENCRYPTED, /* bytes like ciphertext; key_id is "" */
	CENSUS_NOT_READABLE		/* not looked at; detail says why */
} CensusState;

#define CENSUS_EXAMPLES 3

/* What was found in one place under one key. */
typedef struct CensusRow
{
	Oid relid;			/* LargeObjectRelationId: large objects; may be dropped by now */
	AttrNumber attnum;	/* 0: large objects, or a relation that is not readable */
	const char *table;	/* qualified and quoted, also of a relation that is gone */
	const char *column; /* NULL with attnum 0 */
	char key_id[DBCRYPT_KEY_ID_LEN + 1]; /* "" where nothing tells */
	CensusState state;
	bool registered;   /* the place belongs to a registered column's table */
	int64 values;	   /* envelopes, or all values of a column that looks encrypted */
	int64 not_opening; /* of these, those that no loaded key opens; see CensusRequest */
	int nexamples;
	const char *examples[CENSUS_EXAMPLES]; /* ctids, or OIDs of large objects */
	const char *detail;					   /* NULL for none */
} CensusRow;

typedef struct CensusRequest
{
	Oid relid;			  /* the only relation to read; InvalidOid: the whole database */
	List *key_ids;		  /* char *, the keys to search for; NIL: all */
	bool registered_only; /* reads nothing but registered columns and their members */
	bool open;			  /* values of registered columns found are opened: not_opening */
	bool looks_encrypted; /* also tells which columns look encrypted */
} CensusRequest;

#endif
