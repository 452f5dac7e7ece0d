/*
 * encrypt_trigger.c
 *		dbcrypt_encrypt_trigger: encrypts what is written as plaintext.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/sysattr.h"
#include "access/table.h"
#include "access/transam.h"
#include "catalog/indexing.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "columns/expression.h"
#include "columns/registry.h"
#include "columns/target.h"
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

PG_FUNCTION_INFO_V1(dbcrypt_encrypt_trigger);

/* What one trigger of one relation needs for the length of a query. */
typedef struct EncryptTrigger
{
	Oid trigger;
	Oid relid;
	EState *estate;
	ColumnCodec codec;
	bool switches_user; /* its AAD depends on who evaluates it */
	TupleTableSlot *old_row;
	TupleTableSlot *new_row;
} EncryptTrigger;

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

/* Refuses an AAD over generated columns, which have no value before the row is written. */
static void
check_generated(Relation rel, Node *aad)
{
	Bitmapset *inputs = NULL;
	int bit = -1;

	pull_varattnos(aad, 1, &inputs);
	while ((bit = bms_next_member(inputs, bit)) >= 0)
	{
		Form_pg_attribute attribute =
			TupleDescAttr(RelationGetDescr(rel), bit + FirstLowInvalidHeapAttributeNumber - 1);

		if (attribute->attgenerated != '\0')
			ereport(ERROR, (errcode(ERRCODE_INVALID_COLUMN_REFERENCE),
							errmsg("AAD expression of a trigger cannot read generated column "
								   "\"%s\"",
								   NameStr(attribute->attname)),
							errdetail("It is computed after the trigger.")));
	}
}

/*
 * The table that a trigger was created on. A partition's trigger is a copy of the
 * partitioned table's.
 */
static Oid
table_of_trigger(Oid trigger)
{
	Oid relid = InvalidOid;
	Relation rel = table_open(TriggerRelationId, AccessShareLock);

	while (OidIsValid(trigger))
	{
		ScanKeyData key;
		SysScanDesc scan;
		HeapTuple tuple;

		ScanKeyInit(&key, Anum_pg_trigger_oid, BTEqualStrategyNumber, F_OIDEQ,
					ObjectIdGetDatum(trigger));
		scan = systable_beginscan(rel, TriggerOidIndexId, true, NULL, 1, &key);
		tuple = systable_getnext(scan);
		if (!HeapTupleIsValid(tuple))
			elog(ERROR, "could not find trigger %u", trigger);
		relid = ((Form_pg_trigger) GETSTRUCT(tuple))->tgrelid;
		trigger = ((Form_pg_trigger) GETSTRUCT(tuple))->tgparentid;
		systable_endscan(scan);
	}
	table_close(rel, AccessShareLock);
	return relid;
}

/* Refuses a column whose values the trigger cannot encrypt. */
static void
check_column(Relation rel, AttrNumber attnum)
{
	Form_pg_attribute attribute = TupleDescAttr(RelationGetDescr(rel), attnum - 1);
	Oid type = getBaseType(attribute->atttypid);

	if (attribute->attgenerated != '\0')
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						errmsg("column \"%s\" of table \"%s\" is a generated column",
							   NameStr(attribute->attname), RelationGetRelationName(rel))));
	if (type == JSONOID || type == JSONBOID)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("column \"%s\" of table \"%s\" is of type %s", NameStr(attribute->attname),
						RelationGetRelationName(rel), format_type_be(type)),
				 errhint("A trigger encrypts columns of type text, varchar or bytea.")));
}

/*
 * Takes over how the column is registered, if it is, and decides who evaluates the
 * AAD. Whoever may create a trigger is not always the table's owner, but only the
 * owner registers: an AAD that is not the registered one runs as whoever writes.
 */
