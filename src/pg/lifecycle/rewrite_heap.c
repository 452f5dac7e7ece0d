/*
 * rewrite_heap.c
 *		Writes one relation anew with other values of a column, as ALTER TABLE
 *		does, so that the old values go with the old files.
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/multixact.h"
#include "access/relation.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "storage/predicate.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"

#include "columns/target.h"
#include "lifecycle/rewrite_heap.h"
#include "rows/application_keys.h"
#include "rows/column_scan.h"
#include "rows/row_updater.h"
#include "support/compat.h"
#include "support/errors.h"
#include "support/relation_name.h"
#include "values/codec.h"
#include "values/codec_change.h"

/* One pass over the rows of a relation. */
typedef struct RewritePass
{
	RewriteKind kind;
	RewriteCounts *counts;
	RowUpdater updater;
	bool only_look;	   /* end at the first value that changes, and build no row … */
	bool found_change; /* … and whether there was one */
	Relation new_heap; /* to write rows to; NULL for none */
	BulkInsertState bulk;
	CommandId command;
} RewritePass;

/* Computes the new value of the row at work. */
static ValueOutcome
transform(RewriteKind kind, ColumnScan *scan, ColumnChange *change)
{
	change->count = 0;
	switch (kind)
	{
		case REWRITE_ENCRYPT:
			return codec_encrypt(&scan->codec, scan->row, change);
		case REWRITE_DELETE:
			return codec_erase(&scan->codec, scan->row, change);
		case REWRITE_DECRYPT:
			return codec_decrypt(&scan->codec, scan->row, change);
	}
	pg_unreachable();
}

/* Computes one row, and writes it to the new heap if there is one. */
static bool
process_row(ColumnScan *scan, void *arg)
{
	RewritePass *pass = arg;
	RewriteCounts *counts = pass->counts;
	MemoryContext context = CurrentMemoryContext;
	ColumnChange change;
	ValueOutcome outcome = transform(pass->kind, scan, &change);

	counts->scanned++;
	counts->nulls += outcome == VALUE_NULL;
	counts->kept += outcome == VALUE_CURRENT;
	counts->changed += outcome == VALUE_CHANGED;
	if (pass->only_look)
	{
		pass->found_change = outcome == VALUE_CHANGED;
		return !pass->found_change;
	}
	scan->writing = true;
	PG_TRY();
	{
		updater_build_row(&pass->updater, &change);
		if (pass->new_heap)
			table_tuple_insert(pass->new_heap, pass->updater.updated, pass->command,
							   TABLE_INSERT_SKIP_FSM, pass->bulk);
	}
	PG_CATCH();
	{
		column_scan_rethrow(scan, context, pass->updater.constraints);
	}
	PG_END_TRY();
	scan->writing = false;
	return true;
}

/* Goes over every row that is committed now. */
static void
process_rows(RewritePass *pass, Relation rel, const TargetColumn *target)
{
	Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());

	PushActiveSnapshot(snapshot);
	updater_begin(&pass->updater, rel, target, true);
	column_scan_rows(&pass->updater.scan, snapshot, process_row, pass);
	updater_end(&pass->updater);
	PopActiveSnapshot();
	UnregisterSnapshot(snapshot);
}

void
rewrite_dry_run(RewriteKind kind, Relation rel, const TargetColumn *target, RewriteCounts *counts)
{
	RewritePass pass = {.kind = kind, .counts = counts};

	process_rows(&pass, rel, target);
}

bool
rewrite_is_needed(RewriteKind kind, Relation rel, const TargetColumn *target, RewriteCounts *counts)
{
	RewritePass pass = {.kind = kind, .counts = counts, .only_look = true};

	process_rows(&pass, rel, target);
	return pass.found_change;
}

/* Writes every row to a new heap. */
static void
fill_heap(RewriteKind kind, Relation rel, const TargetColumn *target, Relation new_heap,
		  RewriteCounts *counts)
{
	RewritePass pass = {.kind = kind,
						.counts = counts,
						.new_heap = new_heap,
						.bulk = GetBulkInsertState(),
						.command = GetCurrentCommandId(true)};

	process_rows(&pass, rel, target);
	FreeBulkInsertState(pass.bulk);
	table_finish_bulk_insert(new_heap, TABLE_INSERT_SKIP_FSM);
}

/* Error context: other messages about an index do not log theirs. */
static void
index_error_context(void *arg)
{
	errhidecontext(true);
}

/*
 * Puts the new heap in the place of the old one, and rebuilds the indexes, whose errors
 * must not show values.
 */
static void
swap_heaps(Oid relid, Oid new_relid, char persistence, const List *constraints)
{
	char *place = psprintf("Table %s", relation_name(relid));
	ErrorContextCallback context = {.callback = index_error_context,
									.previous = error_context_stack};
	MemoryContext caller = CurrentMemoryContext;
	int nestlevel = NewGUCNestLevel();

	/* A parallel worker would log its error itself, with the DETAIL. */
	(void) set_config_option("max_parallel_maintenance_workers", "0", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	PG_TRY();
	{
		error_context_stack = &context;
		compat_finish_heap_swap(relid, new_relid, RecentXmin, ReadNextMultiXactId(), persistence);
		error_context_stack = context.previous;
	}
	PG_CATCH();
	{
		rethrow_without_values(caller, place, constraints);
	}
	PG_END_TRY();
	AtEOXact_GUC(false, nestlevel);
}

void
rewrite_relation(RewriteKind kind, Relation rel, const TargetColumn *target, RewriteCounts *counts)
{
	Oid relid = RelationGetRelid(rel);
	char persistence = rel->rd_rel->relpersistence;
	List *constraints = constraint_names(rel);
	Oid new_relid;
	Relation new_heap;

	new_relid = make_new_heap(relid, rel->rd_rel->reltablespace, rel->rd_rel->relam, persistence,
							  AccessExclusiveLock);
	new_heap = table_open(new_relid, AccessExclusiveLock);
	TransferPredicateLocksToHeapRelation(rel);
	if (kind == REWRITE_ENCRYPT && target->options.companion)
		application_keys_hold(rel, get_attnum(relid, target->options.companion), target->scheme,
							  GetUserId());
	fill_heap(kind, rel, target, new_heap, counts);
	table_close(new_heap, NoLock);
	relation_close(rel, NoLock);
	swap_heaps(relid, new_relid, persistence, constraints);
}
