/*
 * empty_scan.h
 *		A scan that finds no row is suspicious.
 */
#ifndef DBCRYPT_EMPTY_SCAN_H
#define DBCRYPT_EMPTY_SCAN_H

#include "postgres.h"

#include "columns/target.h"

/*
 * Called after dbcrypt's own scan of all rows of a column, under its snapshot or one
 * that sees no more: throws if it found no row and SQL finds a value.
 */
extern void empty_scan_check(const TargetColumn *target, int64 scanned);

#endif
