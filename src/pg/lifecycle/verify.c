/*
 * verify.c
 *		dbcrypt_verify and dbcrypt_verify_all: the proof that every value of a
 *		column can be decrypted. Writes nothing, so that it runs on a standby.
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/tuplestore.h"

#include "columns/empty_scan.h"
#include "columns/opening.h"
#include "columns/target.h"
#include "lifecycle/tally.h"
#include "rows/column_scan.h"
#include "support/arguments.h"
#include "support/subtransaction.h"
#include "values/codec_inspect.h"

PG_FUNCTION_INFO_V1(dbcrypt_verify);
PG_FUNCTION_INFO_V1(dbcrypt_verify_all);

/* Columns that tell of one tally. */
#define NRESULTS 4

static const char *const state_names[] = {
	[STATE_PRIMARY] = "primary",		 [STATE_OLD] = "old",
	[STATE_REVOKED] = "revoked",		 [STATE_NOT_LOADED] = "not loaded",
	[STATE_PLAINTEXT] = "not encrypted", [STATE_FAILED] = "failed",
};

/* The scan of one relation, and where its values are counted. */
typedef struct Verification
{
	ColumnScan scan;
	List **tallies;
	int64 rows;
} Verification;

/* Counts a value, as a ValueVisitor. */
static void
count_value(void *arg, ValueState state, const char *key_id)
{
	Verification *self = arg;

	tally_value(self->tallies, state, key_id, self->scan.rel, &self->scan.tid);
}

/* Decrypts the values of one row and counts them. */
static bool
verify_row(ColumnScan *scan, void *arg)
{
	((Verification *) arg)->rows++;
	codec_examine(&scan->codec, scan->row, count_value, arg);
	return true;
}

/* Decrypts every value of one relation that is locked; returns the number of its rows. */
static int64
verify_relation(Relation rel, const TargetColumn *target, List **tallies)
{
	Verification self = {.tallies = tallies};

	column_scan_begin(&self.scan, rel, target);
	column_scan_rows(&self.scan, GetActiveSnapshot(), verify_row, &self);
	column_scan_end(&self.scan);
	return self.rows;
}

/* Decrypts every value of a column, children included. Returns Tally in the order of states. */
static List *
verify_column(TargetColumn *target)
{
	List *members = target_open(target, AccessShareLock, NULL);
	List *tallies = NIL;
	ListCell *cell;
	int64 rows = 0;
	bool all_read = true;

	/*
	 * A rewrite may have committed while we waited for the lock: an older snapshot
	 * would see none of its rows.
	 */
	PushActiveSnapshot(GetLatestSnapshot());
	foreach(cell, members)
	{
		Relation rel = lfirst(cell);

		if (RecoveryInProgress() && !RelationIsPermanent(rel))
		{
			ereport(NOTICE, (errmsg("table \"%s\" is unlogged and has no rows on a standby",
									RelationGetRelationName(rel))));
			all_read = false;
		}
		else
			rows += verify_relation(rel, target, &tallies);
		relation_close(rel, NoLock);
	}
	if (all_read)
		empty_scan_check(target, rows);
	PopActiveSnapshot();
	tally_sort(tallies);
	return tallies;
}

/* A state as a row shows it: without authentication, that a value opens is no proof. */
static const char *
state_name(const TargetColumn *target, ValueState state)
{
	bool opened = state == STATE_PRIMARY || state == STATE_OLD;

	return opened && !column_is_authenticated(target)
			   ? psprintf("%s, unauthenticated", state_names[state])
			   : state_names[state];
}

/* Returns a row for each tally, after nleading columns that the caller has set. */
static void
put_tallies(ReturnSetInfo *result, const TargetColumn *target, List *tallies, Datum *values,
			bool *nulls, int nleading)
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
		values[nleading + 1] = CStringGetTextDatum(state_name(target, tally->state));
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
	static const char *const names[] = {"table", "column"};
	ReturnSetInfo *result;
	TargetColumn target;
	List *tallies;
	Datum values[NRESULTS];
	bool nulls[NRESULTS] = {false};

	arguments_refuse_null(fcinfo, names, lengthof(names));
	target = target_from_arguments(fcinfo);
	result = result_set(fcinfo, NRESULTS);
	tallies = verify_column(&target);
	put_tallies(result, &target, tallies, values, nulls, 0);
	return (Datum) 0;
}

/* Returns a row for each column that could not be read, and says so loudly. */
static void
put_left_out(ReturnSetInfo *result, const List *left_out)
{
	ListCell *cell;

	if (left_out == NIL)
		return;
	foreach(cell, left_out)
	{
		const TargetColumn *target = lfirst(cell);
		Datum values[3 + NRESULTS] = {0};
		bool nulls[3 + NRESULTS];

		memset(nulls, true, sizeof(nulls));
		values[0] = ObjectIdGetDatum(target->relid);
		nulls[0] = !OidIsValid(target->relid);
		values[1] = name_datum(target->name);
		values[3] = CStringGetTextDatum("not readable");
		values[2 + NRESULTS] = CStringGetTextDatum(target->problem);
		nulls[1] = nulls[3] = nulls[2 + NRESULTS] = false;
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	ereport(WARNING,
			(errmsg("%d of the registered columns could not be read", list_length(left_out)),
			 errdetail("The rows of state \"not readable\" name them.")));
}

/* A column among others, and what came of it. */
typedef struct Attempt
{
	TargetColumn *target;
	List *tallies;
} Attempt;

/* Verifies it, for subtransaction_undo. */
static void
try_column(void *arg)
{
	Attempt *attempt = arg;

	attempt->tallies = verify_column(attempt->target);
}

/*
 * Verifies a column among others. False for one that dbcrypt refuses to work on, with the
 * reason in its problem.
 */
static bool
verify_if_possible(TargetColumn *target, List **tallies)
{
	Attempt attempt = {.target = target};
	ErrorData *error = subtransaction_undo(try_column, &attempt);

	*tallies = attempt.tallies;
	return !column_take_refusal(target, error);
}

/*
 * dbcrypt_verify_all(): the same for each registered column. Those with values that are
 * not here, with an odd registration, or that dbcrypt refuses to work on, come last, and
 * say so.
 */
Datum
dbcrypt_verify_all(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = result_set(fcinfo, 3 + NRESULTS);
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext context = AllocSetContextCreate(caller, "dbcrypt column", ALLOCSET_DEFAULT_SIZES);
	List *left_out;
	ListCell *cell;

	foreach(cell, columns_workable(&left_out))
	{
		TargetColumn *target = lfirst(cell);
		TargetColumn working = *target;
		Datum values[3 + NRESULTS] = {0};
		bool nulls[3 + NRESULTS] = {false};
		List *tallies;

		values[0] = ObjectIdGetDatum(target->relid);
		values[1] = name_datum(target->name);
		nulls[2 + NRESULTS] = true;
		MemoryContextSwitchTo(context);
		if (verify_if_possible(&working, &tallies))
			put_tallies(result, &working, tallies, values, nulls, 2);
		else
			target->problem = MemoryContextStrdup(caller, working.problem);
		MemoryContextSwitchTo(caller);
		MemoryContextReset(context);
		if (target->problem)
			left_out = lappend(left_out, target);
	}
	put_left_out(result, left_out);
	return (Datum) 0;
}
