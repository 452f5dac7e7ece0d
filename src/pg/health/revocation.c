/*
 * revocation.c
 *		dbcrypt_revoke_key and dbcrypt_reinstate_key: a key is revoked only when no
 *		registered column holds a value under it.
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
#include "columns/opening.h"
#include "columns/registry.h"
#include "columns/target.h"
#include "core/api/keyring.h"
#include "keys/keyring.h"
#include "keys/session_keyring.h"
#include "rows/identify.h"
#include "support/catalog.h"
#include "values/codec_inspect.h"

PG_FUNCTION_INFO_V1(dbcrypt_revoke_key);
PG_FUNCTION_INFO_V1(dbcrypt_reinstate_key);

/* A search for values of a key that is to be revoked. */
typedef struct KeySearch
{
	const char *key_id;
	const TargetColumn *target; /* the column at work */
	StringInfoData uses;		/* a line for each relation with a value that is in the way */
	bool named;					/* some are under the key */
	bool not_loaded;			/* some name a key that is not loaded */
	bool unreadable;			/* some are of a newer format, or damaged */
	bool undecryptable;			/* some name no key, and no loaded key decrypts them */
} KeySearch;

/*
 * Notes the first value of a relation that is under the key, or that may be:
 * whatever no loaded key decrypts might need this one.
 */
static bool
note_use(void *arg, Relation rel, ValueState state, const char *key_id, ItemPointer tid)
{
	KeySearch *search = arg;
	bool unknown = key_id[0] == '\0' && (state == STATE_NOT_LOADED || state == STATE_FAILED);
	const char *why = "";

	if (!unknown && strcmp(key_id, search->key_id) != 0)
		return true;
	if (!unknown)
		search->named = true;
	else if (state == STATE_NOT_LOADED)
	{
		search->not_loaded = true;
		why = ", under a key that is not loaded";
	}
	else if (column_names_key(search->target))
	{
		search->unreadable = true;
		why = ", of a newer format or damaged";
	}
	else
	{
		search->undecryptable = true;
		why = ", which no loaded key decrypts";
	}
	appendStringInfo(&search->uses, "%sTable \"%s.%s\", column \"%s\", row (%u,%u)%s.",
					 search->uses.len > 0 ? "\n" : "",
					 get_namespace_name(RelationGetNamespace(rel)), RelationGetRelationName(rel),
					 search->target->name, ItemPointerGetBlockNumber(tid),
					 ItemPointerGetOffsetNumber(tid), why);
	return false;
}

/* Looks at the tables of the column at work. They are locked against writers. */
static void
search_column(KeySearch *search)
{
	ListCell *cell;

	foreach(cell, column_lock_members(search->target->relid, ShareLock))
	{
		Relation rel = relation_open(lfirst_oid(cell), NoLock);

		/* The statement that calls this may be writing too; nobody sees its rows yet. */
		CheckTableNotInUse(rel, "revoke a key of");
		if (rel->rd_rel->relkind == RELKIND_RELATION &&
			get_attnum(RelationGetRelid(rel), search->target->name) > 0)
			identify_values(rel, search->target, note_use, search);
		relation_close(rel, NoLock);
	}
}

/*
 * What makes the revocation possible. Rotation stops at a value that cannot be
 * decrypted, so it is no help before such a value is dealt with.
 */
static const char *
hint_for(const KeySearch *search)
{
	dbcrypt_ring *ring = session_ring();
	int key = keyring_find(ring, search->key_id);

	if (search->undecryptable)
		return "Add the key of these values to dbcrypt.key_file, below the primary key, correct "
			   "the column's options in dbcrypt_columns, or repair the rows that "
			   "dbcrypt_verify() names; then run dbcrypt_rotate_all().";
	if (search->unreadable)
		return "Update the dbcrypt extension, or repair the rows that dbcrypt_verify() names; "
			   "then run dbcrypt_rotate_all().";
	if (search->not_loaded)
		return "Add the key of these values to dbcrypt.key_file, below the primary key, and run "
			   "dbcrypt_rotate_all() first.";
	if (key >= 0 && (dbcrypt_ring_state(ring, key) & DBCRYPT_STATE_REVOKED))
		return "Run dbcrypt_reinstate_key() and dbcrypt_rotate_all() first.";
	if (key >= 0)
		return "Run dbcrypt_rotate_all() first.";
	return "Add the key to dbcrypt.key_file, below the primary key, and run "
		   "dbcrypt_rotate_all() first.";
}

/*
 * Refuses while a registered column holds a value that is, or may be, under the
 * key. No column is registered and no value written until the transaction ends.
 */
static void
check_key_unused(const char *key_id)
{
	KeySearch search = {.key_id = key_id};
	ListCell *cell;

	initStringInfo(&search.uses);
	foreach(cell, columns_lock_registered(ShareLock))
	{
		search.target = lfirst(cell);
		if (search.target->problem)
			ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
							errmsg("encryption key %s may still be in use", key_id),
							errdetail("Registered column \"%s\" cannot be looked at: %s.",
									  search.target->name, search.target->problem),
							errhint(REGISTRY_PROBLEM_HINT)));
		search_column(&search);
	}
	if (search.uses.len == 0)
		return;
	if (search.named)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_IN_USE),
						errmsg("encryption key %s is still in use", key_id),
						errdetail("%s", search.uses.data), errhint("%s", hint_for(&search))));
	ereport(ERROR, (errcode(ERRCODE_OBJECT_IN_USE),
					errmsg("encryption key %s may still be in use", key_id),
					errdetail("%s", search.uses.data), errhint("%s", hint_for(&search))));
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

/* dbcrypt_revoke_key(key_id text): nobody uses the key once this is committed. */
Datum
dbcrypt_revoke_key(PG_FUNCTION_ARGS)
{
	text *key_id = PG_GETARG_TEXT_PP(0);
	char *id = text_to_cstring(key_id);
	dbcrypt_ring *ring;

	PreventCommandDuringRecovery("dbcrypt_revoke_key");
	ring = session_ring();
	if (keyring_find(ring, id) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_IN_USE), errmsg("encryption key %s is still in use", id),
				 errdetail("It is the primary key of this session."),
				 errhint("Put a new key first in dbcrypt.key_file and rotate.")));
	check_key_unused(id);
	set_revoked(key_id, "coalesce(revoked_at, pg_catalog.now())");
	PG_RETURN_VOID();
}

/* dbcrypt_reinstate_key(key_id text): the key may be used again. */
Datum
dbcrypt_reinstate_key(PG_FUNCTION_ARGS)
{
	PreventCommandDuringRecovery("dbcrypt_reinstate_key");
	set_revoked(PG_GETARG_TEXT_PP(0), "NULL");
	PG_RETURN_VOID();
}
