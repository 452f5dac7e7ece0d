/*
 * options.c
 *		Schemes by name, and the options of an adopted column as dbcrypt_columns
 *		keeps them.
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/json.h"
#include "utils/jsonb.h"

#include "columns/options.h"
#include "core/api/scheme.h"

/* The fields of ColumnOptions by the names that they are stored under. */
static const struct
{
	const char *name;
	size_t offset;
} fields[] = {
	{"attribute", offsetof(ColumnOptions, attribute)},
	{"attribute_expression", offsetof(ColumnOptions, attribute_expression)},
	{"companion", offsetof(ColumnOptions, companion)},
	{"json", offsetof(ColumnOptions, json)},
	{"key", offsetof(ColumnOptions, key)},
	{"plaintext", offsetof(ColumnOptions, plaintext)},
	{"salt", offsetof(ColumnOptions, salt)},
	{"table", offsetof(ColumnOptions, table)},
	{"where", offsetof(ColumnOptions, where)},
};

/* The field that is an array of names. */
#define IGNORE_TRIGGERS "ignore_triggers"

/* Field i of the options. */
static char **
field(ColumnOptions *options, int i)
{
	return (char **) ((char *) options + fields[i].offset);
}

const dbcrypt_scheme *
scheme_native(void)
{
	static const dbcrypt_scheme *native = NULL;

	if (native == NULL)
		native = dbcrypt_scheme_find("native");
	return native;
}

const dbcrypt_scheme *
scheme_named(const char *name)
{
	const dbcrypt_scheme *scheme = dbcrypt_scheme_find(name);
	StringInfoData names;

	if (scheme)
		return scheme;
	initStringInfo(&names);
	for (size_t i = 0; dbcrypt_scheme_at(i); i++)
		appendStringInfo(&names, "%s%s", i > 0 ? ", " : "",
						 dbcrypt_scheme_traits_of(dbcrypt_scheme_at(i))->name);
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("unknown scheme \"%s\"", name),
					errhint("Schemes are: %s.", names.data)));
}

char *
options_attribute(const char *name)
{
	static const char suffix[] = "_ciphertext";
	size_t size = strlen(name);

	if (size >= sizeof(suffix) - 1 && strcmp(name + size - (sizeof(suffix) - 1), suffix) == 0)
		return pstrdup(name);
	return psprintf("%s%s", name, suffix);
}

bool
options_is_companion(const ColumnOptions *options, const char *column)
{
	return (options->companion && strcmp(options->companion, column) == 0) ||
		   (options->salt && strcmp(options->salt, column) == 0);
}

bool
options_plaintext_is_text(const ColumnOptions *options, dbcrypt_encoding encoding)
{
	return options->plaintext ? strcmp(options->plaintext, "text") == 0
							  : encoding == DBCRYPT_ENCODING_TEXT;
}

/* The strings of an array. */
static List *
read_names(JsonbValue *array)
{
	List *names = NIL;
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	JsonbValue item;

	if (array->type != jbvBinary)
		return NIL;
	iterator = JsonbIteratorInit(array->val.binary.data);
	while ((token = JsonbIteratorNext(&iterator, &item, true)) != WJB_DONE)
		if (token == WJB_ELEM && item.type == jbvString)
			names = lappend(names, pnstrdup(item.val.string.val, item.val.string.len));
	return names;
}

/* Appends a field that is an array of names. */
static void
append_names(StringInfo json, const char *separator, const char *name, const List *names)
{
	ListCell *cell;

	appendStringInfo(json, "%s\"%s\":[", separator, name);
	foreach(cell, names)
	{
		appendStringInfoString(json, foreach_current_index(cell) > 0 ? "," : "");
		escape_json(json, lfirst(cell));
	}
	appendStringInfoChar(json, ']');
}

void
options_read(Jsonb *stored, ColumnOptions *options)
{
	JsonbValue triggers;

	memset(options, 0, sizeof(*options));
	for (size_t i = 0; i < lengthof(fields); i++)
	{
		JsonbValue found;

		if (getKeyJsonValueFromContainer(&stored->root, fields[i].name,
										 (int) strlen(fields[i].name), &found) &&
			found.type == jbvString)
			*field(options, i) = pnstrdup(found.val.string.val, found.val.string.len);
	}
	if (getKeyJsonValueFromContainer(&stored->root, IGNORE_TRIGGERS, strlen(IGNORE_TRIGGERS),
									 &triggers))
		options->ignore_triggers = read_names(&triggers);
}

ColumnOptions
options_copy(const ColumnOptions *options)
{
	ColumnOptions copy = {0};
	ListCell *cell;

	for (size_t i = 0; i < lengthof(fields); i++)
	{
		const char *value = *field(unconstify(ColumnOptions *, options), i);

		*field(&copy, i) = value ? pstrdup(value) : NULL;
	}
	foreach(cell, options->ignore_triggers)
		copy.ignore_triggers = lappend(copy.ignore_triggers, pstrdup(lfirst(cell)));
	return copy;
}

Datum
options_write(const ColumnOptions *options)
{
	StringInfoData json;
	const char *separator = "";

	initStringInfo(&json);
	appendStringInfoChar(&json, '{');
	for (size_t i = 0; i < lengthof(fields); i++)
	{
		const char *value = *field(unconstify(ColumnOptions *, options), i);

		if (value == NULL)
			continue;
		appendStringInfo(&json, "%s\"%s\":", separator, fields[i].name);
		escape_json(&json, value);
		separator = ",";
	}
	if (options->ignore_triggers)
		append_names(&json, separator, IGNORE_TRIGGERS, options->ignore_triggers);
	appendStringInfoChar(&json, '}');
	return DirectFunctionCall1(jsonb_in, CStringGetDatum(json.data));
}
