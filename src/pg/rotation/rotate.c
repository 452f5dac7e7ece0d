/*
 * rotate.c
 *		dbcrypt_rotate and dbcrypt_rotate_all: every value of a column under the
 *		primary key, in one transaction.
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "commands/tablecmds.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
#include "utils/tuplestore.h"

#include "columns/opening.h"
#include "columns/registry.h"
#include "columns/target.h"
#include "rows/application_keys.h"
#include "rows/row_updater.h"
#include "support/compat.h"
#include "support/progress.h"
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

/*
 * Rotates one relation that is locked, as its owner. blocks_done counts the
 * blocks of the relations before it.
 */
static void
rotate_relation(Relation rel, const TargetColumn *target, bool dry_run, uint64 blocks_done,
				RotateCounts *counts)
{
	RowUpdater updater;
	TableScanDesc scan;
	BlockNumber block = InvalidBlockNumber;

	updater_begin(&updater, rel, target, dry_run);
	scan = compat_beginscan(rel, GetActiveSnapshot());
	while (table_scan_getnextslot(scan, ForwardScanDirection, updater.scan.row))
	{
		ColumnChange change;
		ValueOutcome outcome;

		CHECK_FOR_INTERRUPTS();
		updater.scan.tid = updater.scan.row->tts_tid;
		if (ItemPointerGetBlockNumber(&updater.scan.tid) != block)
		{
			block = ItemPointerGetBlockNumber(&updater.scan.tid);
			progress_update(blocks_done++, counts->rotated);
		}
		if (dry_run)
			outcome = codec_reencrypt(&updater.scan.codec, updater.scan.row, true, &change);
		else
			outcome = updater_reencrypt_row(&updater);
		counts->scanned += outcome != VALUE_GONE;
		counts->nulls += outcome == VALUE_NULL;
		counts->current += outcome == VALUE_CURRENT;
		counts->rotated += outcome == VALUE_CHANGED;
		ResetPerTupleExprContext(updater.scan.estate);
	}
	table_endscan(scan);
	updater_end(&updater);
}

/* Rotates a column of a table and its children, and registers it. */
static RotateCounts
rotate_column(TargetColumn *target, bool dry_run)
{
	RotateCounts counts = {0};
	List *members;
	ListCell *cell;
	uint64 blocks = 0;

	PreventCommandDuringRecovery("dbcrypt_rotate");
	if (!dry_run)
		PreventCommandIfReadOnly("dbcrypt_rotate");
	members = target_open(target, dry_run ? AccessShareLock : RowExclusiveLock, "rotate");

	foreach(cell, members)
		blocks += RelationGetNumberOfBlocks((Relation) lfirst(cell));
	progress_start(target->relid, target->attnum, blocks);
	blocks = 0;

	CommandCounterIncrement();
	PushActiveSnapshot(GetTransactionSnapshot());
	foreach(cell, members)
	{
		Relation rel = lfirst(cell);

		rotate_relation(rel, target, dry_run, blocks, &counts);
		blocks += RelationGetNumberOfBlocks(rel);
		relation_close(rel, NoLock);
	}
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

static void
counts_to_datums(const RotateCounts *counts, Datum *values)
{
	values[0] = Int64GetDatum(counts->scanned);
	values[1] = Int64GetDatum(counts->rotated);
	values[2] = Int64GetDatum(counts->current);
	values[3] = Int64GetDatum(counts->nulls);
}

/* dbcrypt_rotate("table" regclass, "column" name, aad text, dry_run boolean) */
Datum
dbcrypt_rotate(PG_FUNCTION_ARGS)
{
	TargetColumn target = {0};
	RotateCounts counts;
	TupleDesc desc;
	Datum values[NCOUNTS];
	bool nulls[NCOUNTS] = {false};

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1) || PG_ARGISNULL(3))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
						errmsg("table, column and dry_run must not be null")));
	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");

	target.relid = PG_GETARG_OID(0);
	target.name = pstrdup(NameStr(*PG_GETARG_NAME(1)));
	target.aad = PG_ARGISNULL(2) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(2));
	counts = rotate_column(&target, PG_GETARG_BOOL(3));
	if (!PG_GETARG_BOOL(3))
		application_keys_revoke_unused(list_make1(&target));
	counts_to_datums(&counts, values);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}

/* dbcrypt_rotate_all(dry_run boolean): a row for each registered column. */
Datum
dbcrypt_rotate_all(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	List *targets;
	ListCell *cell;

	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("dry_run must not be null")));
	InitMaterializedSRF(fcinfo, 0);
	targets = columns_registered();
	foreach(cell, targets)
	{
		TargetColumn *target = lfirst(cell);
		RotateCounts counts = rotate_column(target, PG_GETARG_BOOL(0));
		Datum values[2 + NCOUNTS];
		bool nulls[2 + NCOUNTS] = {false};

		values[0] = ObjectIdGetDatum(target->relid);
		values[1] = DirectFunctionCall1(namein, CStringGetDatum(target->name));
		counts_to_datums(&counts, values + 2);
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	if (!PG_GETARG_BOOL(0))
		application_keys_revoke_unused(targets);
	return (Datum) 0;
}
