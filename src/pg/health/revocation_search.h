/*
 * revocation_search.h
 *		Refuses to revoke keys while a value anywhere is, or may be, under one.
 */
#ifndef DBCRYPT_REVOCATION_SEARCH_H
#define DBCRYPT_REVOCATION_SEARCH_H

#include "postgres.h"

#include "nodes/pg_list.h"

/* What is searched for, and where. */
typedef struct RevocationSearch
{
	List *key_ids;		   /* char * */
	bool registered_only;  /* not the whole database */
	List *accepted;		   /* AcceptedPlace: passed over, and reported */
	const char *accept;	   /* how to pass over a place, for hints */
	MemoryContext context; /* of this, if there is a second look: it warns of nothing twice */
	List *mentioned;	   /* char *: what was warned of */
} RevocationSearch;

/*
 * Reads places, each schema.table.column, or schema.table of what cannot be read and of
 * the large objects; throws for one that does not exist.
 */
extern List *accepted_places(List *names);

/*
 * Searches under a snapshot taken now. Throws, naming the places, while a value is or may
 * be under one of the keys, or while a table of a registered column cannot be read.
 */
extern void revocation_search(RevocationSearch *search);

#endif
