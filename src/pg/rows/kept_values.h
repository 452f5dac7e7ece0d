/*
 * kept_values.h
 *		A copy of a column's old values, to put them back from.
 */
#ifndef DBCRYPT_KEPT_VALUES_H
#define DBCRYPT_KEPT_VALUES_H

#include "postgres.h"

#include "columns/target.h"

/*
 * Refuses a missing keep for a column of whose plaintext nothing can be checked, a
 * needless one for a column with authentication, and one that is no name of a new table.
 */
extern void kept_values_check(const TargetColumn *target, dbcrypt_encoding encoding,
							  const char *keep);

/*
 * Makes the table keep, "schema.table", of the primary key, the value and its companions
 * of every row that has a value: as the caller, who then owns it. values: how many there
 * are at least. Needs SPI.
 */
extern void kept_values_save(const TargetColumn *target, const char *keep, int64 values);

#endif
