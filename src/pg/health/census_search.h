/*
 * census_search.h
 *		Finds envelopes in one value of any type that can hold text or bytea.
 */
#ifndef DBCRYPT_CENSUS_SEARCH_H
#define DBCRYPT_CENSUS_SEARCH_H

#include "postgres.h"

#include "core/api/search.h"

typedef enum SearchKind
{
	SEARCH_NOT,		  /* cannot hold an envelope */
	SEARCH_TEXT,	  /* a text */
	SEARCH_BYTEA,	  /* bytea */
	SEARCH_BYTES,	  /* text within other bytes: JSON, hstore, arrays of text, name, ... */
	SEARCH_ARRAY,	  /* an array, element by element */
	SEARCH_COMPOSITE, /* a row type, or record */
} SearchKind;

/* How values of a type are searched. */
typedef struct SearchPlan
{
	SearchKind kind;
	int16 length;					 /* of the type, as pg_type has it */
	struct SearchPlan *element_plan; /* SEARCH_ARRAY; otherwise NULL */
} SearchPlan;

/* Called for each envelope: its key's id, "" for one of a newer format or damaged. */
typedef void (*EnvelopeVisitor)(void *arg, const char *key_id);

/* Plans the search in values of a type, in the current memory context. */
extern void search_plan(SearchPlan *plan, Oid type);

/*
 * Visits the envelopes of a value that is not NULL. No code of the type runs. Adds a
 * value without any to the sample, unless that is NULL or the type no text or bytea.
 */
extern void search_value(const SearchPlan *plan, Datum value, dbcrypt_sample *sample,
						 EnvelopeVisitor visit, void *arg);

/*
 * The size to read a binary value's header with: a value that was cut off names its key
 * all the same.
 */
extern size_t search_whole_size(size_t size);

/* Visits the envelopes in bytes. */
extern void search_bytes(const uint8_t *data, size_t size, EnvelopeVisitor visit, void *arg);

#endif
