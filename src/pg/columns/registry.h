/*
 * registry.h
 *		The registered columns: rows of dbcrypt_columns.
 */
#ifndef DBCRYPT_REGISTRY_H
#define DBCRYPT_REGISTRY_H

#include "postgres.h"

#include "nodes/pg_list.h"

#include "columns/target.h"

/* The registered columns in order of OID and number; all of TargetColumn. */
extern List *columns_registered(void);

/* The registry's row of a column, or NULL. */
extern TargetColumn *column_registered(Oid relid, AttrNumber attnum);

/* The same, or the row of a table above it whose column it inherits. */
extern TargetColumn *column_covering(Oid relid, const char *name);

/*
 * Registers a column. Does nothing if it is registered, if what it was resolved to
 * covers it (runs_as), and for temporary tables. Needs SPI.
 */
extern void column_register(const TargetColumn *target);

/* Unregisters a column; false if it was not registered. Needs SPI. */
extern bool column_unregister(Oid relid, AttrNumber attnum);

/*
 * Every row of dbcrypt_columns, those of dropped columns included, in the order of
 * columns_registered. Unless whole, only what names the column is read.
 */
extern List *registry_rows(bool whole);

#endif
