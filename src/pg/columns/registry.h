/*
 * registry.h
 *		The registered columns: rows of dbcrypt_columns.
 */
#ifndef DBCRYPT_REGISTRY_H
#define DBCRYPT_REGISTRY_H

#include "postgres.h"

#include "nodes/pg_list.h"

#include "columns/target.h"

/* The registered columns in order of table OID and column number. */
extern List *columns_registered(void);

/* The registered column of that number, or NULL. */
extern TargetColumn *column_registered(Oid relid, AttrNumber attnum);

/* The same by name; if there is none, that of a table above from which it inherits. */
extern TargetColumn *column_covering(Oid relid, const char *name);

/*
 * Registers a column. Does nothing if the column is registered, if the registration of
 * a table above covers it (runs_as is set), and for temporary tables. Needs SPI.
 */
extern void column_register(const TargetColumn *target);

/* Unregisters a column; false if it was not registered. Needs SPI. */
extern bool column_unregister(Oid relid, AttrNumber attnum);

/* Replaces the options of a registered column. Needs SPI. */
extern void column_set_options(const TargetColumn *target, const ColumnOptions *options);

/*
 * Every row of dbcrypt_columns, those of dropped columns included (name is NULL), in
 * the order of columns_registered. Unless whole, only table, number and names are
 * read, so that this works on a table that a script of another version made.
 */
extern List *registry_rows(bool whole);

#endif
