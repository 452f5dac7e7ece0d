/*
 * rotate.h
 *		What a rotation works on and what it did.
 */
#ifndef DBCRYPT_ROTATE_H
#define DBCRYPT_ROTATE_H

#include "postgres.h"

#include "nodes/pg_list.h"

#include "columns/columns.h"

/* What a rotation did, in values. */
typedef struct RotateCounts
{
	int64 scanned;
	int64 rotated;
	int64 current;
	int64 nulls;
} RotateCounts;

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
