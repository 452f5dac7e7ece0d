/*
 * adopt.h
 *		Columns of other applications' schemes.
 */
#ifndef DBCRYPT_ADOPT_H
#define DBCRYPT_ADOPT_H

#include "postgres.h"

#include "fmgr.h"

#include "columns/target.h"

/*
 * Registers a column of another application's scheme. Refuses one of whose first
 * values one does not decrypt. Needs no SPI.
 */
extern void adopt_column(TargetColumn *target);

/* Adds a column to the rows that a set-returning function of adopted columns returns. */
extern void adopt_return_column(FunctionCallInfo fcinfo, const TargetColumn *target);

#endif
