/*
 * encoding.c
 *		Text is encrypted as UTF-8, whatever the encoding of the database.
 *
 * PostgreSQL's own conversion errors print the offending bytes, which may be
 * plaintext, so every conversion here runs without errors and reports itself.
 * Conversions come from pg_catalog, never from the caller's search_path.
 */
#include "postgres.h"

#include "catalog/pg_conversion.h"
#include "catalog/pg_namespace.h"
#include "mb/pg_wchar.h"
#include "utils/memutils.h"

#include "core/api/status.h"
#include "support/compat.h"
#include "support/encoding.h"

/*
 * Converts text between two encodings with the conversion of pg_catalog. NULL if a
 * character has no equivalent.
 */
static unsigned char *
convert(const unsigned char *source, size_t size, int from, int to, size_t *converted_size)
{
	Oid conversion = FindDefaultConversion(PG_CATALOG_NAMESPACE, from, to);
	size_t max_size = size * MAX_CONVERSION_GROWTH + 1;
	unsigned char *converted;
	int consumed;

	if (!OidIsValid(conversion))
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_FUNCTION),
						errmsg("no conversion from encoding \"%s\" to \"%s\"",
							   pg_encoding_to_char(from), pg_encoding_to_char(to))));
	max_size = Min(max_size, MaxAllocSize);
	converted = palloc(max_size);
	consumed =
		pg_do_encoding_conversion_buf(conversion, from, to, unconstify(unsigned char *, source),
									  (int) size, converted, (int) max_size, true);
	if ((size_t) consumed != size)
		return NULL;
	*converted_size = strlen((char *) converted);
	return converted;
}

Bytes
text_to_utf8(struct varlena *value)
{
	Bytes utf8 = {(uint8_t *) VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value)};
	int encoding = GetDatabaseEncoding();

	if (encoding == PG_UTF8 || utf8.size == 0)
		return utf8;
	if (encoding == PG_SQL_ASCII)
	{
		if (!pg_verify_mbstr(PG_UTF8, (const char *) utf8.data, (int) utf8.size, true))
			ereport(ERROR, (errcode(ERRCODE_CHARACTER_NOT_IN_REPERTOIRE),
							errmsg("text to encrypt is not valid UTF-8"),
							errhint("Encrypt it as bytea.")));
		return utf8;
	}
	utf8.data = convert(utf8.data, utf8.size, encoding, PG_UTF8, &utf8.size);
	if (utf8.data == NULL)
		ereport(ERROR, (errcode(ERRCODE_UNTRANSLATABLE_CHARACTER),
						errmsg("text to encrypt has a character with no equivalent in UTF-8"),
						errhint("Encrypt it as bytea.")));
	return utf8;
}

struct varlena *
utf8_to_text(struct varlena *utf8)
{
	int encoding = GetDatabaseEncoding();
	size_t size = VARSIZE_ANY_EXHDR(utf8);
	unsigned char *converted;
	struct varlena *result;

	if (!pg_verify_mbstr(PG_UTF8, VARDATA_ANY(utf8), (int) size, true))
		ereport(ERROR, (errcode(ERRCODE_CHARACTER_NOT_IN_REPERTOIRE),
						errmsg("decrypted value is not valid text"),
						errhint("The value was encrypted as bytea: decrypt it as bytea, "
								"with decode(value, 'base64').")));
	if (encoding == PG_UTF8 || encoding == PG_SQL_ASCII || size == 0)
		return utf8;

	converted = convert((unsigned char *) VARDATA_ANY(utf8), size, PG_UTF8, encoding, &size);
	if (converted == NULL)
		ereport(ERROR, (errcode(ERRCODE_UNTRANSLATABLE_CHARACTER),
						errmsg("decrypted value has a character with no equivalent in encoding "
							   "\"%s\"",
							   GetDatabaseEncodingName()),
						errhint("Decrypt it as bytea, with decode(value, 'base64').")));
	result = palloc(size + VARHDRSZ);
	SET_VARSIZE(result, size + VARHDRSZ);
	memcpy(VARDATA(result), converted, size);
	dbcrypt_cleanse(converted, size);
	pfree(converted);
	return result;
}
