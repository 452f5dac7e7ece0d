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
	ResultRelInfo *result;	 /* without its indexes when rows are only built */
	TupleTableSlot *updated; /* the row with its change */
	List *constraints;		 /* names that an error may show */
	bool nowait;			 /* return VALUE_BUSY rather than wait for a row */
	ReplOriginId origin;	 /* InvalidReplOriginId: changes are not marked */
	int64 cold_updates;		 /* those that wrote index entries */
} RowUpdater;

/* The names of a relation's constraints and indexes. */
extern List *constraint_names(Relation rel);

/*
 * Does column_scan_begin and prepares for writing; needs an active snapshot. With
 * build_only, rows can be built but not updated: no index is opened.
 */
extern void updater_begin(RowUpdater *updater, Relation rel, const TargetColumn *target,
						  bool build_only);
extern void updater_end(RowUpdater *updater);

/*
 * Puts into updater->updated the row with its change. Computes generated columns,
 * checks constraints, and makes dropped columns NULL.
 */
extern void updater_build_row(RowUpdater *updater, const ColumnChange *change);

/* Writes a change of the row in updater->scan.row. Throws if someone else changed the row. */
extern void updater_write_row(RowUpdater *updater, const ColumnChange *change);

/*
 * Re-encrypts the row in updater->scan.row, in its newest version if someone else
 * changed it. Throws 40001 where UPDATE would.
 */
extern ValueOutcome updater_reencrypt_row(RowUpdater *updater);

/* The same with another function of codec_change.h. */
typedef ValueOutcome (*CodecFunction)(ColumnCodec *codec, TupleTableSlot *slot,
									  ColumnChange *change);
extern ValueOutcome updater_update_row(RowUpdater *updater, CodecFunction function);

#endif
