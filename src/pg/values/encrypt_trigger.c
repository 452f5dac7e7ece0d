/*
 * encrypt_trigger.c
 *		dbcrypt_encrypt_trigger: encrypts what is written as plaintext.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "columns/expression.h"
#include "core/api/scheme.h"
#include "keys/key_catalog.h"
#include "keys/keyring.h"
#include "keys/session_keyring.h"
#include "support/encoding.h"
#include "support/errors.h"
#include "support/run_as.h"
#include "values/codec.h"
#include "values/codec_change.h"
#include "values/codec_inspect.h"
#include "values/encrypt_trigger_setup.h"
#include "values/kept_triggers.h"

PG_FUNCTION_INFO_V1(dbcrypt_encrypt_trigger);

/*
 * The row of dbcrypt_keys for a key, loaded or not; NULL without one. The rows are
 * kept until dbcrypt_keys changes.
 */
static const RegisteredKey *
registered_key(const char *key_id)
{
	static MemoryContext context = NULL;
	static List *keys = NIL;
	static uint64 keys_read = 0;

	if (context == NULL)
		context = AllocSetContextCreate(TopMemoryContext, "dbcrypt keys", ALLOCSET_SMALL_SIZES);
	while (keys_read != session_keys_changes())
	{
		uint64 changes = session_keys_changes();
		MemoryContext caller;

		keys = NIL;
		MemoryContextReset(context);
		caller = MemoryContextSwitchTo(context);
		keys = catalog_keys();
		MemoryContextSwitchTo(caller);
		keys_read = changes;
	}
	return catalog_find_key(keys, key_id);
}

/* Whether two stored values are the same; compares TOAST pointers rather than fetch both. */
static bool
same_value(TupleTableSlot *old_row, TupleTableSlot *new_row, AttrNumber attnum)
{
	bool old_null;
	bool new_null;
	Datum old_value = slot_getattr(old_row, attnum, &old_null);
	Datum new_value = slot_getattr(new_row, attnum, &new_null);

	if (old_null || new_null)
		return old_null && new_null;
	if (VARATT_IS_EXTERNAL_ONDISK(DatumGetPointer(old_value)) &&
		VARATT_IS_EXTERNAL_ONDISK(DatumGetPointer(new_value)))
		return datumIsEqual(old_value, new_value, false, -1);
	return datum_image_eq(old_value, new_value, false, -1);
}

/* Whether both rows have the same AAD. */
static bool
same_aad(ColumnCodec *codec, TupleTableSlot *old_row, TupleTableSlot *new_row)
{
	Bytes old_aad;
	Bytes new_aad;

	return codec->aad == NULL ||
		   (aad_evaluate(codec->aad, codec->econtext, old_row, &old_aad) &&
			aad_evaluate(codec->aad, codec->econtext, new_row, &new_aad) &&
			old_aad.size == new_aad.size && memcmp(old_aad.data, new_aad.data, old_aad.size) == 0);
}

/*
 * Refuses an envelope whose key is not registered, retired, revoked or not loaded. One
 * that nobody can open here may be forged: its header is all that it has.
 */
static void
check_envelope(ColumnCodec *codec, Datum value, const ValuePlace *place)
{
	char key_id[DBCRYPT_KEY_ID_LEN + 1];
	dbcrypt_status status = value_read_header(value, codec->encoding, key_id);
	const RegisteredKey *key;

	if (status != DBCRYPT_OK)
		raise_status(status, codec->encoding, NULL, place);
	key = registered_key(key_id);
	if (key == NULL)
		raise_status(DBCRYPT_KEY_NOT_REGISTERED, codec->encoding, key_id, place);
	if (key->revoked)
		raise_status(DBCRYPT_KEY_REVOKED, codec->encoding, key_id, place);
	if (key->retired)
		raise_status(DBCRYPT_KEY_RETIRED, codec->encoding, key_id, place);
	if (keyring_find(session_ring(), key_id) < 0)
		raise_status(DBCRYPT_KEY_NOT_LOADED, codec->encoding, key_id, place);
}

/*
 * Error context of an envelope that an UPDATE writes: says where one comes from that is
 * bound to the AAD of another row.
 */
static void
upsert_hint(void *column)
{
	if (geterrcode() == ERRCODE_DATA_EXCEPTION)
		errhint("It belongs to a row with another AAD. In INSERT ... ON CONFLICT DO UPDATE, "
				"EXCLUDED.%s is encrypted for the row that was not inserted: an AAD must not read "
				"a generated key there, but only columns that both rows have alike.",
				quote_identifier(column));
}

