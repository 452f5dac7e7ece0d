/*
 * recorded.h
 *		The rotation of a column of a scheme without authentication.
 */
#ifndef DBCRYPT_ROTATION_RECORDED_H
#define DBCRYPT_ROTATION_RECORDED_H

#include "postgres.h"

#include "nodes/pg_list.h"

#include "columns/target.h"

/*
 * Rotates the column in its open relations, which are locked against writers, and records
 * its new key. Every value must open under the recorded key before the first is written.
 * keep is NULL or the table to keep old values in. In a dry run nothing is written. Counts
 * the rows by their ValueOutcome in outcomes, of STAGED_OUTCOMES.
 */
extern void rotate_recorded(const List *members, TargetColumn *target, bool dry_run,
							const char *keep, int64 *outcomes);

#endif
