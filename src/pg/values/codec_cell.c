/*
 * codec_cell.c
 *		What a codec does with one cell: a value with its companion, out of any row.
 */
#include "postgres.h"

#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "columns/options.h"
#include "core/api/scheme.h"
#include "core/api/status.h"
#include "core/api/value.h"
#include "keys/session_keyring.h"
#include "support/encoding.h"
#include "support/errors.h"
#include "values/codec.h"
#include "values/codec_cell.h"

struct varlena *
codec_allocate(ColumnCodec *codec, size_t size)
{
	struct varlena *value;

	if (size > MaxAllocSize - VARHDRSZ)
		raise_status(DBCRYPT_TOO_LARGE, codec->encoding, NULL, NULL);
	value = MemoryContextAlloc(codec->econtext->ecxt_per_tuple_memory, size + VARHDRSZ);
	SET_VARSIZE(value, size + VARHDRSZ);
	return value;
}

/* Decrypts into per-tuple memory; sets *plaintext only on success. */
static dbcrypt_status
open_cell(ColumnCodec *codec, const dbcrypt_cell *cell, struct varlena **plaintext)
{
	size_t max_size =
		dbcrypt_scheme_open_max_size(codec->scheme, codec->encoding, cell->value_size);
	struct varlena *result = codec_allocate(codec, max_size);
	size_t size = 0;
	size_t key;
	dbcrypt_status status;

	status = dbcrypt_scheme_open(codec->scheme, session_ring(), &codec->context, cell,
								 (uint8_t *) VARDATA(result), &size, &key);
	if (status != DBCRYPT_OK)
		return status;
	SET_VARSIZE(result, size + VARHDRSZ);
	*plaintext = result;
	return DBCRYPT_OK;
}

dbcrypt_status
cell_verify(ColumnCodec *codec, const dbcrypt_cell *cell)
{
	struct varlena *plaintext;
	dbcrypt_status status = open_cell(codec, cell, &plaintext);

	if (status == DBCRYPT_OK)
	{
		dbcrypt_cleanse(VARDATA(plaintext), VARSIZE(plaintext) - VARHDRSZ);
		pfree(plaintext);
	}
	return status;
}

/* The bytes of a companion in per-tuple memory. */
static struct varlena *
copy_companion(ColumnCodec *codec, const uint8_t *bytes, size_t size)
{
	struct varlena *companion = codec_allocate(codec, size);

	memcpy(VARDATA(companion), bytes, size);
	return companion;
}

/* Makes the new cell of what the core encrypted into result. */
static void
take_sealed(ColumnCodec *codec, struct varlena *result, const dbcrypt_sealed *sealed,
			NewCell *new_cell)
{
	SET_VARSIZE(result, sealed->value_size + VARHDRSZ);
	new_cell->value = result;
	new_cell->companion = NULL;
	new_cell->salt = NULL;
	if (!sealed->companion_is_null)
		new_cell->companion = copy_companion(codec, sealed->companion, sealed->companion_size);
	if (sealed->salt_size > 0)
		new_cell->salt = copy_companion(codec, sealed->salt, sealed->salt_size);
}

/* Encrypts under the primary key; the scheme and context may be other than the codec's. */
static dbcrypt_status
seal_cell(ColumnCodec *codec, const dbcrypt_scheme *scheme, const dbcrypt_context *context,
		  Bytes plaintext, NewCell *new_cell)
{
	struct varlena *result = codec_allocate(
		codec, dbcrypt_scheme_seal_max_size(scheme, context->encoding, plaintext.size));
	dbcrypt_sealed sealed = {.value = (uint8_t *) VARDATA(result)};
	dbcrypt_status status;

	status = dbcrypt_scheme_seal(scheme, session_ring(), context, plaintext.data, plaintext.size,
								 &sealed);
	if (status == DBCRYPT_OK)
		take_sealed(codec, result, &sealed, new_cell);
	return status;
}

