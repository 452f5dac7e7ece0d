/*
 * inspect.h
 *		The check that ends a pass of a rotation in place.
 */
#ifndef DBCRYPT_IN_PLACE_INSPECT_H
#define DBCRYPT_IN_PLACE_INSPECT_H

#include "postgres.h"

#include "utils/rel.h"

#include "columns/target.h"
#include "rotation/method.h"
#include "rotation/options.h"

/*
 * Looks at every stored version of the rows of a relation and returns how many
 * need another pass. Dead ones on a page that stays pinned are counted as left.
 *
 * The snapshot of the pass, held to its end, makes this complete: a row that a
 * concurrent update moves to a page already visited was copied from a version on
 * a page that is still to come. That version cannot be pruned while the snapshot
 * might see it.
 */
extern int64 in_place_inspect(Relation rel, const TargetColumn *target,
							  const RotationOptions *options, RotationResult *result);

#endif
