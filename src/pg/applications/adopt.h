/*
 * adopt.h
 *		Columns of other applications' schemes.
 */
#ifndef DBCRYPT_ADOPT_H
#define DBCRYPT_ADOPT_H

#include "postgres.h"

#include "columns/target.h"

/* Registers a column of another scheme after a look at its values; needs no SPI. */
extern void adopt_column(TargetColumn *target);

#endif
