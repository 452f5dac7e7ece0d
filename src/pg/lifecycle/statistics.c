/*
 * statistics.c
 *		What ANALYZE has sampled of a column.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/relation.h"
#include "access/sysattr.h"
#include "access/xact.h"
#include "catalog/heap.h"
#include "catalog/pg_statistic_ext.h"
#include "commands/defrem.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "columns/members.h"
#include "columns/target.h"
#include "lifecycle/column_use.h"
#include "lifecycle/statistics.h"

/* Whether an extended statistics object covers one of these columns. */
static bool
statistics_cover(Oid statistics, const Bitmapset *columns)
{
	HeapTuple tuple = SearchSysCache1(STATEXTOID, ObjectIdGetDatum(statistics));
	Form_pg_statistic_ext form;
	Datum expressions;
	bool isnull;
	bool covers = false;

	if (!HeapTupleIsValid(tuple))
		return false;
	form = (Form_pg_statistic_ext) GETSTRUCT(tuple);
	for (int i = 0; i < form->stxkeys.dim1; i++)
		covers |= columns_include(columns, form->stxkeys.values[i]);
	expressions = SysCacheGetAttr(STATEXTOID, tuple, Anum_pg_statistic_ext_stxexprs, &isnull);
	if (!isnull)
		covers |= expression_reads(stringToNode(TextDatumGetCString(expressions)), columns);
	ReleaseSysCache(tuple);
	return covers;
}

/* Removes the statistics of index expressions over these columns. */
static void
remove_index_statistics(Relation rel, const Bitmapset *columns)
{
	ListCell *cell;

	foreach(cell, RelationGetIndexList(rel))
	{
		Relation index = relation_open(lfirst_oid(cell), AccessShareLock);

		if (expression_reads((Node *) RelationGetIndexExpressions(index), columns))
			RemoveStatistics(lfirst_oid(cell), 0);
		relation_close(index, NoLock);
	}
}

/* Removes the data of extended statistics that cover one of these columns. */
static void
remove_extended_statistics(Relation rel, const Bitmapset *columns)
{
	ListCell *cell;

	foreach(cell, RelationGetStatExtList(rel))
		if (statistics_cover(lfirst_oid(cell), columns))
		{
			RemoveStatisticsDataById(lfirst_oid(cell), false);
			RemoveStatisticsDataById(lfirst_oid(cell), true);
		}
}

/* Removes all statistics of one relation that hold values of the column. */
static void
remove_relation_statistics(Oid relid, const char *column)
{
	Relation rel = relation_open(relid, AccessShareLock);
	AttrNumber attnum = get_attnum(relid, column);

	if (attnum > 0)
	{
		Bitmapset *columns = column_dependents(rel, attnum);
		int bit = -1;

		while ((bit = bms_next_member(columns, bit)) >= 0)
			RemoveStatistics(relid, bit + FirstLowInvalidHeapAttributeNumber);
		remove_index_statistics(rel, columns);
		remove_extended_statistics(rel, columns);
	}
	relation_close(rel, NoLock);
}

void
statistics_remove(const TargetColumn *target)
{
	List *relids = NIL;
	ListCell *cell;

	/* The tables above sampled the column's rows too. */
	foreach(cell, column_members(target->relid, NoLock))
		relids = list_concat_unique_oid(relids, column_ancestors(lfirst_oid(cell)));
	CommandCounterIncrement();
	foreach(cell, relids)
		remove_relation_statistics(lfirst_oid(cell), target->name);
}
