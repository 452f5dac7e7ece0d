/*
 * codec_inspect.c
 *		What a codec says of a row's value without changing it.
 */
#include "postgres.h"

#include "access/detoast.h"
#include "fmgr.h"

#include "columns/options.h"
#include "core/api/keyring.h"
#include "core/api/scheme.h"
#include "core/api/value.h"
#include "keys/keyring.h"
#include "keys/session_keyring.h"
#include "values/codec.h"
#include "values/codec_cell.h"
#include "values/codec_inspect.h"
#include "values/codec_json.h"
#include "values/codec_row.h"

/* What a value under this key is, if it decrypts. */
static ValueState
state_of_key(const char *key_id)
{
	dbcrypt_ring *ring = session_ring();
	int key = keyring_find(ring, key_id);

	if (key < 0)
		return STATE_NOT_LOADED;
	if (dbcrypt_ring_state(ring, key) & DBCRYPT_STATE_REVOKED)
		return STATE_REVOKED;
	return key == 0 ? STATE_PRIMARY : STATE_OLD;
}

/* What an encrypted cell is, and the id of its key; with decrypt, it is decrypted too. */
static ValueState
state_of_cell(ColumnCodec *codec, const dbcrypt_cell *cell, bool decrypt, char *key_id)
{
	dbcrypt_status status = cell_identify(codec, cell, key_id);

	if (status == DBCRYPT_OK)
	{
		ValueState state = state_of_key(key_id);

		if (decrypt && (state == STATE_PRIMARY || state == STATE_OLD))
			status = cell_verify(codec, cell);
		if (status == DBCRYPT_OK)
			return state;
	}
	switch (status)
	{
		case DBCRYPT_NOT_AN_ENVELOPE:
			return cell_is_damaged(codec, cell) ? STATE_FAILED : STATE_PLAINTEXT;
		case DBCRYPT_NO_KEYS:
		case DBCRYPT_KEY_NOT_LOADED:
			return STATE_NOT_LOADED;
		case DBCRYPT_KEY_REVOKED:
			return STATE_REVOKED;
		default:
			return STATE_FAILED;
	}
}

/* How to look at the values of a row. */
typedef struct Examination
{
	bool decrypt;
	ValueVisitor visit;
	void *arg;
	MemoryContext caller; /* in which to call the visitor */
} Examination;

/* Visits a cell, unless it holds no value. */
static void
examine_cell(ColumnCodec *codec, const dbcrypt_cell *cell, const Examination *examination)
{
	char key_id[DBCRYPT_KEY_ID_LEN + 1];
	ValueState state;

	switch (dbcrypt_scheme_inspect(codec->scheme, cell))
	{
		case DBCRYPT_CELL_NULL:
		case DBCRYPT_CELL_EMPTY:
			break;
		case DBCRYPT_CELL_PLAINTEXT:
			examination->visit(examination->arg, STATE_PLAINTEXT, "");
			break;
		case DBCRYPT_CELL_ENCRYPTED:
			state = state_of_cell(codec, cell, examination->decrypt, key_id);
			/* What the recorded key does not open is under another one, perhaps. */
			if (state == STATE_FAILED && !dbcrypt_scheme_traits_of(codec->scheme)->authenticated)
				key_id[0] = '\0';
			examination->visit(examination->arg, state, key_id);
			break;
	}
}

/* Visits one field of a JSON value, as a JsonCellFunction that changes nothing. */
static char *
examine_field(ColumnCodec *codec, const dbcrypt_cell *cell, void *arg)
{
	const Examination *examination = arg;
	MemoryContext fields = MemoryContextSwitchTo(examination->caller);

	examine_cell(codec, cell, examination);
	MemoryContextSwitchTo(fields);
	return NULL;
}

/* codec_read_context with soft errors: false where an expression is NULL. */
static bool
try_read_context(ColumnCodec *codec, TupleTableSlot *slot)
{
	bool soft_errors = codec->soft_errors;
	bool readable;

	codec->soft_errors = true;
	readable = codec_read_context(codec, slot);
	codec->soft_errors = soft_errors;
	return readable;
}

