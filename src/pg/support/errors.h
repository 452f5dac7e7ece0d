/*
 * errors.h
 *		How the core's status and errors of values reach the user.
 */
#ifndef DBCRYPT_ERRORS_H
#define DBCRYPT_ERRORS_H

#include "postgres.h"

#include "access/attnum.h"
#include "storage/itemptr.h"
#include "utils/rel.h"

#include "core/api/status.h"
#include "core/api/value.h"
#include "support/compat.h"

/* Where a value is, for an error's DETAIL; rel is NULL if it is in no table. */
typedef struct ValuePlace
{
	Relation rel;
	AttrNumber attnum;
	ItemPointerData tid;
	bool adopted; /* the column is of another application's scheme */
} ValuePlace;

/* Throws the error of a status; key_id and place may be NULL. */
pg_noreturn extern void raise_status(dbcrypt_status status, dbcrypt_encoding encoding,
									 const char *key_id, const ValuePlace *place);

/* The primary message of a status. */
extern const char *status_message(dbcrypt_status status, const char *key_id);

/*
 * For the callback of an error context. PostgreSQL's errors about a value may print
 * it; this replaces the message by one that does not.
 */
extern void redact_error(void);

#endif
