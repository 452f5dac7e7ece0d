/*
 * expression_check.c
 *		What is checked of a column's expressions before they are used for the first time.
 */
#include "postgres.h"

#include "access/tableam.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"

#include "columns/expression.h"
#include "columns/expression_check.h"
#include "columns/expression_stability.h"
#include "columns/expression_trust.h"
#include "columns/options.h"
#include "columns/target.h"
#include "support/compat.h"
#include "support/run_as.h"

/* As many rows of each table show whether a function depends on settings. */
#define SAMPLE_ROWS 100

/* Compares the expression's values for some rows under opposed settings. */
static void
compare_rows(Relation rel, RowExpression *expression, const char *what, EState *estate)
{
	TupleTableSlot *slot;
	TableScanDesc scan;
	Snapshot snapshot;

	if (!expression->calls_user || rel->rd_rel->relkind != RELKIND_RELATION ||
		RELATION_IS_OTHER_TEMP(rel))
		return;
	snapshot = RegisterSnapshot(GetLatestSnapshot());
	slot = table_slot_create(rel, NULL);
	scan = compat_beginscan(rel, snapshot);
	for (int i = 0; i < SAMPLE_ROWS && table_scan_getnextslot(scan, ForwardScanDirection, slot);
		 i++)
	{
		CHECK_FOR_INTERRUPTS();
		expression_compare(expression, GetPerTupleExprContext(estate), slot, what);
		ResetPerTupleExprContext(estate);
	}
	table_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	UnregisterSnapshot(snapshot);
}

/* Checks one prepared expression. */
static void
check_prepared(Relation rel, const TargetColumn *target, RowExpression *expression,
			   const char *what, EState *estate)
{
	expression_refuse_foreign(target, expression->parsed, what);
	if (RelationGetRelid(rel) == target->relid)
		expression_advise(expression->parsed, what);
	compare_rows(rel, expression, what, estate);
}

/* Checks an attribute or a where; NULL for none. */
static void
check_option(Relation rel, const TargetColumn *target, const char *expression, const char *what,
			 Oid type, EState *estate)
{
	AttrNumber attnum = get_attnum(RelationGetRelid(rel), target->name);

	if (expression)
		check_prepared(rel, target, expression_prepare(rel, attnum, expression, what, type, estate),
					   what, estate);
}

void
expressions_check(Relation rel, const TargetColumn *target)
{
	const ColumnOptions *options = &target->options;
	EState *estate;
	RunAsContext saved;

	if (target->aad == NULL && options->attribute_expression == NULL && options->where == NULL)
		return;
	expressions_refuse_foreign(RelationGetRelid(rel), target);
	estate = CreateExecutorState();
	run_as_owner(column_runs_as(target), &saved);
	if (target->aad)
		check_prepared(rel, target,
					   aad_prepare(aad_parse(rel, get_attnum(RelationGetRelid(rel), target->name),
											 target->aad, column_has_envelopes(target)),
								   estate),
					   "AAD", estate);
	check_option(rel, target, options->attribute_expression, "attribute", TEXTOID, estate);
	check_option(rel, target, options->where, "where", BOOLOID, estate);
	run_as_restore(&saved);
	FreeExecutorState(estate);
}
