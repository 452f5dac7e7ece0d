/*
 * columns.h
 *		Which columns dbcrypt works on.
 */
#ifndef DBCRYPT_COLUMNS_H
#define DBCRYPT_COLUMNS_H

#include "postgres.h"

#include "access/attnum.h"
#include "storage/lockdefs.h"
#include "utils/rel.h"

#include "columns/options.h"
#include "core/core.h"

/* A column that dbcrypt works on: what was named, or what dbcrypt_columns holds. */
typedef struct TargetColumn
{
	Oid relid;
	AttrNumber attnum;
	char *name;					  /* the column's current name */
	char *registered_name;		  /* the name that dbcrypt_columns holds */
	char *aad;					  /* expression, or NULL */
	Oid runs_as;				  /* who evaluates expressions; InvalidOid: the table's owner */
	const dbcrypt_scheme *scheme; /* NULL for native */
	ColumnOptions options;
} TargetColumn;

/* Whether every row of the column holds a native envelope, or should. */
extern bool column_is_native(const TargetColumn *target);

/* Refuses everyone but the table's owner and superusers. */
extern void column_check_owner(Oid relid);

/*
 * Locks the partitioned tables above a relation for reading, topmost first; their
 * OIDs. To be called before the relation is locked: DDL locks in this order.
 */
extern List *column_lock_ancestors(Oid relid);

/*
 * OIDs of a relation and its children of any depth. A partition that is being
 * detached concurrently counts: its rows are still there.
 */
extern List *column_members(Oid relid, LOCKMODE lockmode);

/*
 * Locks a relation and its children, in a fixed order; their OIDs, without those of
 * temporary tables of other sessions, which nobody else can read.
 */
extern List *column_lock_members(Oid relid, LOCKMODE lockmode);

/* Refuses a relation that cannot be rotated, saying why; column number in it. */
extern AttrNumber column_check_relation(Relation rel, const TargetColumn *target);

/* A column and the generated columns computed from it, offset as in pull_varattnos. */
extern Bitmapset *column_dependents(Relation rel, AttrNumber attnum);

/* Form of a column's values: text or bytea, through domains. */
extern dbcrypt_form column_form(Relation rel, AttrNumber attnum);

/* The registered columns in order of OID and number; all of TargetColumn. */
extern List *columns_registered(void);

/* The registry's row of a column, or NULL. */
extern TargetColumn *column_registered(Oid relid, AttrNumber attnum);

/* The same, or the row of a table above it whose column it inherits. */
extern TargetColumn *column_covering(Oid relid, const char *name);

/*
 * Takes the registered scheme and options, and the registered AAD where none is
 * given; refuses one that differs from it.
 */
extern void column_resolve(TargetColumn *target);

/*
 * Registers a column. Does nothing if it is registered, if what it was resolved to
 * covers it (runs_as), and for temporary tables. Needs SPI.
 */
extern void column_register(const TargetColumn *target);

/* Unregisters a column; false if it was not registered. Needs SPI. */
extern bool column_unregister(Oid relid, AttrNumber attnum);

#endif
