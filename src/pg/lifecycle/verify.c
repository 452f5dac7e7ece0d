/*
 * verify.c
 *		dbcrypt_verify and dbcrypt_verify_all: the proof that every value of a
 *		column can be opened. Writes nothing, so that it runs on a standby.
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/tableam.h"
#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
#include "utils/tuplestore.h"

#include "columns/opening.h"
#include "columns/registry.h"
#include "columns/target.h"
#include "lifecycle/verify.h"
#include "rows/row_updater.h"
#include "support/compat.h"
#include "values/codec_inspect.h"

PG_FUNCTION_INFO_V1(dbcrypt_verify);
PG_FUNCTION_INFO_V1(dbcrypt_verify_all);

/* Key ids that one column may name before the rest are counted without theirs. */
#define MAX_TALLIES 1000

#define NRESULTS 4

static const char *const state_names[] = {
	[STATE_PRIMARY] = "primary",		 [STATE_OLD] = "old",
	[STATE_REVOKED] = "revoked",		 [STATE_NOT_LOADED] = "not loaded",
	[STATE_PLAINTEXT] = "not encrypted", [STATE_FAILED] = "failed",
};

static Tally *
find_tally(List *tallies, ValueState state, const char *key_id)
{
	ListCell *cell;

	foreach(cell, tallies)
	{
		Tally *tally = lfirst(cell);

		if (tally->state == state && strcmp(tally->key_id, key_id) == 0)
			return tally;
	}
	return NULL;
}

void
tally_value(List **tallies, ValueState state, const char *key_id, Relation rel, ItemPointer tid)
{
	Tally *tally = find_tally(*tallies, state, key_id);

	if (tally == NULL && list_length(*tallies) >= MAX_TALLIES)
		tally = find_tally(*tallies, state, key_id = "");
	if (tally == NULL)
	{
		tally = palloc0(sizeof(Tally));
		tally->state = state;
		strlcpy(tally->key_id, key_id, sizeof(tally->key_id));
		*tallies = lappend(*tallies, tally);
	}
	tally->values++;
	if (state != STATE_PRIMARY && state != STATE_OLD &&
		tally->nexamples < lengthof(tally->examples))
		tally->examples[tally->nexamples++] =
			psprintf("%s (%u,%u)",
					 quote_qualified_identifier(get_namespace_name(RelationGetNamespace(rel)),
												RelationGetRelationName(rel)),
					 ItemPointerGetBlockNumber(tid), ItemPointerGetOffsetNumber(tid));
}

static int
compare_tallies(const ListCell *a, const ListCell *b)
{
	const Tally *left = lfirst(a);
	const Tally *right = lfirst(b);

	if (left->state != right->state)
		return left->state < right->state ? -1 : 1;
	return strcmp(left->key_id, right->key_id);
}

void
tally_sort(List *tallies)
{
	list_sort(tallies, compare_tallies);
}

/* The row whose values are being counted. */
typedef struct CountedRow
{
	List **tallies;
	Relation rel;
	ItemPointer tid;
} CountedRow;

static void
count_value(void *arg, ValueState state, const char *key_id)
{
	CountedRow *row = arg;

	tally_value(row->tallies, state, key_id, row->rel, row->tid);
}

/* Opens every value of one relation that is locked. */
static void
verify_relation(Relation rel, const TargetColumn *target, List **tallies)
{
	RowUpdater updater;
	CountedRow row = {tallies, rel, &updater.scan.tid};
	TableScanDesc scan;

	updater_begin(&updater, rel, target, true);
	scan = compat_beginscan(rel, GetActiveSnapshot());
	while (table_scan_getnextslot(scan, ForwardScanDirection, updater.scan.row))
	{
		CHECK_FOR_INTERRUPTS();
		updater.scan.tid = updater.scan.row->tts_tid;
		codec_examine(&updater.scan.codec, updater.scan.row, count_value, &row);
		ResetPerTupleExprContext(updater.scan.estate);
	}
	table_endscan(scan);
	updater_end(&updater);
}

/* Opens every value of a column, children included; Tally in the order of states. */
static List *
verify_column(TargetColumn *target)
{
	List *members = target_open(target, AccessShareLock, NULL);
	List *tallies = NIL;
	ListCell *cell;

	/* Whoever rewrote the table before the lock was had is in no older snapshot. */
	PushActiveSnapshot(GetLatestSnapshot());
	foreach(cell, members)
	{
		Relation rel = lfirst(cell);

		if (RecoveryInProgress() && !RelationIsPermanent(rel))
			ereport(NOTICE, (errmsg("table \"%s\" is unlogged and has no rows on a standby",
									RelationGetRelationName(rel))));
		else
			verify_relation(rel, target, &tallies);
		relation_close(rel, NoLock);
	}
	PopActiveSnapshot();
	tally_sort(tallies);
	return tallies;
}

/* Puts out what was found in a column, after nleading values set by the caller. */
static void
put_tallies(ReturnSetInfo *result, List *tallies, Datum *values, bool *nulls, int nleading)
{
	ListCell *cell;

	foreach(cell, tallies)
	{
		Tally *tally = lfirst(cell);
		Datum examples[lengthof(tally->examples)];

		for (int i = 0; i < tally->nexamples; i++)
			examples[i] = CStringGetTextDatum(tally->examples[i]);
		values[nleading] = CStringGetTextDatum(tally->key_id);
		nulls[nleading] = tally->key_id[0] == '\0';
		values[nleading + 1] = CStringGetTextDatum(state_names[tally->state]);
		values[nleading + 2] = Int64GetDatum(tally->values);
		values[nleading + 3] = PointerGetDatum(
			construct_array(examples, tally->nexamples, TEXTOID, -1, false, TYPALIGN_INT));
		nulls[nleading + 3] = tally->nexamples == 0;
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
}

/* dbcrypt_verify("table" regclass, "column" name): a row per key and state. */
Datum
dbcrypt_verify(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	TargetColumn target = {0};
	Datum values[NRESULTS];
	bool nulls[NRESULTS] = {false};

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
						errmsg("table and column must not be null")));
	target.relid = PG_GETARG_OID(0);
	target.name = pstrdup(NameStr(*PG_GETARG_NAME(1)));
	InitMaterializedSRF(fcinfo, 0);
	put_tallies(result, verify_column(&target), values, nulls, 0);
	return (Datum) 0;
}

/* dbcrypt_verify_all(): the same for each registered column. */
Datum
dbcrypt_verify_all(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	ListCell *cell;

	InitMaterializedSRF(fcinfo, 0);
	foreach(cell, columns_registered())
	{
		TargetColumn *target = lfirst(cell);
		Datum values[2 + NRESULTS];
		bool nulls[2 + NRESULTS] = {false};

		values[0] = ObjectIdGetDatum(target->relid);
		values[1] = DirectFunctionCall1(namein, CStringGetDatum(target->name));
		put_tallies(result, verify_column(target), values, nulls, 2);
	}
	return (Datum) 0;
}
