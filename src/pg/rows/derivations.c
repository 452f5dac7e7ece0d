/*
 * derivations.c
 *		What it costs to derive a key for each value.
 */
#include "postgres.h"

#include "utils/lsyscache.h"

#include "core/api/scheme.h"
#include "rows/derivations.h"
#include "rows/identify.h"

/* Counts a value, as an IdentifyVisitor. */
static bool
count_value(void *arg, Relation rel, ValueState state, const char *key_id, ItemPointer tid)
{
	(*(int64 *) arg)++;
	return true;
}

void
derivations_announce(const List *members, const TargetColumn *target, int derivations)
{
	unsigned cost = dbcrypt_scheme_traits_of(target->scheme)->derivation;
	int64 values = 0;
	ListCell *cell;

	if (cost == 0)
		return;
	foreach(cell, members)
		identify_values(lfirst(cell), target, count_value, &values);
	if (values > 0)
		ereport(
			NOTICE,
			(errmsg("column \"%s\" of table \"%s\" takes about %lld s of processor time",
					target->name, get_rel_name(target->relid),
					(long long) (values * derivations * cost / 1000000 + 1)),
			 errdetail_plural("%lld value, for which keys are derived slowly, as its scheme "
							  "demands.",
							  "%lld values, for each of which keys are derived slowly, as their "
							  "scheme demands.",
							  (unsigned long) values, (long long) values)));
}
