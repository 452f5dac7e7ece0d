/*
 * census_rows.h
 *		What a running census knows and has found.
 */
#ifndef DBCRYPT_CENSUS_ROWS_H
#define DBCRYPT_CENSUS_ROWS_H

#include "postgres.h"

#include "storage/itemptr.h"

#include "columns/target.h"
#include "health/census_result.h"

typedef struct Census
{
	const CensusRequest *request;
	MemoryContext context; /* of the rows */
	List *registered;	   /* CensusColumn */
	List *rows;			   /* CensusRow */
} Census;

/* A registered column in its table, or in one of its members. */
typedef struct CensusColumn
{
	Oid relid;
	const TargetColumn *target;
} CensusColumn;

/* A relation to be read. */
typedef struct CensusRelation
{
	Census *census;
	Oid relid;
	const char *name; /* qualified and quoted, as the snapshot sees it */
	Oid filenode;	  /* as the snapshot sees it: another one now says that it was rewritten */
	Oid schema;
	uint32 blocks;
	List *opening;				/* CensusColumn: columns whose values are to be opened */
	const CensusColumn *column; /* of these, the one at work */
} CensusRelation;

/* Reads which columns are registered, members included. */
extern void census_list_registered(Census *census);

/* OIDs of the registered columns' tables and members. */
extern List *census_registered_relations(const Census *census);

/* The registered column of that name in a relation, or NULL; NULL as name: any. */
extern const CensusColumn *census_registered_column(const Census *census, Oid relid,
													const char *name);

/* Whether values under this key are searched for. */
extern bool census_wants_key(const Census *census, const char *key_id);

/* The row of that place, key and state, new or not. column is NULL for none. */
extern CensusRow *census_row(CensusRelation *relation, AttrNumber attnum, const char *column,
							 const char *key_id, CensusState state);

/* Adds an example to a row, unless it has CENSUS_EXAMPLES or this one came last. */
extern void census_add_example(CensusRelation *relation, CensusRow *row, const char *example);
extern void census_add_example_tid(CensusRelation *relation, CensusRow *row,
								   const ItemPointerData *tid);

/* Sets the detail of a row. */
extern void census_set_detail(CensusRelation *relation, CensusRow *row, const char *detail);

/* Adds that the relation, or its column at work, could not be read. */
extern void census_add_unreadable(CensusRelation *relation, const char *why);

/* Sorts the rows by table, column, state and key. */
extern void census_sort(Census *census);

#endif
