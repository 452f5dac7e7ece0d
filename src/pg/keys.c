/*
 * keys.c
 *		SQL functions on the key ring and the key catalog, dbcrypt_keys.
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/tableam.h"
#include "commands/tablecmds.h"
#include "commands/trigger.h"
#include "dbcrypt.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"

PG_FUNCTION_INFO_V1(dbcrypt_register_keys);
PG_FUNCTION_INFO_V1(dbcrypt_loaded_keys);
PG_FUNCTION_INFO_V1(dbcrypt_revoke_key);
PG_FUNCTION_INFO_V1(dbcrypt_reinstate_key);
PG_FUNCTION_INFO_V1(dbcrypt_keys_changed);

/* The ring, which must not be empty. */
static dbcrypt_ring *
nonempty_ring(void)
{
	dbcrypt_ring *ring = session_ring();

	if (dbcrypt_ring_count(ring) == 0)
		raise_status(DBCRYPT_NO_KEYS, DBCRYPT_ENCODING_TEXT, NULL, NULL);
	return ring;
}

static const char *
state_name(unsigned state)
{
	if (state & DBCRYPT_STATE_REVOKED)
		return "revoked";
	if (state & DBCRYPT_STATE_BAD_CANARY)
		return "canary mismatch";
	return (state & DBCRYPT_STATE_REGISTERED) ? "registered" : "new";
}

/* dbcrypt_register_keys(): every ring key has a row in dbcrypt_keys afterwards. */
Datum
dbcrypt_register_keys(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	dbcrypt_ring *ring = nonempty_ring();
	size_t count = dbcrypt_ring_count(ring);
	Oid types[] = {TEXTOID, TEXTOID};

	InitMaterializedSRF(fcinfo, 0);
	for (size_t i = 0; i < count; i++)
	{
		char canary[DBCRYPT_CANARY_SIZE + 1];
		const char *key_id = dbcrypt_ring_key_id(ring, i);
		unsigned state = dbcrypt_ring_state(ring, i);
		dbcrypt_status status;
		Datum values[2];
		bool nulls[2] = {false};

		values[0] = CStringGetTextDatum(key_id);
		if (!(state & DBCRYPT_STATE_REGISTERED))
		{
			status = dbcrypt_make_canary(ring, i, canary);
			if (status != DBCRYPT_OK)
				raise_status(status, DBCRYPT_ENCODING_TEXT, key_id, NULL);
			values[1] = CStringGetTextDatum(canary);
			SPI_connect();
			(void) catalog_execute(psprintf("INSERT INTO %s (key_id, canary) VALUES ($1, $2) "
											"ON CONFLICT DO NOTHING",
											catalog_relation_name("dbcrypt_keys")),
								   lengthof(types), types, values, NULL, SPI_OK_INSERT);
			SPI_finish();
		}
		values[1] = CStringGetTextDatum(state_name(state));
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	return (Datum) 0;
}

/* dbcrypt_loaded_keys(): key_id, is_primary, canary_ok of each ring key, for the view. */
Datum
dbcrypt_loaded_keys(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	dbcrypt_ring *ring = session_ring();

	InitMaterializedSRF(fcinfo, 0);
	for (size_t i = 0; i < dbcrypt_ring_count(ring); i++)
	{
		unsigned state = dbcrypt_ring_state(ring, i);
		Datum values[3];
		bool nulls[3] = {false};

		values[0] = CStringGetTextDatum(dbcrypt_ring_key_id(ring, i));
		values[1] = BoolGetDatum(i == 0);
		values[2] = BoolGetDatum((state & DBCRYPT_STATE_BAD_CANARY) == 0);
		nulls[2] = (state & DBCRYPT_STATE_REGISTERED) == 0;
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	return (Datum) 0;
}

/* A search for the values of a key that shall be revoked. */
typedef struct KeySearch
{
	const char *key_id;
	const TargetColumn *target;
	StringInfoData uses; /* a line for each relation that has one */
} KeySearch;

/* Notes the first value under the key, or one that any key might be behind. */
static bool
note_use(void *arg, Relation rel, CipherState state, const char *key_id, ItemPointer tid)
{
	KeySearch *search = arg;
	bool unknown = key_id[0] == '\0' && (state == CIPHER_NOT_LOADED || state == CIPHER_FAILED);

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

/* Statement trigger on dbcrypt_keys: every session reads the states again. */
Datum
dbcrypt_keys_changed(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR, (errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
						errmsg("dbcrypt_keys_changed must be called as a trigger")));
	CacheInvalidateRelcache(trigger->tg_relation);
	return PointerGetDatum(NULL);
}
