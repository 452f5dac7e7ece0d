/*
 * registry.h
 *		The registered columns: rows of dbcrypt_columns.
 */
#ifndef DBCRYPT_REGISTRY_H
#define DBCRYPT_REGISTRY_H

#include "postgres.h"

#include "nodes/pg_list.h"

#include "columns/target.h"

/* A row of dbcrypt_columns, and what its names and its hint lead to. */
typedef struct RegistryRow
{
	TargetColumn column; /* first, so that this is one */
	char *schema;		 /* the names that the row holds */
	char *table;
	char *name;
	Oid named_relid; /* what they lead to; InvalidOid or 0 if nothing */
	AttrNumber named_attnum;
	bool bound; /* the hint is of this database, */
	Oid hint_relid;
	AttrNumber hint_attnum;
	bool hint_lives;   /* and its column exists, */
	bool hint_dropped; /* or did before it was dropped from its table */
} RegistryRow;

/* What to do about a row with a problem. */
#define REGISTRY_PROBLEM_HINT                                                                      \
	"Correct the row in dbcrypt_columns, or delete the row of a column that has no value left or " \
	"was registered by mistake."

/*
 * The registered columns in order of table OID and column number, those with a
 * problem included.
 */
extern List *columns_registered(void);

/* The registered columns of a table and of those from which it inherits, in that order. */
extern List *columns_over(Oid relid);

/* The registered column of that number, or NULL. */
extern TargetColumn *column_registered(Oid relid, AttrNumber attnum);

/* The same by name; if there is none, that of a table above from which it inherits. */
extern TargetColumn *column_covering(Oid relid, const char *name);

/* Throws if there is a problem with the column's row. */
extern void registry_refuse_problem(const TargetColumn *registered);

/*
 * Registers a column for its table's owner, as whom its expressions run. Does nothing
 * if the column is registered, if the registration of a table above covers it (runs_as
 * is set), and for temporary tables. Needs SPI.
 */
extern void column_register(const TargetColumn *target);

/* Unregisters a column; false if it was not registered. Needs SPI. */
extern bool column_unregister(Oid relid, AttrNumber attnum);

/* Replaces the options of a registered column. Needs SPI. */
extern void column_set_options(const TargetColumn *target, const ColumnOptions *options);

/*
 * The rows of dbcrypt_columns (RegistryRow), in the order of columns_registered.
 * Unless whole, only names and hint are read, so that this works on a table that a
 * script of another version made.
 */
extern List *registry_rows(bool whole);

/* Deletes a row. Needs SPI. */
extern void registry_delete(const RegistryRow *row);

#endif
