/*
 * convert.c
 *		dbcrypt_convert: values of another scheme become native envelopes.
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"

#include "columns/copying_triggers.h"
#include "columns/empty_scan.h"
#include "columns/expression.h"
#include "columns/expression_check.h"
#include "columns/members.h"
#include "columns/opening.h"
#include "columns/options.h"
#include "columns/recorded_key.h"
#include "columns/registry.h"
#include "columns/target.h"
#include "rows/column_scan.h"
#include "rows/derivations.h"
#include "rows/kept_values.h"
#include "rows/row_updater.h"
#include "rows/staged_update.h"
#include "support/arguments.h"
#include "values/codec.h"
#include "values/codec_change.h"

PG_FUNCTION_INFO_V1(dbcrypt_convert);

/* The conversion of one relation. */
typedef struct Conversion
{
	RowUpdater updater;
	int64 *counts; /* scanned, converted, NULL */
} Conversion;

/* Converts one row. */
static bool
convert_row(ColumnScan *scan, void *arg)
{
	Conversion *self = arg;
	ValueOutcome outcome = updater_update_row(&self->updater, codec_convert);

	self->counts[0]++;
	self->counts[1] += outcome == VALUE_CHANGED;
	self->counts[2] += outcome == VALUE_NULL;
	return true;
}

/* Converts one relation that is locked, and adds to the counts. */
static void
convert_relation(Relation rel, const TargetColumn *target, int64 *counts)
{
	Conversion self = {.counts = counts};

	updater_begin(&self.updater, rel, target, false);
	column_scan_rows(&self.updater.scan, GetActiveSnapshot(), convert_row, &self);
	updater_end(&self.updater);
}

/*
 * Converts a column of a scheme without authentication: every value must open under the
 * recorded key before the first is written.
 */
static void
convert_recorded(const List *members, const TargetColumn *target, const char *keep, int64 *counts)
{
	int64 outcomes[STAGED_OUTCOMES] = {0};
	List *staged;

	recorded_key_refuse_part(target);
	derivations_announce(members, target, 1);
	staged = staged_compute(members, target, codec_convert, outcomes);
	if (keep)
		kept_values_save(target, keep, outcomes[VALUE_CHANGED]);
	staged_write(staged, target);
	staged_end(staged);
	for (int i = 0; i < STAGED_OUTCOMES; i++)
		counts[0] += outcomes[i];
	counts[1] = outcomes[VALUE_CHANGED];
	counts[2] = outcomes[VALUE_NULL];
}

/* Converts the column in its relations, and closes them. */
static void
convert_members(const List *members, const TargetColumn *target, const char *keep, int64 *counts)
{
	ListCell *cell;

	if (column_is_authenticated(target))
		foreach(cell, members)
			convert_relation(lfirst(cell), target, counts);
	else
		convert_recorded(members, target, keep, counts);
	foreach(cell, members)
		relation_close(lfirst(cell), NoLock);
}

/*
 * Checks the AAD that the envelopes are to have. Without one an AAD of type text stays
 * what it is; for a column whose values are bound to their rows in a way that native
 * envelopes have not, one must be named.
 */
static void
check_binding(Relation rel, const TargetColumn *target)
{
	TargetColumn native = {.relid = target->relid,
						   .attnum = target->attnum,
						   .name = target->name,
						   .aad = target->native_aad,
						   .runs_as = target->runs_as};
	const char *bound_by = NULL;

	if (target->native_aad)
		expressions_check(rel, &native);
	else if (target->options.attribute_expression)
		bound_by = "a key derived with an attribute expression";
	else if (target->aad &&
			 exprType((Node *) aad_parse(rel, get_attnum(RelationGetRelid(rel), target->name),
										 target->aad, false)) == BYTEAOID)
		bound_by = "an AAD of type bytea";
	if (bound_by)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("cannot convert column \"%s\" of table \"%s\" without an AAD",
							   target->name, RelationGetRelationName(rel)),
						errdetail("Its values are bound to their rows by %s, which native "
								  "envelopes have not.",
								  bound_by),
						errhint("Name an AAD expression of type text: dbcrypt_convert(..., aad => "
								"'...').")));
}

/* Registers the column as one of native envelopes, with its AAD. */
static void
register_converted(TargetColumn *target)
{
	SPI_connect();
	(void) column_unregister(target->relid, target->attnum);
	if (target->native_aad)
		target->aad = target->native_aad;
	target->scheme = NULL;
	target->options = (ColumnOptions){.where = target->options.where,
									  .json = target->options.json,
									  .ignore_triggers = target->options.ignore_triggers};
	column_register(target);
	SPI_finish();
}

/*
 * dbcrypt_convert("table" regclass, "column" name, aad text, keep text): locks out
 * writers, who would still write values of the old scheme.
 */
Datum
dbcrypt_convert(PG_FUNCTION_ARGS)
{
	static const char *const names[] = {"table", "column", NULL};
	TargetColumn target;
	char *keep = text_argument(fcinfo, 3);
	int64 counts[3] = {0};
	List *members;
	ListCell *cell;
	Datum values[3];

	arguments_refuse_null(fcinfo, names, lengthof(names));
	target = target_from_arguments(fcinfo);
	PreventCommandDuringRecovery("dbcrypt_convert()");
	PreventCommandIfReadOnly("dbcrypt_convert()");
	target.native_aad = text_argument(fcinfo, 2);
	column_check_owner_of_members(target.relid);
	members = target_open(&target, ShareRowExclusiveLock, "convert");
	column_check_owner_of_members(target.relid);
	if (column_has_envelopes(&target) || column_registered(target.relid, target.attnum) == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("column \"%s\" of table \"%s\" is not of another application's scheme",
						target.name, get_rel_name(target.relid)),
				 errhint("Only a column adopted with dbcrypt_adopt() can be converted.")));

	foreach(cell, members)
	{
		Relation rel = lfirst(cell);

		copying_trigger_check(rel, &target);
		check_binding(rel, &target);
		kept_values_check(
			&target, column_encoding(rel, get_attnum(RelationGetRelid(rel), target.name)), keep);
	}
	CommandCounterIncrement();
	PushActiveSnapshot(column_is_authenticated(&target) ? GetTransactionSnapshot()
														: GetLatestSnapshot());
	convert_members(members, &target, keep, counts);
	empty_scan_check(&target, counts[0]);
	PopActiveSnapshot();
	CommandCounterIncrement();

	register_converted(&target);
	for (int i = 0; i < 3; i++)
		values[i] = Int64GetDatum(counts[i]);
	return result_row(fcinfo, values, lengthof(values));
}
