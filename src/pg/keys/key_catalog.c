/*
 * key_catalog.c
 *		dbcrypt_keys: the keys that this database knows, and which are retired or revoked.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_type.h"
#include "utils/builtins.h"

#include "core/api/keyring.h"
#include "keys/key_catalog.h"
#include "keys/keyring.h"
#include "support/catalog.h"

/* A scan of dbcrypt_keys, and the numbers of the columns that are read here. */
typedef struct KeyScan
{
	Relation rel;
	SysScanDesc scan;
	AttrNumber key_id;
	AttrNumber retired_at;
	AttrNumber revoked_at;
	AttrNumber canary;
} KeyScan;

/* Begins a scan of dbcrypt_keys; false without the extension. */
static bool
key_scan_begin(KeyScan *keys)
{
	Oid relid = catalog_relation("dbcrypt_keys");

	if (!OidIsValid(relid))
		return false;
	keys->rel = table_open(relid, AccessShareLock);
	keys->key_id = catalog_column(keys->rel, "key_id", TEXTOID);
	keys->retired_at = catalog_column(keys->rel, "retired_at", TIMESTAMPTZOID);
	keys->revoked_at = catalog_column(keys->rel, "revoked_at", TIMESTAMPTZOID);
	keys->canary = catalog_column(keys->rel, "canary", TEXTOID);
	keys->scan = systable_beginscan(keys->rel, InvalidOid, false, NULL, 0, NULL);
	return true;
}

/* Ends the scan; the OID of dbcrypt_keys. */
static Oid
key_scan_end(KeyScan *keys)
{
	Oid relid = RelationGetRelid(keys->rel);

	systable_endscan(keys->scan);
	table_close(keys->rel, AccessShareLock);
	return relid;
}

/* The key id of a row. */
static char *
row_key_id(const KeyScan *keys, HeapTuple row)
{
	return TextDatumGetCString(catalog_value(row, keys->rel, keys->key_id));
}

/* Whether a row's key is revoked. */
static bool
row_is_revoked(const KeyScan *keys, HeapTuple row)
{
	return !heap_attisnull(row, keys->revoked_at, RelationGetDescr(keys->rel));
}

/* Whether a row's key is retired, which a revoked one is too. */
static bool
row_is_retired(const KeyScan *keys, HeapTuple row)
{
	return row_is_revoked(keys, row) ||
		   !heap_attisnull(row, keys->retired_at, RelationGetDescr(keys->rel));
}

/* What a row says of key i of the ring: an OR of dbcrypt_key_state. */
static unsigned
row_state(const KeyScan *keys, HeapTuple row, dbcrypt_ring *ring, int i)
{
	struct varlena *canary = PG_DETOAST_DATUM_PACKED(catalog_value(row, keys->rel, keys->canary));
	unsigned state = DBCRYPT_STATE_REGISTERED;

	if (row_is_retired(keys, row))
		state |= DBCRYPT_STATE_RETIRED;
	if (row_is_revoked(keys, row))
		state |= DBCRYPT_STATE_REVOKED;
	if (!dbcrypt_canary_ok(ring, i, VARDATA_ANY(canary), VARSIZE_ANY_EXHDR(canary)))
		state |= DBCRYPT_STATE_BAD_CANARY;
	return state;
}

Oid
catalog_read_key_states(dbcrypt_ring *ring)
{
	KeyScan keys;
	HeapTuple row;

	for (size_t i = 0; i < dbcrypt_ring_count(ring); i++)
		dbcrypt_ring_set_state(ring, i, 0);
	if (!key_scan_begin(&keys))
		return InvalidOid;
	while (HeapTupleIsValid(row = systable_getnext(keys.scan)))
	{
		char *key_id = row_key_id(&keys, row);
		int i = keyring_find(ring, key_id);

		if (i >= 0)
			dbcrypt_ring_set_state(ring, i, row_state(&keys, row, ring, i));
		pfree(key_id);
	}
	return key_scan_end(&keys);
}

List *
catalog_keys(void)
{
	KeyScan keys;
	List *found = NIL;
	HeapTuple row;

	if (!key_scan_begin(&keys))
		return NIL;
	while (HeapTupleIsValid(row = systable_getnext(keys.scan)))
	{
		RegisteredKey *key = palloc(sizeof(RegisteredKey));

		strlcpy(key->key_id, row_key_id(&keys, row), sizeof(key->key_id));
		key->retired = row_is_retired(&keys, row);
		key->revoked = row_is_revoked(&keys, row);
		found = lappend(found, key);
	}
	(void) key_scan_end(&keys);
	return found;
}

const RegisteredKey *
catalog_find_key(const List *keys, const char *key_id)
{
	const ListCell *cell;

	foreach(cell, keys)
	{
		const RegisteredKey *key = lfirst(cell);

		if (strcmp(key->key_id, key_id) == 0)
			return key;
	}
	return NULL;
}
