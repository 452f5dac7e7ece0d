/*
 * value_functions.c
 *		SQL functions on single values.
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "core/api/keyring.h"
#include "core/api/status.h"
#include "core/api/value.h"
#include "keys/keyring.h"
#include "keys/session_keyring.h"
#include "support/encoding.h"
#include "support/errors.h"
#include "values/codec_inspect.h"

PG_FUNCTION_INFO_V1(dbcrypt_encrypt_text);
PG_FUNCTION_INFO_V1(dbcrypt_encrypt_bytea);
PG_FUNCTION_INFO_V1(dbcrypt_decrypt_text);
PG_FUNCTION_INFO_V1(dbcrypt_decrypt_bytea);
PG_FUNCTION_INFO_V1(dbcrypt_reencrypt_text);
PG_FUNCTION_INFO_V1(dbcrypt_reencrypt_bytea);
PG_FUNCTION_INFO_V1(dbcrypt_key_id_text);
PG_FUNCTION_INFO_V1(dbcrypt_key_id_bytea);
PG_FUNCTION_INFO_V1(dbcrypt_is_encrypted_text);
PG_FUNCTION_INFO_V1(dbcrypt_is_encrypted_bytea);
PG_FUNCTION_INFO_V1(dbcrypt_generate_key_sql);

/* The AAD argument, which may not be NULL beside a value. */
static Bytes
aad_argument(FunctionCallInfo fcinfo)
{
	struct varlena *aad;

	if (PG_ARGISNULL(1))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("aad must not be null"),
						errhint("Use coalesce() where a column may be null, or omit it.")));
	aad = PG_GETARG_VARLENA_PP(1);
	if (VARSIZE_ANY_EXHDR(aad) == 0)
		return (Bytes){NULL, 0};
	return text_to_utf8(aad);
}

/* A result of this many bytes; a clear error where none can be. */
static struct varlena *
allocate_result(size_t size)
{
	struct varlena *result;

	if (size > MaxAllocSize - VARHDRSZ)
		raise_status(DBCRYPT_TOO_LARGE, DBCRYPT_ENCODING_BINARY, NULL, NULL);
	result = palloc(size + VARHDRSZ);
	SET_VARSIZE(result, size + VARHDRSZ);
	return result;
}

/* The envelope of a value under the primary key; NULL for NULL. */
static Datum
encrypt_value(FunctionCallInfo fcinfo, dbcrypt_encoding encoding)
{
	struct varlena *value;
	struct varlena *result;
	Bytes plaintext;
	Bytes aad;
	dbcrypt_ring *ring;
	dbcrypt_status status;

	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	value = PG_GETARG_VARLENA_PP(0);
	aad = aad_argument(fcinfo);
	if (encoding == DBCRYPT_ENCODING_TEXT)
		plaintext = text_to_utf8(value);
	else
		plaintext = (Bytes){(uint8_t *) VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value)};
	result = allocate_result(dbcrypt_envelope_size(encoding, plaintext.size));

	ring = session_ring();
	status = dbcrypt_encrypt(ring, encoding, plaintext.data, plaintext.size, aad.data, aad.size,
							 (uint8_t *) VARDATA(result));
	if (status != DBCRYPT_OK)
		raise_status(status, encoding,
					 dbcrypt_ring_count(ring) > 0 ? dbcrypt_ring_key_id(ring, 0) : NULL, NULL);
	PG_RETURN_POINTER(result);
}

/* The value in an envelope; NULL for NULL. */
static Datum
decrypt_value(FunctionCallInfo fcinfo, dbcrypt_encoding encoding)
{
	struct varlena *envelope;
	struct varlena *result;
	Bytes aad;
	size_t size;
	dbcrypt_status status;

	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	envelope = PG_GETARG_VARLENA_PP(0);
	aad = aad_argument(fcinfo);
	size = VARSIZE_ANY_EXHDR(envelope);
	result = allocate_result(dbcrypt_decrypt_max_size(encoding, size));

	status = dbcrypt_decrypt(session_ring(), encoding, (uint8_t *) VARDATA_ANY(envelope), size,
							 aad.data, aad.size, (uint8_t *) VARDATA(result), &size);
	if (status != DBCRYPT_OK)
		raise_value_status(session_ring(), status, encoding, envelope, NULL);
	SET_VARSIZE(result, size + VARHDRSZ);
	if (encoding == DBCRYPT_ENCODING_TEXT)
		result = utf8_to_text(result);
	PG_RETURN_POINTER(result);
}

