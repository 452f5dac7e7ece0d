/*
 * remote_members.c
 *		Relations whose rows are not in this database: foreign tables, and those that
 *		an extension has spread over other servers.
 *
 * A scan of such a relation finds nothing, or nothing that dbcrypt could write. So
 * work on it would succeed on no row.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/dependency.h"
#include "catalog/pg_class.h"
#include "catalog/pg_namespace.h"
#include "commands/extension.h"
#include "foreign/fdwapi.h"
#include "foreign/foreign.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "support/remote_members.h"

/* Says where the rows of a relation are, as a clause; NULL if it knows nothing of it. */
typedef char *(*RemoteMemberProvider)(Oid relid);

/* Foreign tables, by the server that they name. */
static char *
foreign_table(Oid relid)
{
	if (get_rel_relkind(relid) != RELKIND_FOREIGN_TABLE)
		return NULL;
	return psprintf("it is a foreign table of server \"%s\"",
					GetForeignServer(GetForeignServerIdByRelId(relid))->servername);
}

/* OID of the table in which Citus lists the tables that it manages; 0 without Citus. */
static Oid
citus_catalog(void)
{
	Oid citus = get_extension_oid("citus", true);
	Oid catalog;

	if (!OidIsValid(citus))
		return InvalidOid;
	catalog = get_relname_relid("pg_dist_partition", PG_CATALOG_NAMESPACE);
	if (!OidIsValid(catalog) || getExtensionOfObject(RelationRelationId, catalog) != citus)
		return InvalidOid;
	return catalog;
}

/* Tables whose rows Citus keeps in shards; the table itself is empty. */
static char *
citus_table(Oid relid)
{
	Oid catalog = citus_catalog();
	AttrNumber attnum;
	Relation rel;
	SysScanDesc scan;
	HeapTuple row;
	bool found = false;

	if (!OidIsValid(catalog) || relid == catalog)
		return NULL;
	attnum = get_attnum(catalog, "logicalrelid");
	if (attnum == InvalidAttrNumber)
		return NULL;
	rel = table_open(catalog, AccessShareLock);
	scan = systable_beginscan(rel, InvalidOid, false, NULL, 0, NULL);
	while (!found && HeapTupleIsValid(row = systable_getnext(scan)))
	{
		bool isnull;
		Datum logical = heap_getattr(row, attnum, RelationGetDescr(rel), &isnull);

		found = !isnull && DatumGetObjectId(logical) == relid;
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return found ? pstrdup("Citus keeps its rows in shards") : NULL;
}

static const RemoteMemberProvider providers[] = {foreign_table, citus_table};

char *
remote_member_reason(Oid relid)
{
	for (size_t i = 0; i < lengthof(providers); i++)
	{
		char *reason = providers[i](relid);

		if (reason)
			return reason;
	}
	return NULL;
}
