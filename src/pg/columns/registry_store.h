/*
 * registry_store.h
 *		The rows of dbcrypt_columns as they are stored, kept until the table changes.
 */
#ifndef DBCRYPT_REGISTRY_STORE_H
#define DBCRYPT_REGISTRY_STORE_H

#include "postgres.h"

#include "access/attnum.h"
#include "nodes/pg_list.h"

#include "columns/options.h"
#include "core/api/scheme.h"

/* A row: the names of its column, the hint, and how the column is registered. */
typedef struct StoredRow
{
	char *schema;
	char *table;
	char *name;
	bool bound; /* the hint is of this database */
	Oid hint_relid;
	AttrNumber hint_attnum;
	char *scheme; /* the rest is NULL and empty unless the rows were read whole */
	char *aad;
	char *registered_by;
	ColumnOptions options;
} StoredRow;

/* To be called once, when the library is loaded. */
extern void registry_store_init(void);

/*
 * Every row (StoredRow). Unless whole, only names and hint are sure to be there, so that
 * this works on a table that a script of another version made. Valid until the next call
 * of a function of this file.
 */
extern List *registry_stored(bool whole);

/* The whole rows of which the hint or the names may lead to a table; valid as long. */
extern List *registry_stored_of(Oid relid);

/*
 * A number that changes with dbcrypt_columns and with whatever else decides which
 * columns its rows mean, apart from changes of the table in question and of those above
 * it. As new as the last invalidation that this session has received.
 */
extern uint64 registry_changes(void);

/* What bound_to holds for a hint of this database. */
extern char *registry_bound_to(void);

#endif
