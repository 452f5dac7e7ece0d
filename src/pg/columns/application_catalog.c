/*
 * application_catalog.c
 *		Finds the catalog of keys that an application (Coder) keeps: a table named
 *		dbcrypt_keys with a row for the digest of each key. Columns of key ids refer to
 *		it by foreign keys.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_class.h"
#include "catalog/pg_constraint.h"
#include "utils/array.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "columns/application_catalog.h"
#include "columns/foreign_keys.h"

bool
application_catalog_check(Oid relid)
{
	static const char *const columns[] = {"number",		"active_key_digest", "revoked_key_digest",
										  "created_at", "revoked_at",		 "test"};
	char *name = get_rel_name(relid);

	if (name == NULL || strcmp(name, "dbcrypt_keys") != 0 ||
		get_rel_relkind(relid) != RELKIND_RELATION)
		return false;
	for (size_t i = 0; i < lengthof(columns); i++)
		if (get_attnum(relid, columns[i]) <= 0)
			return false;
	return true;
}

Oid
application_catalog_of(Oid relid, AttrNumber companion)
{
	Oid catalog = InvalidOid;
	ListCell *cell;

	foreach(cell, foreign_keys(relid))
	{
		ForeignKey *key = lfirst(cell);

		if (!(key->relid == relid && list_member_int(key->attnums, companion)) &&
			!(key->referenced == relid && list_member_int(key->referenced_attnums, companion)))
			continue;
		if (key->relid != relid || key->attnum != companion ||
			!application_catalog_check(key->referenced) ||
			key->referenced_attnum != get_attnum(key->referenced, "active_key_digest"))
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("column \"%s\" of table \"%s\" is part of foreign key \"%s\"",
							get_attname(relid, companion, false), get_rel_name(relid), key->name),
					 errdetail("Table \"%s\" is not a catalog of keys that dbcrypt knows.",
							   get_rel_name(key->referenced))));
		catalog = key->referenced;
	}
	return catalog;
}
