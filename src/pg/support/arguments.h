/*
 * arguments.h
 *		Arguments and results of SQL functions.
 */
#ifndef DBCRYPT_ARGUMENTS_H
#define DBCRYPT_ARGUMENTS_H

#include "postgres.h"

#include "fmgr.h"
#include "nodes/execnodes.h"

/* Refuses (22004) a NULL in any of the first n arguments that has a name in names. */
extern void arguments_refuse_null(FunctionCallInfo fcinfo, const char *const *names, int n);

/* A text argument as a C string; NULL for NULL. */
extern char *text_argument(FunctionCallInfo fcinfo, int n);

/*
 * Begins the result of a set-returning function whose rows have that many columns.
 * Throws if SQL declares another number: then the script is of another version.
 */
extern ReturnSetInfo *result_set(FunctionCallInfo fcinfo, int columns);

/*
 * The row that a function with OUT arguments returns, of so many values that are not
 * NULL. Throws if SQL declares another number of them.
 */
extern Datum result_row(FunctionCallInfo fcinfo, Datum *values, int columns);

/* A name as a Datum of type name. */
extern Datum name_datum(const char *name);

#endif
