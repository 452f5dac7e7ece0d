/*
 * staged_update.h
 *		Changes of all rows of a column, of which every one is computed before the first
 *		is written: for columns in which one bad value must change nothing.
 */
#ifndef DBCRYPT_STAGED_UPDATE_H
#define DBCRYPT_STAGED_UPDATE_H

#include "postgres.h"

#include "nodes/pg_list.h"

#include "columns/target.h"
#include "rows/row_updater.h"

#define STAGED_OUTCOMES (VALUE_BUSY + 1)

/*
 * Computes the change of every row of the open relations by a function of codec_change.h,
 * which throws for a bad value, under the active snapshot. Writes nothing: new values
 * beyond work_mem wait in a temporary file. Counts the rows by their ValueOutcome in
 * outcomes, of STAGED_OUTCOMES, and shows this backend's progress.
 */
extern List *staged_compute(const List *members, const TargetColumn *target, CodecFunction function,
							int64 *outcomes);

/* Writes the changes. The caller's lock has kept writers out since they were computed. */
extern void staged_write(const List *staged, const TargetColumn *target);

/* Forgets the changes. */
extern void staged_end(const List *staged);

#endif
