/*
 * census_rows.c
 *		What a running census knows and has found.
 */
#include "postgres.h"

#include "storage/lockdefs.h"
#include "utils/memutils.h"

#include "columns/members.h"
#include "columns/registry.h"
#include "columns/target.h"
#include "health/census_result.h"
#include "health/census_rows.h"
#include "support/string_list.h"

void
census_list_registered(Census *census)
{
	ListCell *cell;

	foreach(cell, columns_registered())
	{
		const TargetColumn *target = lfirst(cell);
		ListCell *member;

		/* Which column the row means is not known; dbcrypt_check() names it. */
		if (target->problem)
			continue;
		foreach(member, column_members(target->relid, NoLock))
		{
			CensusColumn *column = palloc(sizeof(CensusColumn));

			column->relid = lfirst_oid(member);
			column->target = target;
			census->registered = lappend(census->registered, column);
		}
	}
}

List *
census_registered_relations(const Census *census)
{
	List *relids = NIL;
	ListCell *cell;

	foreach(cell, census->registered)
		relids = list_append_unique_oid(relids, ((CensusColumn *) lfirst(cell))->relid);
	return relids;
}

const CensusColumn *
census_registered_column(const Census *census, Oid relid, const char *name)
{
	ListCell *cell;

	foreach(cell, census->registered)
	{
		const CensusColumn *column = lfirst(cell);

		if (column->relid == relid && (name == NULL || strcmp(column->target->name, name) == 0))
			return column;
	}
	return NULL;
}

bool
census_wants_key(const Census *census, const char *key_id)
{
	const List *wanted = census->request->key_ids;

	return wanted == NIL || string_list_has(wanted, key_id);
}

CensusRow *
census_row(CensusRelation *relation, AttrNumber attnum, const char *column, const char *key_id,
		   CensusState state)
{
	Census *census = relation->census;
	MemoryContext caller = MemoryContextSwitchTo(census->context);
	CensusRow *row;

	/* Those of the relation at work are the last ones. */
	for (int i = list_length(census->rows) - 1; i >= 0; i--)
	{
		row = list_nth(census->rows, i);
		if (row->relid != relation->relid)
			break;
		if (row->attnum == attnum && row->state == state && strcmp(row->key_id, key_id) == 0)
		{
			MemoryContextSwitchTo(caller);
			return row;
		}
	}
	row = palloc0(sizeof(CensusRow));
	row->relid = relation->relid;
	row->attnum = attnum;
	row->table = pstrdup(relation->name);
	row->column = column ? pstrdup(column) : NULL;
	strlcpy(row->key_id, key_id, sizeof(row->key_id));
	row->state = state;
	row->registered = census_registered_column(census, relation->relid, column) != NULL;
	census->rows = lappend(census->rows, row);
	MemoryContextSwitchTo(caller);
	return row;
}

void
census_add_example(CensusRelation *relation, CensusRow *row, const char *example)
{
	if (row->nexamples < CENSUS_EXAMPLES &&
		(row->nexamples == 0 || strcmp(row->examples[row->nexamples - 1], example) != 0))
		row->examples[row->nexamples++] = MemoryContextStrdup(relation->census->context, example);
}

void
census_add_example_tid(CensusRelation *relation, CensusRow *row, const ItemPointerData *tid)
{
	char example[32];

	snprintf(example, sizeof(example), "(%u,%u)", ItemPointerGetBlockNumberNoCheck(tid),
			 ItemPointerGetOffsetNumberNoCheck(tid));
	census_add_example(relation, row, example);
}

void
census_set_detail(CensusRelation *relation, CensusRow *row, const char *detail)
{
	row->detail = MemoryContextStrdup(relation->census->context, detail);
}

void
census_add_unreadable(CensusRelation *relation, const char *why)
{
	const TargetColumn *target = relation->column ? relation->column->target : NULL;
	CensusRow *row = census_row(relation, target ? target->attnum : InvalidAttrNumber,
								target ? target->name : NULL, "", CENSUS_NOT_READABLE);

	census_set_detail(relation, row, psprintf("%s: %s", relation->name, why));
}

/* Order of two rows, as a list_sort comparator. */
static int
compare_rows(const ListCell *left, const ListCell *right)
{
	const CensusRow *a = lfirst(left);
	const CensusRow *b = lfirst(right);
	int order = strcmp(a->table, b->table);

	if (order == 0)
		order = a->attnum - b->attnum;
	if (order == 0)
		order = (int) a->state - (int) b->state;
	return order != 0 ? order : strcmp(a->key_id, b->key_id);
}

void
census_sort(Census *census)
{
	list_sort(census->rows, compare_rows);
}
