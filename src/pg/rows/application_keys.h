/*
 * application_keys.h
 *		An application's own catalog of keys.
 */
#ifndef DBCRYPT_APPLICATION_KEYS_H
#define DBCRYPT_APPLICATION_KEYS_H

#include "postgres.h"

#include "utils/rel.h"

#include "core/core.h"

/*
 * Before values are written into a relation: sees that the catalog, if it has
 * one, holds the primary key, and holds that row until the transaction ends.
 */
extern void application_keys_hold(Relation rel, AttrNumber companion, const dbcrypt_scheme *scheme);

/*
 * After a rotation: revokes in the catalogs of these targets (TargetColumn) the
 * other keys of the ring, those still referred to excepted.
 */
extern void application_keys_revoke_unused(List *targets);

#endif
