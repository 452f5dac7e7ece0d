/*
 * tally.c
 *		Counts of the values of a column by state and key.
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "lifecycle/tally.h"
#include "support/relation_name.h"
#include "values/codec_inspect.h"

/* Keys that the values of one column may name before the rest are counted together. */
#define MAX_TALLIES 1000

/* The tally of a state and key, NULL if there is none yet. */
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
			psprintf("%s (%u,%u)", relation_name(RelationGetRelid(rel)),
					 ItemPointerGetBlockNumber(tid), ItemPointerGetOffsetNumber(tid));
}

/* The order of tallies, for list_sort. */
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
