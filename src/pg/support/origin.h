/*
 * origin.h
 *		The replication origin of what a rotation writes.
 */
#ifndef DBCRYPT_ORIGIN_H
#define DBCRYPT_ORIGIN_H

#include "postgres.h"

#include "support/compat.h"

/*
 * The origin to mark changes with; created at first use. InvalidReplOriginId if
 * changes need no mark: without logical decoding, or under another origin.
 */
extern ReplOriginId origin_lookup(void);

/*
 * What is logged between the two has the origin. After an error in between,
 * origin_leave must be called too.
 */
extern void origin_enter(ReplOriginId origin);
extern void origin_leave(ReplOriginId origin);

#endif
