/*
 * origin.h
 *		The replication origin of what a rotation writes.
 */
#ifndef DBCRYPT_ORIGIN_H
#define DBCRYPT_ORIGIN_H

#include "postgres.h"

#include "support/compat.h"

/* The origin to mark changes with, made if need be; invalid where none is needed. */
extern ReplOriginId origin_lookup(void);

/* Marks what is logged in between. An error in between must origin_leave too. */
extern void origin_enter(ReplOriginId origin);
extern void origin_leave(ReplOriginId origin);

#endif
