/*
 * column_scan.c
 *		The one loop over the rows of a relation: scan, visit, reset, end.
 */
#include "postgres.h"

#include "access/tableam.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/palloc.h"

#include "columns/target.h"
#include "rows/column_scan.h"
#include "support/compat.h"
#include "support/errors.h"
#include "support/relation_name.h"
#include "support/run_as.h"
#include "values/codec.h"

/*
 * Names the row in an error. While the row is written, errors are thrown anew without
 * values; of other messages, and of one that ends the session, no context is logged.
 */
static void
row_error_context(void *arg)
{
	ColumnScan *scan = arg;
	BlockNumber block = ItemPointerGetBlockNumberNoCheck(&scan->tid);
	OffsetNumber offset = ItemPointerGetOffsetNumberNoCheck(&scan->tid);

	if (scan->writing)
		errhidecontext(true);
	else if (offset != InvalidOffsetNumber)
		errcontext("encrypted column of table %s, row (%u,%u)", scan->table_name, block, offset);
}

void
column_scan_begin(ColumnScan *scan, Relation rel, const TargetColumn *target)
{
	memset(scan, 0, sizeof(*scan));
	run_as_owner(rel->rd_rel->relowner, &scan->owner);
	scan->rel = rel;
	scan->table_name = relation_name(RelationGetRelid(rel));
	ItemPointerSetInvalid(&scan->tid);
	scan->error_context = (ErrorContextCallback){
		.callback = row_error_context, .arg = scan, .previous = error_context_stack};
	error_context_stack = &scan->error_context;

	scan->estate = CreateExecutorState();
	scan->row = table_slot_create(rel, NULL);
	codec_init(&scan->codec, rel, target, scan->estate);
}

void
column_scan_end(ColumnScan *scan)
{
	error_context_stack = scan->error_context.previous;
	ExecDropSingleTupleTableSlot(scan->row);
	FreeExecutorState(scan->estate);
	run_as_restore(&scan->owner);
}

void
column_scan_rethrow(ColumnScan *scan, MemoryContext context, const List *constraints)
{
	char *place;

	MemoryContextSwitchTo(context);
	place = psprintf("Table %s, row (%u,%u)", scan->table_name,
					 ItemPointerGetBlockNumberNoCheck(&scan->tid),
					 ItemPointerGetOffsetNumberNoCheck(&scan->tid));
	scan->writing = false;
	ItemPointerSetInvalid(&scan->tid); /* it is named already */
	rethrow_without_values(context, place, constraints);
}

/* Visits the row in scan->row. */
static inline bool
visit_row(ColumnScan *scan, ColumnScanVisitor visit, void *arg)
{
	bool more;

	CHECK_FOR_INTERRUPTS();
	scan->tid = scan->row->tts_tid;
	more = visit(scan, arg);
	ResetPerTupleExprContext(scan->estate);
	return more;
}

void
column_scan_rows(ColumnScan *scan, Snapshot snapshot, ColumnScanVisitor visit, void *arg)
{
	TableScanDesc rows = compat_beginscan(scan->rel, snapshot);

	while (table_scan_getnextslot(rows, ForwardScanDirection, scan->row) &&
		   visit_row(scan, visit, arg))
		;
	table_endscan(rows);
}

void
column_scan_blocks(ColumnScan *scan, Snapshot snapshot, BlockNumber first, BlockNumber count,
				   ColumnScanVisitor visit, void *arg)
{
	ItemPointerData begin;
	ItemPointerData end;
	TableScanDesc rows;

	ItemPointerSet(&begin, first, FirstOffsetNumber);
	ItemPointerSet(&end, first + count - 1, MaxOffsetNumber);
	rows = compat_beginscan_tidrange(scan->rel, snapshot, &begin, &end);
	while (table_scan_getnextslot_tidrange(rows, ForwardScanDirection, scan->row) &&
		   visit_row(scan, visit, arg))
		;
	table_endscan(rows);
}