/* The bytes to encrypt of a value that is plaintext: text is UTF-8 inside an envelope. */
static Bytes
plaintext_of_cell(ColumnCodec *codec, const dbcrypt_cell *cell)
{
	Bytes plaintext = {cell->value, cell->value_size};

	if (codec->encoding == DBCRYPT_ENCODING_TEXT && GetDatabaseEncoding() != PG_UTF8)
	{
		MemoryContext caller = MemoryContextSwitchTo(codec->econtext->ecxt_per_tuple_memory);

		plaintext = text_to_utf8((struct varlena *) cstring_to_text_with_len(
			(const char *) cell->value, (int) cell->value_size));
		MemoryContextSwitchTo(caller);
	}
	return plaintext;
}

/* Brings a cell under the primary key; plaintext is encrypted. */
static dbcrypt_status
reencrypt_cell(ColumnCodec *codec, const dbcrypt_cell *cell, NewCell *new_cell, bool *changed)
{
	struct varlena *result;
	dbcrypt_sealed sealed;
	dbcrypt_status status;

	if (dbcrypt_scheme_inspect(codec->scheme, cell) == DBCRYPT_CELL_PLAINTEXT)
	{
		status = seal_cell(codec, codec->scheme, &codec->context, plaintext_of_cell(codec, cell),
						   new_cell);
		*changed = status == DBCRYPT_OK;
		return status;
	}
	result =
		codec_allocate(codec, dbcrypt_scheme_rotate_max_size(codec->scheme, codec->encoding, cell));
	sealed = (dbcrypt_sealed){.value = (uint8_t *) VARDATA(result)};
	status = dbcrypt_scheme_rotate(codec->scheme, session_ring(), &codec->context, cell, &sealed,
								   changed);
	if (status == DBCRYPT_OK && *changed)
		take_sealed(codec, result, &sealed, new_cell);
	return status;
}

/* The same; a cell that is under the primary key already must decrypt. */
static dbcrypt_status
reencrypt_and_verify_cell(ColumnCodec *codec, const dbcrypt_cell *cell, NewCell *new_cell,
						  bool *changed)
{
	dbcrypt_status status = reencrypt_cell(codec, cell, new_cell, changed);

	if (status == DBCRYPT_OK && !*changed &&
		dbcrypt_scheme_inspect(codec->scheme, cell) == DBCRYPT_CELL_ENCRYPTED)
		status = cell_verify(codec, cell);
	return status;
}

bool
begins_like_envelope(dbcrypt_encoding encoding, const uint8_t *value, size_t size)
{
	char key_id[DBCRYPT_KEY_ID_LEN + 1];
	size_t header = encoding == DBCRYPT_ENCODING_TEXT ? 16 : 12;

	return size >= header &&
		   dbcrypt_read_header(encoding, value, dbcrypt_envelope_size(encoding, 0), key_id) !=
			   DBCRYPT_NOT_AN_ENVELOPE;
}

bool
cell_is_damaged(ColumnCodec *codec, const dbcrypt_cell *cell)
{
	return codec->scheme != scheme_native() ||
		   begins_like_envelope(codec->encoding, cell->value, cell->value_size);
}

/*
 * Encrypts what is not encrypted, or too short to be. What is encrypted must
 * decrypt, and stays. So does a cell with a companion, however damaged its value:
 * a new companion would destroy it for good.
 */
static dbcrypt_status
encrypt_cell(ColumnCodec *codec, const dbcrypt_cell *cell, NewCell *new_cell, bool *changed)
{
	dbcrypt_cell_kind kind = dbcrypt_scheme_inspect(codec->scheme, cell);
	bool looks_like_envelope = begins_like_envelope(codec->encoding, cell->value, cell->value_size);

	if (kind == DBCRYPT_CELL_EMPTY)
		return DBCRYPT_OK;
	if (kind == DBCRYPT_CELL_ENCRYPTED && (codec->scheme != scheme_native() || looks_like_envelope))
	{
		dbcrypt_status status = cell_verify(codec, cell);

		if (status != DBCRYPT_NOT_AN_ENVELOPE || cell->companion_size > 0 || looks_like_envelope)
			return status;
	}
	*changed = true;
	return seal_cell(codec, codec->scheme, &codec->context, plaintext_of_cell(codec, cell),
					 new_cell);
}

