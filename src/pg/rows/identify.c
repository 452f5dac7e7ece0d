/*
 * identify.c
 *		Which key each value of a relation's column is under, as cheaply as the
 *		column's scheme can tell.
 */
#include "postgres.h"

#include "executor/executor.h"

#include "access/tableam.h"
#include "miscadmin.h"
#include "utils/snapmgr.h"

#include "columns/options.h"
#include "columns/target.h"
#include "rows/identify.h"
#include "rows/row_updater.h"
#include "support/compat.h"
#include "values/codec_inspect.h"

/* The values of one row, on their way to the caller's visitor. */
typedef struct RowVisit
{
	Relation rel;
	ItemPointer tid;
	IdentifyVisitor visit;
	void *arg;
	bool more;
} RowVisit;

static void
visit_value(void *arg, ValueState state, const char *key_id)
{
	RowVisit *row = arg;

	if (row->more)
		row->more = row->visit(row->arg, row->rel, state, key_id, row->tid);
}

void
identify_values(Relation rel, const TargetColumn *target, IdentifyVisitor visit, void *arg)
{
	TargetColumn bare = *target;
	Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
	RowUpdater updater;
	TableScanDesc scan;
	RowVisit row = {.rel = rel, .tid = &updater.scan.tid, .visit = visit, .arg = arg, .more = true};

	/* An envelope names its key: no AAD expression, working or not, is needed. */
	if (bare.scheme == NULL || bare.scheme == scheme_native())
		bare.aad = NULL;
	PushActiveSnapshot(snapshot);
	updater_begin(&updater, rel, &bare, true);
	scan = compat_beginscan(rel, snapshot);
	while (row.more && table_scan_getnextslot(scan, ForwardScanDirection, updater.scan.row))
	{
		CHECK_FOR_INTERRUPTS();
		updater.scan.tid = updater.scan.row->tts_tid;
		codec_identify(&updater.scan.codec, updater.scan.row, visit_value, &row);
		ResetPerTupleExprContext(updater.scan.estate);
	}
	table_endscan(scan);
	updater_end(&updater);
	PopActiveSnapshot();
	UnregisterSnapshot(snapshot);
}
