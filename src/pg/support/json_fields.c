/*
 * json_fields.c
 *		String fields of a JSON text, found by name or path and replaced in
 *		place: every other byte of the text stays as it was.
 */
#include "postgres.h"

#include "catalog/pg_collation.h"
#include "common/jsonapi.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/json.h"

#include "support/compat.h"
#include "support/json_fields.h"

/* A walk over one JSON text. */
typedef struct FieldWalk
{
	JsonLexContext *lex;
	const char *lexed; /* what the lexer reads: the text, its \\u0000 made \\u0001 */
	const char *text;
	const char *pattern;
	StringInfoData path; /* of the field at hand: $.a.b */
	JsonFieldReplace replace;
	void *arg;
	StringInfo output;
	const char *copied; /* up to here lexed is in output, as text has it */
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

/* Copies the text up to a place of what the lexer reads. */
static void
copy_text(FieldWalk *walk, const char *to)
{
	appendBinaryStringInfo(walk->output, walk->text + (walk->copied - walk->lexed),
						   (int) (to - walk->copied));
	walk->copied = to;
}

/* Refuses a field that no text value can hold, rather than change it. */
static void
check_no_zero(FieldWalk *walk, const char *name)
{
	const char *start = walk->lex->token_start;

	if (memcmp(start, walk->text + (start - walk->lexed), walk->lex->token_terminator - start) != 0)
		ereport(ERROR, (errcode(ERRCODE_UNTRANSLATABLE_CHARACTER),
						errmsg("JSON field \"%s\" holds \\u0000, which no text can hold", name)));
}

static COMPAT_JSON_RESULT
field_start(void *state, char *name, bool isnull)
{
	FieldWalk *walk = state;
	char *value;

	appendStringInfo(&walk->path, ".%s", name);
	if (walk->lex->token_type == JSON_TOKEN_STRING && field_matches(walk, name))
	{
		check_no_zero(walk, name);
		value = walk->replace(walk->arg, name, walk->lex->strval->data);
		if (value)
		{
			copy_text(walk, walk->lex->token_start);
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

/* A copy that the lexer can read strings of: \\u0000 has become \\u0001. */
static char *
lexable_copy(const char *text, int size)
{
	char *copy = pnstrdup(text, size);

	for (char *at = copy; at < copy + size; at++)
		if (*at == '\\')
		{
			if (copy + size - at >= 6 && memcmp(at, "\\u0000", 6) == 0)
				at[5] = '1';
			at++;
		}
	return copy;
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
	walk.text = start;
	walk.lexed = walk.copied = lexable_copy(start, size);
	walk.lex = compat_json_lexer(unconstify(char *, walk.lexed), size);
	if (pg_parse_json(walk.lex, &actions) != JSON_SUCCESS)
		elog(ERROR, "column holds no valid JSON");
	if (walk.copied == walk.lexed)
		return NULL;
	copy_text(&walk, walk.lexed + size);
	return cstring_to_text_with_len(output.data, output.len);
}