/* Decrypts what is encrypted; what is not stays. */
static dbcrypt_status
decrypt_cell(ColumnCodec *codec, const dbcrypt_cell *cell, NewCell *new_cell, bool *changed)
{
	struct varlena *plaintext;
	dbcrypt_status status;

	if (dbcrypt_scheme_inspect(codec->scheme, cell) != DBCRYPT_CELL_ENCRYPTED)
		return DBCRYPT_OK;
	status = open_cell(codec, cell, &plaintext);
	if (status == DBCRYPT_NOT_AN_ENVELOPE && !cell_is_damaged(codec, cell))
		return DBCRYPT_OK;
	if (status != DBCRYPT_OK)
		return status;
	if (codec->encoding == DBCRYPT_ENCODING_TEXT)
	{
		MemoryContext caller = MemoryContextSwitchTo(codec->econtext->ecxt_per_tuple_memory);

		plaintext = utf8_to_text(plaintext);
		MemoryContextSwitchTo(caller);
	}
	*changed = true;
	*new_cell = (NewCell){.value = plaintext};
	return DBCRYPT_OK;
}

/*
 * Makes a native envelope of an encrypted cell, or of plaintext by the scheme's rule,
 * with the AAD that it is to have.
 */
static dbcrypt_status
convert_cell(ColumnCodec *codec, const dbcrypt_cell *cell, NewCell *new_cell, bool *changed)
{
	dbcrypt_context context = {.encoding = codec->encoding,
							   .aad = codec->native_aad_value.data,
							   .aad_size = codec->native_aad_value.size};
	Bytes plaintext;

	if (dbcrypt_scheme_inspect(codec->scheme, cell) == DBCRYPT_CELL_ENCRYPTED)
	{
		struct varlena *opened;
		dbcrypt_status status = open_cell(codec, cell, &opened);

		if (status != DBCRYPT_OK)
			return status;
		plaintext = (Bytes){(const uint8_t *) VARDATA(opened), VARSIZE(opened) - VARHDRSZ};
	}
	else
		plaintext = plaintext_of_cell(codec, cell);
	*changed = true;
	return seal_cell(codec, scheme_native(), &context, plaintext, new_cell);
}

dbcrypt_status
cell_apply(ColumnCodec *codec, CellOperation operation, const dbcrypt_cell *cell, NewCell *new_cell,
		   bool *changed)
{
	*changed = false;
	switch (operation)
	{
		case CELL_REENCRYPT:
			return reencrypt_cell(codec, cell, new_cell, changed);
		case CELL_REENCRYPT_VERIFY:
			return reencrypt_and_verify_cell(codec, cell, new_cell, changed);
		case CELL_ENCRYPT:
			return encrypt_cell(codec, cell, new_cell, changed);
		case CELL_DECRYPT:
			return decrypt_cell(codec, cell, new_cell, changed);
		case CELL_CONVERT:
			return convert_cell(codec, cell, new_cell, changed);
	}
	pg_unreachable();
}

dbcrypt_status
cell_identify(ColumnCodec *codec, const dbcrypt_cell *cell, char *key_id)
{
	bool decrypts = !dbcrypt_scheme_traits_of(codec->scheme)->names_key;
	size_t max_size =
		decrypts ? dbcrypt_scheme_open_max_size(codec->scheme, codec->encoding, cell->value_size)
				 : 0;
	uint8_t *scratch = decrypts ? (uint8_t *) VARDATA(codec_allocate(codec, max_size)) : NULL;
	dbcrypt_status status;

	key_id[0] = '\0';
	status = dbcrypt_scheme_identify(codec->scheme, session_ring(), &codec->context, cell, scratch,
									 key_id);
	dbcrypt_cleanse(scratch, max_size);
	return status;
}