/* The envelope under the primary key, itself if it is already; NULL for NULL. */
static Datum
reencrypt_value(FunctionCallInfo fcinfo, dbcrypt_encoding encoding)
{
	struct varlena *envelope;
	struct varlena *result;
	Bytes aad;
	size_t size;
	bool changed;
	dbcrypt_status status;

	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	envelope = PG_GETARG_VARLENA_PP(0);
	aad = aad_argument(fcinfo);
	size = VARSIZE_ANY_EXHDR(envelope);
	result = allocate_result(size);

	status = dbcrypt_reencrypt(session_ring(), encoding, (uint8_t *) VARDATA_ANY(envelope), size,
							   aad.data, aad.size, (uint8_t *) VARDATA(result), &changed);
	if (status != DBCRYPT_OK)
		raise_value_status(session_ring(), status, encoding, envelope, NULL);
	PG_RETURN_POINTER(changed ? result : envelope);
}

/* The key id of an envelope; an error for anything else. */
static Datum
key_id(FunctionCallInfo fcinfo, dbcrypt_encoding encoding)
{
	char id[DBCRYPT_KEY_ID_LEN + 1];
	dbcrypt_status status = value_read_header(PG_GETARG_DATUM(0), encoding, id);

	if (status != DBCRYPT_OK)
		raise_status(status, encoding, NULL, NULL);
	PG_RETURN_TEXT_P(cstring_to_text(id));
}

/* Whether a value has the shape of an envelope of a known or a newer format. */
static Datum
is_encrypted(FunctionCallInfo fcinfo, dbcrypt_encoding encoding)
{
	char id[DBCRYPT_KEY_ID_LEN + 1];

	PG_RETURN_BOOL(value_read_header(PG_GETARG_DATUM(0), encoding, id) != DBCRYPT_NOT_AN_ENVELOPE);
}

Datum
dbcrypt_encrypt_text(PG_FUNCTION_ARGS)
{
	return encrypt_value(fcinfo, DBCRYPT_ENCODING_TEXT);
}

Datum
dbcrypt_encrypt_bytea(PG_FUNCTION_ARGS)
{
	return encrypt_value(fcinfo, DBCRYPT_ENCODING_BINARY);
}

Datum
dbcrypt_decrypt_text(PG_FUNCTION_ARGS)
{
	return decrypt_value(fcinfo, DBCRYPT_ENCODING_TEXT);
}

Datum
dbcrypt_decrypt_bytea(PG_FUNCTION_ARGS)
{
	return decrypt_value(fcinfo, DBCRYPT_ENCODING_BINARY);
}

Datum
dbcrypt_reencrypt_text(PG_FUNCTION_ARGS)
{
	return reencrypt_value(fcinfo, DBCRYPT_ENCODING_TEXT);
}

Datum
dbcrypt_reencrypt_bytea(PG_FUNCTION_ARGS)
{
	return reencrypt_value(fcinfo, DBCRYPT_ENCODING_BINARY);
}

Datum
dbcrypt_key_id_text(PG_FUNCTION_ARGS)
{
	return key_id(fcinfo, DBCRYPT_ENCODING_TEXT);
}

Datum
dbcrypt_key_id_bytea(PG_FUNCTION_ARGS)
{
	return key_id(fcinfo, DBCRYPT_ENCODING_BINARY);
}

Datum
dbcrypt_is_encrypted_text(PG_FUNCTION_ARGS)
{
	return is_encrypted(fcinfo, DBCRYPT_ENCODING_TEXT);
}

Datum
dbcrypt_is_encrypted_bytea(PG_FUNCTION_ARGS)
{
	return is_encrypted(fcinfo, DBCRYPT_ENCODING_BINARY);
}

Datum
dbcrypt_generate_key_sql(PG_FUNCTION_ARGS)
{
	char key[45];
	text *result;
	dbcrypt_status status = dbcrypt_generate_key(key);

	if (status != DBCRYPT_OK)
		raise_status(status, DBCRYPT_ENCODING_TEXT, NULL, NULL);
	result = cstring_to_text(key);
	dbcrypt_cleanse(key, sizeof(key));
	PG_RETURN_TEXT_P(result);
}