/* Encrypts the value in new_row; an envelope must open with the row's AAD. */
static ValueOutcome
encrypt_value(ColumnCodec *codec, bool update, TupleTableSlot *new_row, ColumnChange *change)
{
	ErrorContextCallback context = {
		.callback = upsert_hint,
		.arg = NameStr(TupleDescAttr(RelationGetDescr(codec->rel), codec->attnum - 1)->attname),
		.previous = error_context_stack};
	ValueOutcome outcome;

	if (update && codec->aad)
		error_context_stack = &context;
	outcome = codec_encrypt(codec, new_row, change);
	error_context_stack = context.previous;
	return outcome;
}

/*
 * Computes what to write instead of the value in new_row; old_row is NULL for
 * INSERT. An envelope that an UPDATE leaves needs no key; if its AAD changes, the
 * UPDATE is refused.
 */
static ValueOutcome
encrypt_row(ColumnCodec *codec, TupleTableSlot *old_row, TupleTableSlot *new_row,
			ColumnChange *change)
{
	ValuePlace place = {codec->rel, codec->attnum, new_row->tts_tid};
	bool isnull;
	Datum value = slot_getattr(new_row, codec->attnum, &isnull);

	if (isnull)
		return VALUE_NULL;
	if (codec_holds_envelope(codec, value))
	{
		if (old_row && same_value(old_row, new_row, codec->attnum))
		{
			if (same_aad(codec, old_row, new_row))
				return VALUE_CURRENT;
			ereport(ERROR,
					(errcode(ERRCODE_DATA_EXCEPTION),
					 errmsg("update of table \"%s\" changes the AAD of column \"%s\" but not its "
							"value",
							RelationGetRelationName(codec->rel),
							get_attname(RelationGetRelid(codec->rel), codec->attnum, false)),
					 errdetail("The value would not decrypt any more."),
					 errhint("Set the column too, to the plaintext.")));
		}
		check_envelope(codec, value, &place);
	}
	return encrypt_value(codec, old_row != NULL, new_row, change);
}

/* Error context: names the trigger and its table. */
static void
trigger_error_context(void *arg)
{
	TriggerData *data = arg;

	errcontext("trigger \"%s\" of table \"%s\"", data->tg_trigger->tgname,
			   RelationGetRelationName(data->tg_relation));
}

/*
 * dbcrypt_encrypt_trigger('column' [, 'AAD expression']), BEFORE INSERT OR UPDATE
 * FOR EACH ROW: plaintext becomes an envelope under the primary key. An envelope
 * stays, if its key is registered, active and loaded, and if it opens. The AAD runs as
 * the table's owner if the column is registered with it, else as whoever writes.
 */
Datum
dbcrypt_encrypt_trigger(PG_FUNCTION_ARGS)
{
	TriggerData *data = (TriggerData *) fcinfo->context;
	EncryptTrigger *self;
	bool update;
	bool first;
	HeapTuple tuple;
	RunAsContext saved;
	ColumnChange change;
	ErrorContextCallback context;
	int attnum;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_BEFORE(data->tg_event) ||
		!TRIGGER_FIRED_FOR_ROW(data->tg_event) || TRIGGER_FIRED_BY_DELETE(data->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("dbcrypt_encrypt_trigger must be called as a BEFORE INSERT OR UPDATE "
						"FOR EACH ROW trigger")));
	context = (ErrorContextCallback){
		.callback = trigger_error_context, .arg = data, .previous = error_context_stack};
	error_context_stack = &context;
	update = TRIGGER_FIRED_BY_UPDATE(data->tg_event);
	tuple = update ? data->tg_newtuple : data->tg_trigtuple;

	self = kept_trigger(fcinfo, data, &first);
	self->codec.rel = data->tg_relation;

	ExecStoreHeapTuple(tuple, self->new_row, false);
	if (update)
	{
		ExecStoreHeapTuple(data->tg_trigtuple, self->old_row, false);
		self->new_row->tts_tid = data->tg_trigtuple->t_self;
	}
	if (self->switches_user)
		run_as_owner(self->codec.runs_as, &saved);
	if (self->switches_user && first)
		expression_compare(self->codec.aad, self->codec.econtext, self->new_row, "AAD");
	if (encrypt_row(&self->codec, update ? self->old_row : NULL, self->new_row, &change) ==
		VALUE_CHANGED)
	{
		attnum = change.attnums[0];
		tuple = heap_modify_tuple_by_cols(tuple, RelationGetDescr(data->tg_relation), 1, &attnum,
										  change.values, change.nulls);
	}
	if (self->switches_user)
		run_as_restore(&saved);
	ExecClearTuple(self->old_row);
	ExecClearTuple(self->new_row);
	ResetExprContext(self->codec.econtext);
	error_context_stack = context.previous;
	return PointerGetDatum(tuple);
}
