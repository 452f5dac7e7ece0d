/*
 * application_catalog.h
 *		Finds an application's own catalog of keys.
 */
#ifndef DBCRYPT_APPLICATION_CATALOG_H
#define DBCRYPT_APPLICATION_CATALOG_H

#include "postgres.h"

#include "access/attnum.h"

/* Whether a table is an application's catalog of keys. */
extern bool application_catalog_check(Oid relid);

/*
 * The catalog that a companion column refers to, InvalidOid for none. Throws if the
 * column is part of any other foreign key.
 */
extern Oid application_catalog_of(Oid relid, AttrNumber companion);

#endif
