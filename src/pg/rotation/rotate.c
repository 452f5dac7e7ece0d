/*
 * rotate.c
 *		dbcrypt_rotate and dbcrypt_rotate_all: every value of a column under the
 *		primary key, in one transaction.
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/xact.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/tuplestore.h"

#include "columns/copying_triggers.h"
#include "columns/empty_scan.h"
#include "columns/opening.h"
#include "columns/recorded_key.h"
#include "columns/registry.h"
#include "columns/target.h"
#include "rotation/recorded.h"
#include "rows/application_keys.h"
#include "rows/column_scan.h"
#include "rows/kept_values.h"
#include "rows/row_updater.h"
#include "rows/staged_update.h"
#include "support/arguments.h"
#include "support/progress.h"
#include "support/subtransaction.h"
#include "values/codec.h"
#include "values/codec_change.h"

PG_FUNCTION_INFO_V1(dbcrypt_rotate);
PG_FUNCTION_INFO_V1(dbcrypt_rotate_all);

#define NCOUNTS 4

/* What a rotation did, in values. */
typedef struct RotateCounts
{
	int64 scanned;
	int64 rotated;
	int64 current;
	int64 nulls;
} RotateCounts;

/* The rotation of one relation. */
typedef struct RotateScan
{
	RowUpdater updater; /* in a dry run, only its scan */
	bool dry_run;
	BlockNumber block;	/* of the row before */
	uint64 blocks_done; /* of all relations */
	RotateCounts *counts;
} RotateScan;

/* Rotates one row, or says in a dry run whether it would be. */
static bool
rotate_row(ColumnScan *scan, void *arg)
{
	RotateScan *work = arg;
	RotateCounts *counts = work->counts;
	ColumnChange change;
	ValueOutcome outcome;

	if (ItemPointerGetBlockNumber(&scan->tid) != work->block)
	{
		work->block = ItemPointerGetBlockNumber(&scan->tid);
		progress_update(work->blocks_done++, counts->rotated);
	}
	if (work->dry_run)
		outcome = codec_reencrypt_verifying(&scan->codec, scan->row, &change);
	else
		outcome = updater_reencrypt_row(&work->updater);
	counts->scanned += outcome != VALUE_GONE;
	counts->nulls += outcome == VALUE_NULL;
	counts->current += outcome == VALUE_CURRENT;
	counts->rotated += outcome == VALUE_CHANGED;
	return true;
}

/*
 * Rotates one relation that is locked, as its owner. blocks_done counts the
 * blocks of the relations before it.
 */
static void
rotate_relation(Relation rel, const TargetColumn *target, bool dry_run, uint64 blocks_done,
				RotateCounts *counts)
{
	RotateScan work = {.dry_run = dry_run,
					   .block = InvalidBlockNumber,
					   .blocks_done = blocks_done,
					   .counts = counts};
	ColumnScan *scan = &work.updater.scan;

	if (dry_run)
		column_scan_begin(scan, rel, target);
	else
		updater_begin(&work.updater, rel, target, false);
	column_scan_rows(scan, GetActiveSnapshot(), rotate_row, &work);
	if (dry_run)
		column_scan_end(scan);
	else
		updater_end(&work.updater);
}

/* Locks and opens what is to be rotated, as its scheme demands; refuses what must not be. */
static List *
open_members(TargetColumn *target, bool dry_run, const char *keep)
{
	LOCKMODE lockmode = dry_run ? AccessShareLock : recorded_key_lock(target, RowExclusiveLock);
	List *members = target_open(target, lockmode, "rotate");
	ListCell *cell;

	if (!dry_run)
		recorded_key_check_lock(target, lockmode);
	foreach(cell, members)
	{
		Relation rel = lfirst(cell);

		copying_trigger_check(rel, target);
		if (!dry_run)
			kept_values_check(target,
							  column_encoding(rel, get_attnum(RelationGetRelid(rel), target->name)),
							  keep);
	}
	return members;
}

