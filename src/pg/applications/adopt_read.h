/*
 * adopt_read.h
 *		What adoption reads of a column before it is registered.
 */
#ifndef DBCRYPT_ADOPT_READ_H
#define DBCRYPT_ADOPT_READ_H

#include "postgres.h"

#include "nodes/pg_list.h"

#include "columns/target.h"

/* What was read of a column. */
typedef struct AdoptedValues
{
	int64 opened; /* values that decrypt with the loaded keys */
	bool sampled; /* others were not read: the column is too large */
} AdoptedValues;

/*
 * Decrypts the column's values in its relations, which are open: all of them where that
 * takes seconds, else those of blocks that are spread evenly over the relations. Throws
 * if one does not decrypt.
 */
extern AdoptedValues adopt_read(const List *members, const TargetColumn *target);

#endif
