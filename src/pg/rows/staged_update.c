/*
 * staged_update.c
 *		Changes of all rows of a column, of which every one is computed before the
 *		first is written.
 */
#include "postgres.h"

#include "access/tableam.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "utils/snapmgr.h"
#include "utils/tuplestore.h"

#include "rows/column_scan.h"
#include "rows/row_updater.h"
#include "rows/staged_update.h"
#include "support/compat.h"
#include "support/progress.h"

/* The computed changes of one relation. */
typedef struct StagedRelation
{
	Relation rel;
	Tuplestorestate *changes; /* NULL for none; beyond work_mem in a temporary file */
	TupleDesc desc;			  /* of a change: the row's tid, then the columns */
	int ncolumns;
	AttrNumber attnums[CHANGE_MAX_COLUMNS];
} StagedRelation;

/* A pass that computes changes. */
typedef struct Computation
{
	StagedRelation *staged;
	CodecFunction function;
	BlockNumber block; /* of the row before */
	uint64 blocks_done;
	int64 *outcomes;
} Computation;

/* Describes the columns that a change has: those of the first one. */
static void
describe_change(StagedRelation *self, const ColumnChange *change)
{
	self->ncolumns = change->count;
	self->desc = CreateTemplateTupleDesc(1 + change->count);
	TupleDescInitEntry(self->desc, 1, "tid", TIDOID, -1, 0);
	for (int i = 0; i < change->count; i++)
	{
		Form_pg_attribute attribute =
			TupleDescAttr(RelationGetDescr(self->rel), change->attnums[i] - 1);

		self->attnums[i] = change->attnums[i];
		TupleDescInitEntry(self->desc, (AttrNumber) (i + 2), NameStr(attribute->attname),
						   attribute->atttypid, attribute->atttypmod, 0);
	}
	compat_finish_tuple_desc(self->desc);
	self->changes = tuplestore_begin_heap(false, false, work_mem);
}

/* Keeps the change of the row at work. */
static void
keep_change(StagedRelation *self, ItemPointer tid, const ColumnChange *change)
{
	Datum values[1 + CHANGE_MAX_COLUMNS] = {PointerGetDatum(tid)};
	bool nulls[1 + CHANGE_MAX_COLUMNS] = {false};

	if (self->changes == NULL)
		describe_change(self, change);
	for (int i = 0; i < change->count; i++)
	{
		values[1 + i] = change->values[i];
		nulls[1 + i] = change->nulls[i];
	}
	tuplestore_putvalues(self->changes, self->desc, values, nulls);
}

/* Computes the change of one row. */
static bool
compute_row(ColumnScan *scan, void *arg)
{
	Computation *work = arg;
	ColumnChange change;
	ValueOutcome outcome = work->function(&scan->codec, scan->row, &change);

	if (ItemPointerGetBlockNumber(&scan->tid) != work->block)
	{
		work->block = ItemPointerGetBlockNumber(&scan->tid);
		progress_update(work->blocks_done++, work->outcomes[VALUE_CHANGED]);
	}
	work->outcomes[outcome]++;
	if (outcome == VALUE_CHANGED)
		keep_change(work->staged, &scan->tid, &change);
	return true;
}

List *
staged_compute(const List *members, const TargetColumn *target, CodecFunction function,
			   int64 *outcomes)
{
	Computation work = {.function = function, .outcomes = outcomes};
	List *staged = NIL;
	ListCell *cell;

	foreach(cell, members)
	{
		ColumnScan scan;

		work.staged = palloc0(sizeof(StagedRelation));
		work.staged->rel = lfirst(cell);
		work.block = InvalidBlockNumber;
		staged = lappend(staged, work.staged);
		column_scan_begin(&scan, work.staged->rel, target);
		column_scan_rows(&scan, GetActiveSnapshot(), compute_row, &work);
		column_scan_end(&scan);
	}
	return staged;
}

/* Reads a change; the row it is for becomes the one at work. */
static void
read_change(StagedRelation *self, RowUpdater *updater, TupleTableSlot *kept, ColumnChange *change)
{
	bool isnull;
	ItemPointer tid = (ItemPointer) DatumGetPointer(slot_getattr(kept, 1, &isnull));

	if (!table_tuple_fetch_row_version(self->rel, tid, GetActiveSnapshot(), updater->scan.row))
		elog(ERROR, "row (%u,%u) is gone under a lock that keeps it",
			 ItemPointerGetBlockNumber(tid), ItemPointerGetOffsetNumber(tid));
	change->count = self->ncolumns;
	for (int i = 0; i < self->ncolumns; i++)
	{
		change->attnums[i] = self->attnums[i];
		change->values[i] = slot_getattr(kept, i + 2, &change->nulls[i]);
	}
}

/* Writes the changes of one relation. */
static void
write_relation(StagedRelation *self, const TargetColumn *target)
{
	RowUpdater updater;
	TupleTableSlot *kept = MakeSingleTupleTableSlot(self->desc, &TTSOpsMinimalTuple);
	ColumnChange change;

	updater_begin(&updater, self->rel, target, false);
	while (tuplestore_gettupleslot(self->changes, true, false, kept))
	{
		CHECK_FOR_INTERRUPTS();
		read_change(self, &updater, kept, &change);
		updater_write_row(&updater, &change);
		ResetPerTupleExprContext(updater.scan.estate);
	}
	updater_end(&updater);
	ExecDropSingleTupleTableSlot(kept);
}

void
staged_write(const List *staged, const TargetColumn *target)
{
	ListCell *cell;

	foreach(cell, staged)
		if (((StagedRelation *) lfirst(cell))->changes)
			write_relation(lfirst(cell), target);
}

void
staged_end(const List *staged)
{
	ListCell *cell;

	foreach(cell, staged)
		if (((StagedRelation *) lfirst(cell))->changes)
			tuplestore_end(((StagedRelation *) lfirst(cell))->changes);
}
