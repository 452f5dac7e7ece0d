/*
 * column_scan.h
 *		Reads the rows of one relation with a codec for one of its columns.
 */
#ifndef DBCRYPT_COLUMN_SCAN_H
#define DBCRYPT_COLUMN_SCAN_H

#include "postgres.h"

#include "executor/tuptable.h"
#include "nodes/execnodes.h"
#include "storage/block.h"
#include "utils/rel.h"
#include "utils/snapshot.h"

#include "columns/target.h"
#include "support/compat.h"
#include "support/run_as.h"
#include "values/codec.h"

/* Work on one column of one relation, row by row. */
typedef struct ColumnScan
{
	Relation rel;
	EState *estate;
	ColumnCodec codec;
	TupleTableSlot *row; /* the row at work */
	char *table_name;	 /* qualified and quoted */
	ItemPointerData tid; /* of the row at work, for error contexts */
	bool writing;		 /* the row is being written: messages must not show values */
	ErrorContextCallback error_context;
	RunAsContext owner;
} ColumnScan;

/* Called for each row, which is in scan->row; false ends the scan. */
typedef bool (*ColumnScanVisitor)(ColumnScan *scan, void *arg);

/*
 * Prepares work on a relation that is locked and checked, and runs as its owner
 * until column_scan_end.
 */
extern void column_scan_begin(ColumnScan *scan, Relation rel, const TargetColumn *target);
extern void column_scan_end(ColumnScan *scan);

/*
 * In PG_CATCH, while scan->writing: throws the error anew without values, as
 * rethrow_without_values does, and names the row at work.
 */
pg_noreturn extern void column_scan_rethrow(ColumnScan *scan, MemoryContext context,
											const List *constraints);

/*
 * Visits every row that the snapshot sees. Per-tuple memory is reset after each.
 * Can be cancelled between two rows.
 */
extern void column_scan_rows(ColumnScan *scan, Snapshot snapshot, ColumnScanVisitor visit,
							 void *arg);

/* The same for a range of blocks, count > 0. */
extern void column_scan_blocks(ColumnScan *scan, Snapshot snapshot, BlockNumber first,
							   BlockNumber count, ColumnScanVisitor visit, void *arg);

#endif
