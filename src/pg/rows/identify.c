/*
 * identify.c
 *		Which key each value of a relation's column is under, as cheaply as the
 *		column's scheme can tell.
 */
#include "postgres.h"

#include "utils/snapmgr.h"

#include "columns/options.h"
#include "columns/target.h"
#include "rows/column_scan.h"
#include "rows/identify.h"
#include "values/codec_inspect.h"

/* Where a scan is, on its way to the caller's visitor. */
typedef struct Identification
{
	ColumnScan scan;
	IdentifyVisitor visit;
	void *arg;
	bool more; /* false once the visitor has seen enough */
} Identification;

/* Passes a value of the row on with its place, as a ValueVisitor. */
static void
visit_value(void *arg, ValueState state, const char *key_id)
{
	Identification *self = arg;

	if (self->more)
		self->more = self->visit(self->arg, self->scan.rel, state, key_id, &self->scan.tid);
}

/* Visits the values of one row. */
static bool
visit_row(ColumnScan *scan, void *arg)
{
	Identification *self = arg;

	codec_identify(&scan->codec, scan->row, visit_value, self);
	return self->more;
}

void
identify_values(Relation rel, const TargetColumn *target, IdentifyVisitor visit, void *arg)
{
	TargetColumn bare = *target;
	Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
	Identification self = {.visit = visit, .arg = arg, .more = true};

	/* An envelope names its key: no AAD expression, working or not, is needed. */
	if (column_has_envelopes(&bare))
		bare.aad = NULL;
	PushActiveSnapshot(snapshot);
	column_scan_begin(&self.scan, rel, &bare);
	column_scan_rows(&self.scan, snapshot, visit_row, &self);
	column_scan_end(&self.scan);
	PopActiveSnapshot();
	UnregisterSnapshot(snapshot);
}
