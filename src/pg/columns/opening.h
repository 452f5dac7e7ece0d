/*
 * opening.h
 *		Opens the relations of a column for work.
 */
#ifndef DBCRYPT_OPENING_H
#define DBCRYPT_OPENING_H

#include "postgres.h"

#include "nodes/pg_list.h"
#include "storage/lockdefs.h"

#include "columns/target.h"

/*
 * Completes the target from dbcrypt_columns: scheme, options, and AAD if none is
 * given. Refuses an AAD that differs from the registered one.
 */
extern void column_resolve(TargetColumn *target);

/*
 * The registered columns that can be worked on. *left_out becomes the list of the
 * others, each with its problem: an odd registration, or values that are elsewhere.
 */
extern List *columns_workable(List **left_out);

/*
 * Locks the tables of all registered columns with their children, then the registry
 * against changes; the registered columns, as they stay until the transaction ends.
 * Whoever changes the registry has tables locked, and may want more of them: so this
 * does not wait for the registry while it holds a table.
 */
extern List *columns_lock_registered(LOCKMODE lockmode);

/*
 * Locks a table and its children, checks that the caller may work on the column and
 * that dbcrypt can, and completes the target from dbcrypt_columns. Returns the open
 * relations that have rows of their own.
 *
 * With a lock above AccessShareLock, no key is revoked before the transaction ends,
 * even if the column is not registered yet. command names the caller in an error if
 * the session itself uses the table; NULL for a caller that only reads.
 */
extern List *target_open(TargetColumn *target, LOCKMODE lockmode, const char *command);

#endif
