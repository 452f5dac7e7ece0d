/*
 * codec_change.c
 *		What a codec changes a row's value to.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"

#include "columns/options.h"
#include "core/api/keyring.h"
#include "keys/keyring.h"
#include "keys/session_keyring.h"
#include "support/compat.h"
#include "support/errors.h"
#include "values/codec.h"
#include "values/codec_cell.h"
#include "values/codec_change.h"
#include "values/codec_json.h"
#include "values/codec_row.h"

/*
 * Throws for a bad value, or with soft_errors returns VALUE_BAD. What is wrong
 * with the session's keys rather than with the value always throws.
 */
static ValueOutcome
report_bad_cell(ColumnCodec *codec, dbcrypt_status status, const dbcrypt_cell *cell,
				ItemPointer tid)
{
	ValuePlace place = {codec->rel, codec->attnum, *tid, codec->scheme != scheme_native()};
	char key_id[DBCRYPT_KEY_ID_LEN + 1];
	dbcrypt_ring *ring;

	if (cell_identify(codec, cell, key_id) == DBCRYPT_NOT_AN_ENVELOPE)
		key_id[0] = '\0';
	ring = session_ring();
	if (codec->soft_errors)
		switch (status)
		{
			case DBCRYPT_KEY_REVOKED:
				if (dbcrypt_ring_state(ring, 0) & DBCRYPT_STATE_REVOKED)
					break;
				pg_fallthrough;
			case DBCRYPT_KEY_NOT_LOADED:
			case DBCRYPT_AUTHENTICATION_FAILED:
			case DBCRYPT_NOT_AN_ENVELOPE:
			case DBCRYPT_NEWER_FORMAT:
			case DBCRYPT_NEWER_ALGORITHM:
				codec->bad_reason = status_message(status, key_id[0] ? key_id : NULL);
				return VALUE_BAD;
			default:
				break;
		}
	raise_key_status(ring, status, codec->encoding, key_id, &place);
}

/*
 * Whether the column's domain accepts the value, by its CHECK constraints. Their errors
 * must not show it.
 */
static void
check_domain(ColumnCodec *codec, Datum value, bool isnull)
{
	MemoryContext context = CurrentMemoryContext;

	if (!OidIsValid(codec->domain))
		return;
	PG_TRY();
	{
		domain_check(value, isnull, codec->domain, &codec->domain_cache, codec->query_context);
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		rethrow_without_values(
			context,
			psprintf(
				"Column \"%s\", domain %s",
				NameStr(TupleDescAttr(RelationGetDescr(codec->rel), codec->attnum - 1)->attname),
				codec->domain_name),
			NIL);
	}
	PG_END_TRY();
}

/* Begins a change with the column's new value, after the checks of its type. */
static void
change_value(ColumnCodec *codec, struct varlena *value, ColumnChange *change)
{
	Datum datum = PointerGetDatum(value);

	if (codec->max_characters >= 0 &&
		pg_mbstrlen_with_len(VARDATA(value), VARSIZE(value) - VARHDRSZ) > codec->max_characters)
		ereport(ERROR,
				(errcode(ERRCODE_STRING_DATA_RIGHT_TRUNCATION),
				 errmsg("value too long for type character varying(%d)", codec->max_characters),
				 errhint("An encrypted value is a third longer than its plaintext and 56 "
						 "characters more: ALTER the column's type to text.")));
	if (codec->type == JSONBOID)
	{
		MemoryContext caller = MemoryContextSwitchTo(codec->econtext->ecxt_per_tuple_memory);

		datum = DirectFunctionCall1(jsonb_in, CStringGetDatum(text_to_cstring(value)));
		MemoryContextSwitchTo(caller);
	}
	check_domain(codec, datum, false);
	change->count = 1;
	change->attnums[0] = codec->attnum;
	change->values[0] = datum;
	change->nulls[0] = false;
}

/* Begins a change to NULL, which a domain may still refuse. */
static void
change_to_null(ColumnCodec *codec, ColumnChange *change)
{
	check_domain(codec, (Datum) 0, true);
	change->count = 1;
	change->attnums[0] = codec->attnum;
	change->values[0] = (Datum) 0;
	change->nulls[0] = true;
}

/* Adds a companion to a change, if the column has it; NULL becomes '' if it must. */
static void
change_companion(ColumnCodec *codec, AttrNumber attnum, struct varlena *companion,
				 ColumnChange *change)
{
	int n = change->count;
	Form_pg_attribute attribute;

	if (attnum == InvalidAttrNumber)
		return;
	attribute = TupleDescAttr(RelationGetDescr(codec->rel), attnum - 1);
	if (companion == NULL && attribute->attnotnull)
		companion = codec_allocate(codec, 0);
	if (companion && codec->encoding == DBCRYPT_ENCODING_TEXT &&
		attribute->atttypmod >= (int32) VARHDRSZ &&
		VARSIZE(companion) - VARHDRSZ > attribute->atttypmod - VARHDRSZ)
		ereport(ERROR,
				(errcode(ERRCODE_STRING_DATA_RIGHT_TRUNCATION),
				 errmsg("value too long for type character varying(%d)",
						(int) (attribute->atttypmod - VARHDRSZ)),
				 errhint("ALTER the type of column \"%s\" to text.", NameStr(attribute->attname))));
	change->attnums[n] = attnum;
	change->values[n] = PointerGetDatum(companion);
	change->nulls[n] = companion == NULL;
	change->count++;
}

