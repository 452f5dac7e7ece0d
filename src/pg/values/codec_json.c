/*
 * codec_json.c
 *		JSON columns: each string field that the column's pattern names is a cell
 *		of its own.
 */
#include "postgres.h"

#include "utils/builtins.h"

#include "support/json_fields.h"
#include "values/codec.h"
#include "values/codec_json.h"

/* What a field needs to become a cell. */
typedef struct JsonWork
{
	ColumnCodec *codec;
	JsonCellFunction function;
	void *arg;
} JsonWork;

/* The JsonFieldReplace that passes a field on as a cell. */
static char *
replace_field(void *arg, const char *name, const char *value)
{
	JsonWork *work = arg;
	dbcrypt_cell cell = {.value = (const uint8_t *) value, .value_size = strlen(value)};

	if (work->codec->attribute_per_field)
		codec_set_attribute(work->codec, name);
	return work->function(work->codec, &cell, work->arg);
}

text *
codec_replace_json(ColumnCodec *codec, const dbcrypt_cell *json, JsonCellFunction function,
				   void *arg)
{
	JsonWork work = {.codec = codec, .function = function, .arg = arg};
	MemoryContext caller = MemoryContextSwitchTo(codec->econtext->ecxt_per_tuple_memory);
	text *result = json_fields_replace(
		cstring_to_text_with_len((const char *) json->value, (int) json->value_size), codec->json,
		replace_field, &work);

	MemoryContextSwitchTo(caller);
	return result;
}
