/*
 * foreign_keys.h
 *		The foreign keys of a table, on both sides.
 */
#ifndef DBCRYPT_FOREIGN_KEYS_H
#define DBCRYPT_FOREIGN_KEYS_H

#include "postgres.h"

#include "access/attnum.h"
#include "nodes/pg_list.h"

/* A foreign key. attnum and referenced_attnum are 0 unless it has one column. */
typedef struct ForeignKey
{
	Oid relid;
	AttrNumber attnum;
	List *attnums;
	Oid referenced;
	AttrNumber referenced_attnum;
	List *referenced_attnums;
	bool is_copy; /* of a partitioned table's foreign key, for one partition */
	char *name;
} ForeignKey;

/* The foreign keys whose referencing or referenced table is relid, in order of OID. */
extern List *foreign_keys(Oid relid);

#endif