/* Rotates a column in its relations, value by value or as a whole. */
static void
rotate_members(const List *members, TargetColumn *target, bool dry_run, const char *keep,
			   RotateCounts *counts)
{
	int64 outcomes[STAGED_OUTCOMES] = {0};
	ListCell *cell;
	uint64 blocks = 0;

	if (column_is_authenticated(target))
	{
		foreach(cell, members)
		{
			rotate_relation(lfirst(cell), target, dry_run, blocks, counts);
			blocks += RelationGetNumberOfBlocks((Relation) lfirst(cell));
		}
		return;
	}
	rotate_recorded(members, target, dry_run, keep, outcomes);
	for (int i = 0; i < STAGED_OUTCOMES; i++)
		counts->scanned += outcomes[i];
	counts->rotated = outcomes[VALUE_CHANGED];
	counts->current = outcomes[VALUE_CURRENT];
	counts->nulls = outcomes[VALUE_NULL];
}

/* Rotates a column of a table and its children, and registers it. */
static RotateCounts
rotate_column(TargetColumn *target, bool dry_run, const char *keep)
{
	RotateCounts counts = {0};
	List *members;
	ListCell *cell;
	uint64 blocks = 0;

	PreventCommandDuringRecovery("dbcrypt_rotate");
	if (!dry_run)
		PreventCommandIfReadOnly("dbcrypt_rotate");
	members = open_members(target, dry_run, keep);
	foreach(cell, members)
		blocks += RelationGetNumberOfBlocks((Relation) lfirst(cell));
	progress_start(target->relid, target->attnum, blocks);

	CommandCounterIncrement();
	/* Where the column is one whole, no row that is committed may be left out. */
	PushActiveSnapshot(column_is_authenticated(target) ? GetTransactionSnapshot()
													   : GetLatestSnapshot());
	rotate_members(members, target, dry_run, keep, &counts);
	foreach(cell, members)
		relation_close(lfirst(cell), NoLock);
	empty_scan_check(target, counts.scanned);
	PopActiveSnapshot();
	CommandCounterIncrement();
	progress_end();

	if (!dry_run)
	{
		SPI_connect();
		column_register(target);
		SPI_finish();
	}
	return counts;
}

/* The counts as columns of a result. */
static void
counts_to_datums(const RotateCounts *counts, Datum *values)
{
	values[0] = Int64GetDatum(counts->scanned);
	values[1] = Int64GetDatum(counts->rotated);
	values[2] = Int64GetDatum(counts->current);
	values[3] = Int64GetDatum(counts->nulls);
}

/* dbcrypt_rotate("table" regclass, "column" name, aad text, dry_run boolean, keep text) */
Datum
dbcrypt_rotate(PG_FUNCTION_ARGS)
{
	static const char *const names[] = {"table", "column", NULL, "dry_run"};
	TargetColumn target;
	RotateCounts counts;
	Datum values[NCOUNTS];

	arguments_refuse_null(fcinfo, names, lengthof(names));
	target = target_from_arguments(fcinfo);
	target.aad = text_argument(fcinfo, 2);
	counts = rotate_column(&target, PG_GETARG_BOOL(3), text_argument(fcinfo, 4));
	if (!PG_GETARG_BOOL(3))
		application_keys_revoke_unused(list_make1(&target));
	counts_to_datums(&counts, values);
	PG_RETURN_DATUM(result_row(fcinfo, values, lengthof(values)));
}

