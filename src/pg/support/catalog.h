/*
 * catalog.h
 *		The extension's own tables: where they are, and safe reading of their rows.
 */
#ifndef DBCRYPT_CATALOG_H
#define DBCRYPT_CATALOG_H

#include "postgres.h"

#include "access/attnum.h"
#include "access/htup.h"
#include "utils/rel.h"

/* OID of a table of the extension's schema, InvalidOid without the extension. */
extern Oid catalog_relation(const char *name);

/* The same, for use in a query: quoted and qualified. Throws without the extension. */
extern char *catalog_relation_name(const char *name);

/* OID of a function of the extension with exactly these two arguments; throws without it. */
extern Oid catalog_function(const char *name, Oid first, Oid second);

/*
 * Number of a column of such a table. Found by name: the script that made the table
 * may be of another version than this library. Throws if the column is missing or
 * of another type.
 */
extern AttrNumber catalog_column(Relation rel, const char *name, Oid type);

/* The value of a column in one row; throws for NULL. */
extern Datum catalog_value(HeapTuple tuple, Relation rel, AttrNumber attnum);

/*
 * Runs a query as the owner of the extension's tables, whoever the caller is; returns
 * the number of rows. Throws if SPI's result is not the expected one. Needs SPI.
 */
extern uint64 catalog_execute(const char *query, int nargs, Oid *types, Datum *values,
							  const char *nulls, int expected);

#endif
