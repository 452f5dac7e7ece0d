/*
 * key_catalog.c
 *		The extension's tables, and dbcrypt_keys read into the ring.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/indexing.h"
#include "catalog/pg_extension.h"
#include "commands/extension.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"

#include "core/core.h"
#include "keys/key_catalog.h"
#include "support/run_as.h"

/* Columns of dbcrypt_keys that are read here, in the order of the script. */
enum
{
	Anum_keys_key_id = 1,
	Anum_keys_revoked_at = 3,
	Anum_keys_canary = 4,
	Natts_keys = 5
};

/* OID of the schema the extension was created in. */
static Oid
extension_namespace(void)
{
	Relation rel = table_open(ExtensionRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple tuple;
	Oid schema = InvalidOid;

	ScanKeyInit(&key, Anum_pg_extension_extname, BTEqualStrategyNumber, F_NAMEEQ,
				CStringGetDatum("dbcrypt"));
	scan = systable_beginscan(rel, ExtensionNameIndexId, true, NULL, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
		schema = ((Form_pg_extension) GETSTRUCT(tuple))->extnamespace;
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return schema;
}

Oid
catalog_relation(const char *name)
{
	Oid schema = extension_namespace();

	return OidIsValid(schema) ? get_relname_relid(name, schema) : InvalidOid;
}

char *
catalog_relation_name(const char *name)
{
	Oid schema = extension_namespace();

	if (!OidIsValid(schema))
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
						errmsg("extension \"dbcrypt\" does not exist in this database"),
						errhint("Run CREATE EXTENSION dbcrypt.")));
	return quote_qualified_identifier(get_namespace_name(schema), name);
}

Oid
catalog_read_key_states(dbcrypt_ring *ring)
{
	Oid relid = catalog_relation("dbcrypt_keys");
	Relation rel;
	SysScanDesc scan;
	HeapTuple tuple;
	size_t count = dbcrypt_ring_count(ring);

	for (size_t i = 0; i < count; i++)
		dbcrypt_ring_set_state(ring, i, 0);
	if (!OidIsValid(relid))
		return InvalidOid;

	rel = table_open(relid, AccessShareLock);
	scan = systable_beginscan(rel, InvalidOid, false, NULL, 0, NULL);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Datum values[Natts_keys];
		bool nulls[Natts_keys];
		char *key_id;

		heap_deform_tuple(tuple, RelationGetDescr(rel), values, nulls);
		key_id = TextDatumGetCString(values[Anum_keys_key_id - 1]);
		for (size_t i = 0; i < count; i++)
		{
			struct varlena *canary;
			unsigned state = DBCRYPT_STATE_REGISTERED;

			if (strcmp(key_id, dbcrypt_ring_key_id(ring, i)) != 0)
				continue;
			if (!nulls[Anum_keys_revoked_at - 1])
				state |= DBCRYPT_STATE_REVOKED;
			canary = PG_DETOAST_DATUM_PACKED(values[Anum_keys_canary - 1]);
			if (!dbcrypt_canary_ok(ring, i, VARDATA_ANY(canary), VARSIZE_ANY_EXHDR(canary)))
				state |= DBCRYPT_STATE_BAD_CANARY;
			dbcrypt_ring_set_state(ring, i, state);
		}
		pfree(key_id);
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return relid;
}

List *
catalog_keys(void)
{
	Relation rel = table_open(catalog_relation("dbcrypt_keys"), AccessShareLock);
	SysScanDesc scan = systable_beginscan(rel, InvalidOid, false, NULL, 0, NULL);
	List *keys = NIL;
	HeapTuple tuple;

	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		RegisteredKey *key = palloc(sizeof(RegisteredKey));
		Datum values[Natts_keys];
		bool nulls[Natts_keys];

		heap_deform_tuple(tuple, RelationGetDescr(rel), values, nulls);
		strlcpy(key->key_id, TextDatumGetCString(values[Anum_keys_key_id - 1]),
				sizeof(key->key_id));
		key->revoked = !nulls[Anum_keys_revoked_at - 1];
		keys = lappend(keys, key);
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return keys;
}

uint64
catalog_execute(const char *query, int nargs, Oid *types, Datum *values, const char *nulls,
				int expected)
{
	Oid relid = catalog_relation("dbcrypt_keys");
	RunAsContext saved;
	int result;

	if (!OidIsValid(relid))
		(void) catalog_relation_name("dbcrypt_keys");
	run_as_owner(owner_of(relid), &saved);
	result = SPI_execute_with_args(query, nargs, types, values, nulls, false, 0);
	if (result != expected)
		elog(ERROR, "query on dbcrypt's tables failed: %s", SPI_result_code_string(result));
	run_as_restore(&saved);
	return SPI_processed;
}