static void
apply_registration(TargetColumn *target, Relation rel, const Trigger *trigger)
{
	TargetColumn *registered = column_covering(target->relid, target->name);

	if (registered)
		registry_refuse_problem(registered);
	if (target->aad && (registered == NULL || registered->aad == NULL ||
						strcmp(registered->aad, target->aad) != 0))
		target->runs_as = GetUserId();
	else if (registered)
	{
		target->runs_as = owner_of(registered->relid);
		target->registered_by = registered->registered_by;
	}
	if (registered && !column_is_native(registered))
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						errmsg("column \"%s\" of table \"%s\" is adopted with scheme %s",
							   target->name, RelationGetRelationName(rel),
							   dbcrypt_scheme_traits_of(registered->scheme)->name),
						errdetail("The trigger would write native envelopes into it."),
						errhint("The application encrypts such values; drop trigger \"%s\", or run "
								"dbcrypt_convert().",
								trigger->tgname)));
}

/* Reads the trigger's arguments: the column and its AAD. */
static void
read_arguments(TriggerData *data, TargetColumn *target)
{
	Relation rel = data->tg_relation;
	const Trigger *trigger = data->tg_trigger;

	if (trigger->tgnargs < 1 || trigger->tgnargs > 2)
		ereport(ERROR, (errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
						errmsg("trigger \"%s\" must have a column name and at most an AAD "
							   "expression as arguments",
							   trigger->tgname)));
	target->name = trigger->tgargs[0];
	target->aad = trigger->tgnargs > 1 ? trigger->tgargs[1] : NULL;
	target->relid = trigger->tgisclone ? table_of_trigger(trigger->tgoid) : RelationGetRelid(rel);
	target->attnum = get_attnum(RelationGetRelid(rel), target->name);
	if (target->attnum <= 0)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_COLUMN),
						errmsg("column \"%s\" of relation \"%s\" does not exist", target->name,
							   RelationGetRelationName(rel)),
						errdetail("Trigger \"%s\" names it.", trigger->tgname)));
}

/* Prepares what the trigger needs for the length of a query. */
static EncryptTrigger *
prepare_trigger(TriggerData *data)
{
	Relation rel = data->tg_relation;
	EncryptTrigger *self = palloc0(sizeof(EncryptTrigger));
	TargetColumn target = {0};
	TupleDesc desc;
	RunAsContext saved;

	read_arguments(data, &target);
	check_column(rel, target.attnum);
	apply_registration(&target, rel, data->tg_trigger);

	self->trigger = data->tg_trigger->tgoid;
	self->relid = RelationGetRelid(rel);
	self->estate = CreateExecutorState();
	run_as_owner(rel->rd_rel->relowner, &saved);
	codec_init(&self->codec, rel, &target, self->estate);
	run_as_restore(&saved);
	if (self->codec.aad)
	{
		check_generated(rel, self->codec.aad->parsed);
		/* Becoming the owner costs more than encrypting a short value. */
		self->switches_user = self->codec.aad->calls_user;
	}
	/* A slot would pin the relation's own descriptor, and nobody drops these. */
	desc = CreateTupleDescCopyConstr(RelationGetDescr(rel));
	self->old_row = MakeSingleTupleTableSlot(desc, &TTSOpsHeapTuple);
	self->new_row = MakeSingleTupleTableSlot(desc, &TTSOpsHeapTuple);
	return self;
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
	EncryptTrigger *self = fcinfo->flinfo->fn_extra;
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

	first = self == NULL || self->trigger != data->tg_trigger->tgoid ||
			self->relid != RelationGetRelid(data->tg_relation);
	if (first)
	{
		MemoryContext caller = MemoryContextSwitchTo(fcinfo->flinfo->fn_mcxt);

		self = prepare_trigger(data);
		MemoryContextSwitchTo(caller);
		fcinfo->flinfo->fn_extra = self;
	}
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
	ResetPerTupleExprContext(self->estate);
	error_context_stack = context.previous;
	return PointerGetDatum(tuple);
}
