/*
 * convert.c
 *		dbcrypt_convert: values of another scheme become native envelopes.
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "executor/executor.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"

#include "columns/opening.h"
#include "columns/options.h"
#include "columns/registry.h"
#include "columns/target.h"
#include "rows/row_updater.h"
#include "support/compat.h"
#include "values/codec.h"
#include "values/codec_change.h"

PG_FUNCTION_INFO_V1(dbcrypt_convert);

/* Converts one relation that is locked. */
static void
convert_relation(Relation rel, const TargetColumn *target, int64 *counts)
{
	RowUpdater updater;
	TableScanDesc scan;

	updater_begin(&updater, rel, target, false);
	scan = compat_beginscan(rel, GetActiveSnapshot());
	while (table_scan_getnextslot(scan, ForwardScanDirection, updater.scan.row))
	{
		ValueOutcome outcome;

		CHECK_FOR_INTERRUPTS();
		outcome = updater_update_row(&updater, codec_convert);
		counts[0]++;
		counts[1] += outcome == VALUE_CHANGED;
		counts[2] += outcome == VALUE_NULL;
		ResetPerTupleExprContext(updater.scan.estate);
	}
	table_endscan(scan);
	updater_end(&updater);
}

/*
 * dbcrypt_convert("table" regclass, "column" name): stops writers, who would
 * write the old scheme.
 */
Datum
dbcrypt_convert(PG_FUNCTION_ARGS)
{
	TargetColumn target = {.relid = PG_GETARG_OID(0)};
	int64 counts[3] = {0};
	List *members;
	ListCell *cell;
	TupleDesc desc;
	Datum values[3];
	bool nulls[3] = {false};

	PreventCommandDuringRecovery("dbcrypt_convert()");
	PreventCommandIfReadOnly("dbcrypt_convert()");
	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	target.name = pstrdup(NameStr(*PG_GETARG_NAME(1)));
	members = target_open(&target, ShareRowExclusiveLock, "convert");
	if (target.scheme == NULL || target.scheme == scheme_native() ||
		column_registered(target.relid, target.attnum) == NULL)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("column \"%s\" of table \"%s\" is not of another scheme",
							   target.name, get_rel_name(target.relid)),
						errhint("Only a column adopted with dbcrypt_adopt() can be converted.")));

	CommandCounterIncrement();
	PushActiveSnapshot(GetTransactionSnapshot());
	foreach(cell, members)
	{
		convert_relation(lfirst(cell), &target, counts);
		relation_close(lfirst(cell), NoLock);
	}
	PopActiveSnapshot();
	CommandCounterIncrement();

	SPI_connect();
	(void) column_unregister(target.relid, target.attnum);
	target.aad = NULL;
	target.scheme = NULL;
	target.options = (ColumnOptions){.where = target.options.where, .json = target.options.json};
	column_register(&target);
	SPI_finish();

	for (int i = 0; i < 3; i++)
		values[i] = Int64GetDatum(counts[i]);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}
