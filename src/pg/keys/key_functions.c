/*
 * key_functions.c
 *		SQL functions on the key ring and the key catalog, dbcrypt_keys.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/tuplestore.h"

#include "core/api/keyring.h"
#include "keys/session_keyring.h"
#include "support/arguments.h"
#include "support/catalog.h"
#include "support/errors.h"

PG_FUNCTION_INFO_V1(dbcrypt_register_keys);
PG_FUNCTION_INFO_V1(dbcrypt_loaded_keys);
PG_FUNCTION_INFO_V1(dbcrypt_keys_merge);

/* The session's ring; throws if it holds no key. */
static dbcrypt_ring *
nonempty_ring(void)
{
	dbcrypt_ring *ring = session_ring();

	if (dbcrypt_ring_count(ring) == 0)
		raise_status(DBCRYPT_NO_KEYS, DBCRYPT_ENCODING_TEXT, NULL, NULL);
	return ring;
}

/* The state of a key as dbcrypt_register_keys() shows it. */
static const char *
state_name(unsigned state)
{
	if (state & DBCRYPT_STATE_REVOKED)
		return "revoked";
	if (state & DBCRYPT_STATE_RETIRED)
		return "retired";
	if (state & DBCRYPT_STATE_BAD_CANARY)
		return "canary mismatch";
	return (state & DBCRYPT_STATE_REGISTERED) ? "registered" : "new";
}

/* dbcrypt_register_keys(): every ring key has a row in dbcrypt_keys afterwards. */
Datum
dbcrypt_register_keys(PG_FUNCTION_ARGS)
{
	dbcrypt_ring *ring = nonempty_ring();
	ReturnSetInfo *result = result_set(fcinfo, 2);
	size_t count = dbcrypt_ring_count(ring);
	Oid types[] = {TEXTOID, TEXTOID};

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
	dbcrypt_ring *ring = session_ring();
	ReturnSetInfo *result = result_set(fcinfo, 3);

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

/* A timestamp of a trigger's row; sets *null, as in SPI's nulls. */
static Datum
row_timestamp(const TriggerData *trigger, const char *column, char *null)
{
	Relation rel = trigger->tg_relation;
	bool isnull;
	Datum value = heap_getattr(trigger->tg_trigtuple, catalog_column(rel, column, TIMESTAMPTZOID),
							   RelationGetDescr(rel), &isnull);

	*null = isnull ? 'n' : ' ';
	return value;
}

/*
 * Row trigger before INSERT on dbcrypt_keys: where the key has a row already, that
 * row stays, retired or revoked if either row is. So a dump can be restored beside
 * keys, and brings no key back into use.
 */
Datum
dbcrypt_keys_merge(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	Oid types[] = {TEXTOID, TIMESTAMPTZOID, TIMESTAMPTZOID};
	char nulls[] = "   ";
	Datum values[3];
	uint64 merged;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_BEFORE(trigger->tg_event) ||
		!TRIGGER_FIRED_FOR_ROW(trigger->tg_event) || !TRIGGER_FIRED_BY_INSERT(trigger->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("dbcrypt_keys_merge must be called as a row trigger before INSERT")));
	values[0] = catalog_value(trigger->tg_trigtuple, trigger->tg_relation,
							  catalog_column(trigger->tg_relation, "key_id", TEXTOID));
	values[1] = row_timestamp(trigger, "retired_at", &nulls[1]);
	values[2] = row_timestamp(trigger, "revoked_at", &nulls[2]);
	SPI_connect();
	merged = catalog_execute(
		psprintf("UPDATE %s SET retired_at = least(retired_at, $2), "
				 "revoked_at = least(revoked_at, $3) WHERE key_id OPERATOR(pg_catalog.=) $1",
				 catalog_relation_name("dbcrypt_keys")),
		lengthof(types), types, values, nulls, SPI_OK_UPDATE);
	SPI_finish();
	return PointerGetDatum(merged > 0 ? NULL : trigger->tg_trigtuple);
}
