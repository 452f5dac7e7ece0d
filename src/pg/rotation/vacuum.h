/*
 * vacuum.h
 *		VACUUM between batches.
 */
#ifndef DBCRYPT_ROTATION_VACUUM_H
#define DBCRYPT_ROTATION_VACUUM_H

#include "postgres.h"

/*
 * Runs VACUUM on a relation in a background worker, as a procedure cannot, and
 * waits for it. False if no worker is free. Passes over a relation that someone
 * else vacuums.
 */
extern bool rotation_vacuum(Oid relid);

#endif
