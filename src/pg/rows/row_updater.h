/*
 * row_updater.h
 *		Updates rows of one relation below the executor.
 */
#ifndef DBCRYPT_ROW_UPDATER_H
#define DBCRYPT_ROW_UPDATER_H

#include "postgres.h"

#include "nodes/execnodes.h"
#include "replication/origin.h"
#include "utils/rel.h"

#include "columns/columns.h"
#include "support/run_as.h"
#include "values/codec.h"

/* Updates rows of one relation below the executor. */
typedef struct RowUpdater
{
	Relation rel;
	EState *estate;
	ResultRelInfo *result; /* without its indexes when rows are only read */
	ColumnCodec codec;
	TupleTableSlot *row; /* as scanned, or as relocked */
	TupleTableSlot *updated;
	char *table_name;	 /* qualified and quoted */
	ItemPointerData tid; /* of the row at work, for error contexts */
	bool updating;
	bool nowait;		/* return VALUE_BUSY rather than wait for a row */
	RepOriginId origin; /* InvalidRepOriginId: changes are not marked */
	int64 cold_updates; /* those that wrote index entries */
	ErrorContextCallback error_context;
	RunAsContext owner;
} RowUpdater;

/*
 * Prepares work on a relation that is locked and checked, and enters its
 * owner's context; updater_end leaves it. An active snapshot is needed.
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
 * Re-encrypts the row in updater->row, in its newest version if someone else
 * changed it. Throws 40001 where UPDATE would.
 */
extern ValueOutcome updater_reencrypt_row(RowUpdater *updater);

/* The same with another function of cipher.c. */
typedef ValueOutcome (*CodecFunction)(ColumnCodec *codec, TupleTableSlot *slot,
									  ColumnChange *change);
extern ValueOutcome updater_update_row(RowUpdater *updater, CodecFunction function);

#endif
