/*
 * revocation.c
 *		A key is revoked when no registered column holds a value under it.
 */
#include "postgres.h"

#include "access/relation.h"
#include "catalog/pg_type.h"
#include "commands/tablecmds.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "columns/members.h"
#include "columns/registry.h"
#include "columns/target.h"
#include "core/core.h"
#include "keys/session_keyring.h"
#include "rows/identify.h"
#include "support/catalog.h"
#include "values/codec_inspect.h"

PG_FUNCTION_INFO_V1(dbcrypt_revoke_key);
PG_FUNCTION_INFO_V1(dbcrypt_reinstate_key);

/* A search for the values of a key that shall be revoked. */
typedef struct KeySearch
{
	const char *key_id;
	const TargetColumn *target;
	StringInfoData uses; /* a line for each relation that has one */
} KeySearch;

/* Notes the first value under the key, or one that any key might be behind. */
static bool
note_use(void *arg, Relation rel, ValueState state, const char *key_id, ItemPointer tid)
{
	KeySearch *search = arg;
	bool unknown = key_id[0] == '\0' && (state == STATE_NOT_LOADED || state == STATE_FAILED);

	if (!unknown && strcmp(key_id, search->key_id) != 0)
		return true;
	appendStringInfo(&search->uses, "%sTable \"%s.%s\", column \"%s\", row (%u,%u)%s.",
					 search->uses.len > 0 ? "\n" : "",
					 get_namespace_name(RelationGetNamespace(rel)), RelationGetRelationName(rel),
					 search->target->name, ItemPointerGetBlockNumber(tid),
					 ItemPointerGetOffsetNumber(tid), unknown ? ", which no loaded key opens" : "");
	return false;
}

/* Refuses while a registered column holds a value under the key. Stops writers. */
static void
check_key_unused(const char *key_id)
{
	KeySearch search = {.key_id = key_id};
	ListCell *cell;

	initStringInfo(&search.uses);
	LockRelationOid(catalog_relation("dbcrypt_columns"), ShareLock);
	foreach(cell, columns_registered())
	{
		ListCell *member;

		search.target = lfirst(cell);
		foreach(member, column_lock_members(search.target->relid, ShareLock))
		{
			Relation rel = relation_open(lfirst_oid(member), NoLock);

			/* The statement that asks may be writing too, unseen. */
			CheckTableNotInUse(rel, "revoke a key of");
			if (rel->rd_rel->relkind == RELKIND_RELATION &&
				get_attnum(RelationGetRelid(rel), search.target->name) > 0)
				identify_values(rel, search.target, note_use, &search);
			relation_close(rel, NoLock);
		}
	}
	if (search.uses.len > 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_IN_USE),
				 errmsg("encryption key %s is still in use", key_id),
				 errdetail("%s", search.uses.data), errhint("Run dbcrypt_rotate_all() first.")));
}

/* Sets or clears revoked_at of a registered key. */
static void
set_revoked(text *key_id, const char *revoked_at)
{
	Oid types[] = {TEXTOID};
	Datum values[1];
	uint64 updated;

	values[0] = PointerGetDatum(key_id);
	SPI_connect();
	updated = catalog_execute(psprintf("UPDATE %s SET revoked_at = %s WHERE key_id = $1",
									   catalog_relation_name("dbcrypt_keys"), revoked_at),
							  1, types, values, NULL, SPI_OK_UPDATE);
	SPI_finish();
	if (updated == 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("encryption key %s is not in dbcrypt_keys", text_to_cstring(key_id)),
				 errhint("Only a registered key can be revoked; see dbcrypt_register_keys().")));
}

/* dbcrypt_revoke_key(key_id text): from its commit on, nobody uses the key. */
Datum
dbcrypt_revoke_key(PG_FUNCTION_ARGS)
{
	text *key_id = PG_GETARG_TEXT_PP(0);
	char *id = text_to_cstring(key_id);
	dbcrypt_ring *ring;

	PreventCommandDuringRecovery("dbcrypt_revoke_key");
	ring = session_ring();
	if (dbcrypt_ring_count(ring) > 0 && strcmp(id, dbcrypt_ring_key_id(ring, 0)) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_IN_USE), errmsg("encryption key %s is still in use", id),
				 errdetail("It is the primary key of this session."),
				 errhint("Put a new key first in dbcrypt.key_file and rotate.")));
	check_key_unused(id);
	set_revoked(key_id, "coalesce(revoked_at, pg_catalog.now())");
	PG_RETURN_VOID();
}

/* dbcrypt_reinstate_key(key_id text) */
Datum
dbcrypt_reinstate_key(PG_FUNCTION_ARGS)
{
	PreventCommandDuringRecovery("dbcrypt_reinstate_key");
	set_revoked(PG_GETARG_TEXT_PP(0), "NULL");
	PG_RETURN_VOID();
}
