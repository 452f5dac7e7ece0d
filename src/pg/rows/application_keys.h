/*
 * application_keys.h
 *		An application's own catalog of keys.
 */
#ifndef DBCRYPT_APPLICATION_KEYS_H
#define DBCRYPT_APPLICATION_KEYS_H

#include "postgres.h"

#include "utils/rel.h"

#include "core/api/scheme.h"

/*
 * To be called before values are written into a relation: makes sure that its
 * catalog, if it has one, holds the primary key, and locks that row until the
 * transaction ends. The caller needs the privilege to add the key.
 */
extern void application_keys_hold(Relation rel, AttrNumber companion, const dbcrypt_scheme *scheme,
								  Oid caller);

/*
 * To be called after a rotation: revokes in the catalogs of these targets
 * (TargetColumn) all keys of the ring but the primary one, those still in use, and those
 * in catalogs that the current user may not UPDATE.
 */
extern void application_keys_revoke_unused(List *targets);

#endif
