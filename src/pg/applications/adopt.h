/*
 * adopt.h
 *		Columns of other applications' schemes.
 */
#ifndef DBCRYPT_ADOPT_H
#define DBCRYPT_ADOPT_H

#include "postgres.h"

#include "applications/adopt_read.h"
#include "columns/target.h"

/*
 * Registers a column of another application's scheme, and says what it has read of it.
 * Refuses one of whose values one does not decrypt. Needs no SPI.
 */
extern AdoptedValues adopt_column(TargetColumn *target);

/*
 * The same in a subtransaction, which is undone unless keep is set. NULL, or why the
 * column cannot be adopted, in one line.
 */
extern char *adopt_try(TargetColumn *target, bool keep, AdoptedValues *values);

#endif