/* Visits the values of the row in slot. */
static void
examine_row(ColumnCodec *codec, TupleTableSlot *slot, Examination *examination)
{
	bool named = dbcrypt_scheme_traits_of(codec->scheme)->names_key && codec->json == NULL;
	dbcrypt_cell cell;

	if (!codec_row_selected(codec, slot) || !codec_read_cell(codec, slot, &cell))
		return;
	if ((examination->decrypt || !named) && !try_read_context(codec, slot))
	{
		char key_id[DBCRYPT_KEY_ID_LEN + 1] = "";

		if (named)
			(void) cell_identify(codec, &cell, key_id);
		examination->visit(examination->arg, STATE_FAILED, key_id);
	}
	else if (codec->json)
		(void) codec_replace_json(codec, &cell, examine_field, examination);
	else
		examine_cell(codec, &cell, examination);
}

/* The first bytes of a stored value; a copy only where they do not lie there as they are. */
static struct varlena *
prefix_of(Datum stored)
{
	struct varlena *value = (struct varlena *) DatumGetPointer(stored);

	if (VARATT_IS_EXTERNAL(value) || VARATT_IS_COMPRESSED(value))
		return PG_DETOAST_DATUM_SLICE(stored, 0, 16);
	return value;
}

/* Frees it if it is a copy. */
static void
prefix_free(struct varlena *prefix, Datum stored)
{
	if (prefix != (struct varlena *) DatumGetPointer(stored))
		pfree(prefix);
}

/* Whether a value that is no envelope begins like one. */
static bool
is_damaged_envelope(const ColumnCodec *codec, Datum stored)
{
	struct varlena *prefix = prefix_of(stored);
	bool damaged = begins_like_envelope(codec->encoding, (uint8_t *) VARDATA_ANY(prefix),
										VARSIZE_ANY_EXHDR(prefix));

	prefix_free(prefix, stored);
	return damaged;
}

ValueState
codec_identify_envelope(ColumnCodec *codec, TupleTableSlot *slot, char *key_id)
{
	bool isnull;
	Datum stored = slot_getattr(slot, codec->attnum, &isnull);

	key_id[0] = '\0';
	if (isnull)
		return STATE_NULL;
	switch (value_read_header(stored, codec->encoding, key_id))
	{
		case DBCRYPT_OK:
			return state_of_key(key_id);
		case DBCRYPT_NOT_AN_ENVELOPE:
			return is_damaged_envelope(codec, stored) ? STATE_FAILED : STATE_PLAINTEXT;
		default:
			return STATE_FAILED;
	}
}

bool
codec_holds_envelope(const ColumnCodec *codec, Datum stored)
{
	char key_id[DBCRYPT_KEY_ID_LEN + 1];

	return value_read_header(stored, codec->encoding, key_id) != DBCRYPT_NOT_AN_ENVELOPE ||
		   is_damaged_envelope(codec, stored);
}

void
codec_examine(ColumnCodec *codec, TupleTableSlot *slot, ValueVisitor visit, void *arg)
{
	Examination examination = {
		.decrypt = true, .visit = visit, .arg = arg, .caller = CurrentMemoryContext};

	examine_row(codec, slot, &examination);
}

void
codec_identify(ColumnCodec *codec, TupleTableSlot *slot, ValueVisitor visit, void *arg)
{
	if (codec->scheme == scheme_native() && codec->where == NULL && codec->json == NULL)
	{
		char key_id[DBCRYPT_KEY_ID_LEN + 1];
		ValueState state = codec_identify_envelope(codec, slot, key_id);

		if (state != STATE_NULL)
			visit(arg, state, key_id);
	}
	else
	{
		Examination examination = {.visit = visit, .arg = arg, .caller = CurrentMemoryContext};

		examine_row(codec, slot, &examination);
	}
}

/* Notes a value that is not under the primary key, as a ValueVisitor. */
static void
note_stale(void *arg, ValueState state, const char *key_id)
{
	if (state != STATE_PRIMARY)
		*(ValueOutcome *) arg = VALUE_CHANGED;
}

ValueOutcome
codec_inspect(ColumnCodec *codec, TupleTableSlot *slot)
{
	ValueOutcome outcome = VALUE_CURRENT;

	if (slot_attisnull(slot, codec->attnum))
		return VALUE_NULL;
	codec_identify(codec, slot, note_stale, &outcome);
	return outcome;
}

dbcrypt_status
value_read_header(Datum value, dbcrypt_encoding encoding, char *key_id)
{
	struct varlena *prefix = prefix_of(value);
	dbcrypt_status status;

	status = dbcrypt_read_header(encoding, (uint8_t *) VARDATA_ANY(prefix),
								 toast_raw_datum_size(value) - VARHDRSZ, key_id);
	prefix_free(prefix, value);
	return status;
}