/* Adds what stands beside the value, NULL where the cell has nothing. */
static void
change_companions(ColumnCodec *codec, const NewCell *cell, ColumnChange *change)
{
	change_companion(codec, codec->companion_attnum, cell->companion, change);
	change_companion(codec, codec->salt_attnum, cell->salt, change);
}

/* The fields of a JSON value on their way through an operation. */
typedef struct JsonChange
{
	CellOperation operation;
	ItemPointer tid;
	bool bad; /* a field was; the others stay */
} JsonChange;

/* Does the operation to one field, as a JsonCellFunction. */
static char *
apply_to_field(ColumnCodec *codec, const dbcrypt_cell *cell, void *arg)
{
	JsonChange *json = arg;
	NewCell new_cell;
	bool changed;
	dbcrypt_status status;

	if (json->bad)
		return NULL;
	status = cell_apply(codec, json->operation, cell, &new_cell, &changed);
	if (status != DBCRYPT_OK)
		json->bad = report_bad_cell(codec, status, cell, json->tid) == VALUE_BAD;
	return status == DBCRYPT_OK && changed ? text_to_cstring(new_cell.value) : NULL;
}

/* Does the operation to each field of a JSON value. */
static ValueOutcome
apply_to_json(ColumnCodec *codec, CellOperation operation, TupleTableSlot *slot,
			  const dbcrypt_cell *cell, ColumnChange *change)
{
	JsonChange json = {.operation = operation, .tid = &slot->tts_tid};
	text *result = codec_replace_json(codec, cell, apply_to_field, &json);

	if (json.bad)
		return VALUE_BAD;
	if (result == NULL)
		return VALUE_CURRENT;
	change_value(codec, (struct varlena *) result, change);
	return VALUE_CHANGED;
}

/* Does the operation to the row's value. */
static ValueOutcome
apply(ColumnCodec *codec, CellOperation operation, TupleTableSlot *slot, ColumnChange *change)
{
	dbcrypt_cell cell;
	NewCell new_cell;
	bool changed;
	dbcrypt_status status;

	if (!codec_row_selected(codec, slot))
		return VALUE_SKIPPED;
	if (!codec_read_cell(codec, slot, &cell))
		return VALUE_NULL;
	if (!codec_read_context(codec, slot))
		return VALUE_BAD;
	if (codec->json)
		return apply_to_json(codec, operation, slot, &cell, change);
	status = cell_apply(codec, operation, &cell, &new_cell, &changed);
	if (status != DBCRYPT_OK)
		return report_bad_cell(codec, status, &cell, &slot->tts_tid);
	if (!changed)
		return VALUE_CURRENT;
	change_value(codec, new_cell.value, change);
	change_companions(codec, &new_cell, change);
	return VALUE_CHANGED;
}

ValueOutcome
codec_reencrypt(ColumnCodec *codec, TupleTableSlot *slot, ColumnChange *change)
{
	return apply(codec, CELL_REENCRYPT, slot, change);
}

ValueOutcome
codec_reencrypt_verifying(ColumnCodec *codec, TupleTableSlot *slot, ColumnChange *change)
{
	return apply(codec, CELL_REENCRYPT_VERIFY, slot, change);
}

ValueOutcome
codec_encrypt(ColumnCodec *codec, TupleTableSlot *slot, ColumnChange *change)
{
	return apply(codec, CELL_ENCRYPT, slot, change);
}

ValueOutcome
codec_decrypt(ColumnCodec *codec, TupleTableSlot *slot, ColumnChange *change)
{
	return apply(codec, CELL_DECRYPT, slot, change);
}

ValueOutcome
codec_convert(ColumnCodec *codec, TupleTableSlot *slot, ColumnChange *change)
{
	return apply(codec, CELL_CONVERT, slot, change);
}

ValueOutcome
codec_erase(ColumnCodec *codec, TupleTableSlot *slot, ColumnChange *change)
{
	if (!codec_row_selected(codec, slot))
		return VALUE_SKIPPED;
	if (slot_attisnull(slot, codec->attnum))
		return VALUE_NULL;
	if (codec->not_null)
		change_value(codec, codec_allocate(codec, 0), change);
	else
		change_to_null(codec, change);
	change_companions(codec, &(NewCell){0}, change);
	return VALUE_CHANGED;
}
