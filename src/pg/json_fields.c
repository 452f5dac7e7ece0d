/*
 * json_fields.c
 *		String fields of a JSON text, found by name or path and replaced in
 *		place: every other byte of the text stays as it was.
 */
#include "postgres.h"

#include "catalog/pg_collation.h"
#include "common/jsonapi.h"
#include "dbcrypt.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/json.h"

/* A walk over one JSON text. */
typedef struct FieldWalk
{
	JsonLexContext *lex;
	const char *pattern;
	StringInfoData path; /* of the field at hand: $.a.b */
	JsonFieldReplace replace;
	void *arg;
	StringInfo output;
	const char *copied; /* up to here the input is in output */
} FieldWalk;

/* A path ($.a.b) names fields exactly; anything else is an ILIKE pattern for names. */
static bool
field_matches(FieldWalk *walk, const char *name)
{
	if (walk->pattern[0] == '$')
		return strcmp(walk->pattern, walk->path.data) == 0;
	return DatumGetBool(DirectFunctionCall2Coll(texticlike, DEFAULT_COLLATION_OID,
												CStringGetTextDatum(name),
												CStringGetTextDatum(walk->pattern)));
}

static COMPAT_JSON_RESULT
field_start(void *state, char *name, bool isnull)
{
	FieldWalk *walk = state;
	char *value;

	appendStringInfo(&walk->path, ".%s", name);
	if (walk->lex->token_type == JSON_TOKEN_STRING && field_matches(walk, name))
	{
		value = walk->replace(walk->arg, name, walk->lex->strval->data);
		if (value)
		{
			appendBinaryStringInfo(walk->output, walk->copied,
								   (int) (walk->lex->token_start - walk->copied));
			escape_json(walk->output, value);
			walk->copied = walk->lex->token_terminator;
		}
	}
	return COMPAT_JSON_OK;
}

static COMPAT_JSON_RESULT
field_end(void *state, char *name, bool isnull)
{
	FieldWalk *walk = state;

	walk->path.len -= (int) strlen(name) + 1;
	walk->path.data[walk->path.len] = '\0';
	return COMPAT_JSON_OK;
}

text *
json_fields_replace(text *json, const char *pattern, JsonFieldReplace replace, void *arg)
{
	StringInfoData output;
	FieldWalk walk = {.pattern = pattern, .replace = replace, .arg = arg, .output = &output};
	JsonSemAction actions = {
		.semstate = &walk, .object_field_start = field_start, .object_field_end = field_end};
	char *start = VARDATA_ANY(json);
	int size = VARSIZE_ANY_EXHDR(json);

	initStringInfo(&output);
	initStringInfo(&walk.path);
	appendStringInfoChar(&walk.path, '$');
	walk.copied = start;
	walk.lex = compat_json_lexer(start, size);
	if (pg_parse_json(walk.lex, &actions) != JSON_SUCCESS)
		elog(ERROR, "column holds no valid JSON");
	if (walk.copied == start)
		return NULL;
	appendBinaryStringInfo(&output, walk.copied, (int) (start + size - walk.copied));
	return cstring_to_text_with_len(output.data, output.len);
}
