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
 * Takes the registered scheme and options, and the registered AAD where none is
 * given; refuses one that differs from it.
 */
extern void column_resolve(TargetColumn *target);

/*
 * Locks a table and its children, checks that the caller may and dbcrypt can
 * work on the column, and resolves the target's number and AAD. Returns the
 * open relations that have rows of their own. With more than AccessShareLock,
 * no key is revoked before the transaction ends, even if nobody has registered
 * the column yet. Without a command the caller only reads, and the table may be
 * in use by the session.
 */
extern List *target_open(TargetColumn *target, LOCKMODE lockmode, const char *command);

#endif
