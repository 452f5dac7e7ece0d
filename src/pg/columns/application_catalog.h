/*
 * application_catalog.h
 *		Finds an application's own catalog of keys.
 */
#ifndef DBCRYPT_APPLICATION_CATALOG_H
#define DBCRYPT_APPLICATION_CATALOG_H

#include "postgres.h"

#include "access/attnum.h"
#include "nodes/pg_list.h"

/* A foreign key. The numbers are 0 unless it has one column. */
typedef struct ForeignKey
{
	Oid relid;
	AttrNumber attnum;
	List *attnums;
	Oid referenced;
	AttrNumber referenced_attnum;
	List *referenced_attnums;
	char *name;
} ForeignKey;

/*
 * The foreign keys, not counting the copies that partitions have, whose referring
 * or referenced table is relid.
 */
extern List *foreign_keys(Oid relid);

/* Whether a table is an application's catalog of keys. */
extern bool application_catalog_check(Oid relid);

/* The catalog that a column refers to, InvalidOid for none; throws for other foreign keys. */
extern Oid application_catalog_of(Oid relid, AttrNumber companion);

#endif
