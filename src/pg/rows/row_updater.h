/*
 * row_updater.h
 *		Updates rows of one relation below the executor.
 */
#ifndef DBCRYPT_ROW_UPDATER_H
#define DBCRYPT_ROW_UPDATER_H

#include "postgres.h"

#include "support/compat.h"

#include "nodes/execnodes.h"
#include "utils/rel.h"

#include "rows/column_scan.h"
#include "values/codec_change.h"

/* Updates rows of one relation below the executor. */
typedef struct RowUpdater
{
	ColumnScan scan;
	ResultRelInfo *result;	 /* without its indexes when rows are only read or built */
	TupleTableSlot *updated; /* the row with its change */
	bool nowait;			 /* return VALUE_BUSY rather than wait for a row */
	ReplOriginId origin;	 /* InvalidReplOriginId: changes are not marked */
	int64 cold_updates;		 /* those that wrote index entries */
} RowUpdater;

/*
 * column_scan_begin, and what is needed to write rows; an active snapshot is
 * needed. With read_only rows can be built, but not updated.
 */
extern void updater_begin(RowUpdater *updater, Relation rel, const TargetColumn *target,
						  bool read_only);
extern void updater_end(RowUpdater *updater);

/*
 * Puts into updater->updated the row with its change: generated columns
 * computed, constraints checked, dropped columns NULL.
 */
extern void updater_build_row(RowUpdater *updater, const ColumnChange *change);

/*
 * Re-encrypts the row in updater->scan.row, in its newest version if someone else
 * changed it. Throws 40001 where UPDATE would.
 */
extern ValueOutcome updater_reencrypt_row(RowUpdater *updater);

/* The same with another function of codec.h. */
typedef ValueOutcome (*CodecFunction)(ColumnCodec *codec, TupleTableSlot *slot,
									  ColumnChange *change);
extern ValueOutcome updater_update_row(RowUpdater *updater, CodecFunction function);

#endif
