/*
 * errors.h
 *		How the core's status and errors of values reach the user.
 */
#ifndef DBCRYPT_ERRORS_H
#define DBCRYPT_ERRORS_H

#include "postgres.h"

#include "access/attnum.h"
#include "nodes/pg_list.h"
#include "storage/itemptr.h"
#include "utils/palloc.h"
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

/* Message and detail of an error in one line. */
extern char *error_line(const ErrorData *error);

/*
 * In PG_CATCH, of an error that was raised while a value was being written, by a
 * constraint, a generated column, an index or a function in one: its message, detail,
 * hint and context may print the value. Throws another in its place, which has its
 * SQLSTATE, the place, the name of the function and the text in the server's source, but
 * nothing that was put into it. constraints are the names that may be shown. context is
 * the memory context before PG_TRY.
 */
pg_noreturn extern void rethrow_without_values(MemoryContext context, const char *place,
											   const List *constraints);

#endif