/* Returns the row of one registered column; counts is NULL for one that was left out. */
static void
put_column(ReturnSetInfo *result, const TargetColumn *target, const RotateCounts *counts)
{
	Datum values[3 + NCOUNTS] = {0};
	bool nulls[3 + NCOUNTS] = {false};

	values[0] = ObjectIdGetDatum(target->relid);
	nulls[0] = !OidIsValid(target->relid);
	values[1] = name_datum(target->name);
	if (counts)
		counts_to_datums(counts, values + 2);
	else
		values[2 + NCOUNTS] = CStringGetTextDatum(target->problem);
	for (int i = 0; i < NCOUNTS; i++)
		nulls[2 + i] = counts == NULL;
	nulls[2 + NCOUNTS] = counts != NULL;
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/* Returns a row for each column that was left out, and says so loudly. */
static void
put_left_out(ReturnSetInfo *result, const List *left_out)
{
	StringInfoData lines;
	ListCell *cell;

	if (left_out == NIL)
		return;
	initStringInfo(&lines);
	foreach(cell, left_out)
	{
		const TargetColumn *target = lfirst(cell);

		put_column(result, target, NULL);
		appendStringInfo(&lines, "%sColumn \"%s\": %s", lines.len > 0 ? "\n" : "", target->name,
						 target->problem);
	}
	ereport(WARNING, (errmsg("not all registered columns were rotated"),
					  errdetail("%s", lines.data), errhint("Their old keys are still needed.")));
}

/* A column that shall be rotated, and how. */
typedef struct Attempt
{
	const TargetColumn *target;
	bool dry_run;
} Attempt;

/*
 * Checks all that rotate_column does before it reads a row, and keeps the locks, so that
 * no reason to refuse the column comes up later. For subtransaction_run.
 */
static void
try_column(void *arg)
{
	const Attempt *attempt = arg;
	TargetColumn target = *attempt->target;
	ListCell *cell;

	foreach(cell, open_members(&target, attempt->dry_run, NULL))
	{
		Relation rel = lfirst(cell);
		ColumnScan scan;

		column_scan_begin(&scan, rel, &target);
		column_scan_end(&scan);
		relation_close(rel, NoLock);
	}
}

/*
 * Rotates a column among others: one that dbcrypt refuses to work on is left out, with
 * the reason in its problem. False for such a one. A value that does not open, or a role
 * that may not do it, is an error all the same.
 */
static bool
rotate_if_possible(TargetColumn *target, bool dry_run, RotateCounts *counts)
{
	Attempt attempt = {.target = target, .dry_run = dry_run};
	ErrorData *error = subtransaction_run(try_column, &attempt);

	if (column_take_refusal(target, error))
		return false;
	*counts = rotate_column(target, dry_run, NULL);
	return true;
}

/*
 * dbcrypt_rotate_all(dry_run boolean): a row for each registered column. Those with
 * values that are not here, with an odd registration, or that dbcrypt refuses to work on,
 * come last, and say so.
 */
Datum
dbcrypt_rotate_all(PG_FUNCTION_ARGS)
{
	static const char *const names[] = {"dry_run"};
	ReturnSetInfo *result;
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext context = AllocSetContextCreate(caller, "dbcrypt column", ALLOCSET_DEFAULT_SIZES);
	List *rotated = NIL;
	List *left_out;
	ListCell *cell;

	arguments_refuse_null(fcinfo, names, lengthof(names));
	result = result_set(fcinfo, 3 + NCOUNTS);
	foreach(cell, columns_workable(&left_out))
	{
		TargetColumn *target = lfirst(cell);
		TargetColumn working = *target;
		RotateCounts counts;

		MemoryContextSwitchTo(context);
		if (rotate_if_possible(&working, PG_GETARG_BOOL(0), &counts))
			put_column(result, &working, &counts); /* renamed meanwhile, perhaps */
		else
			target->problem = MemoryContextStrdup(caller, working.problem);
		MemoryContextSwitchTo(caller);
		MemoryContextReset(context);
		if (target->problem)
			left_out = lappend(left_out, target);
		else
			rotated = lappend(rotated, target);
	}
	if (!PG_GETARG_BOOL(0))
		application_keys_revoke_unused(rotated);
	put_left_out(result, left_out);
	return (Datum) 0;
}
