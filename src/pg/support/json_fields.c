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

/* The state of one pass over a JSON text. */
typedef struct FieldSearch
{
	JsonLexContext *lex;
	const char *lexed; /* what the lexer reads: the text with \\u0001 for \\u0000 */
	const char *text;
	const char *pattern;
	StringInfoData path; /* of the current field: $.a.b */
	JsonFieldReplace replace;
	void *arg;
	StringInfo output;
	const char *copied; /* place in lexed: the text before it is in output already */
} FieldSearch;

/*
 * A path ($.a.b) names fields exactly; anything else is an ILIKE pattern for the names of
 * fields of the top level.
 */
static bool
field_matches(FieldSearch *search, const char *name)
{
	if (search->pattern[0] == '$')
		return strcmp(search->pattern, search->path.data) == 0;
	return search->lex->lex_level == 1 &&
		   DatumGetBool(DirectFunctionCall2Coll(texticlike, DEFAULT_COLLATION_OID,
												CStringGetTextDatum(name),
												CStringGetTextDatum(search->pattern)));
}

/* Copies the text up to a place of lexed into the output. */
static void
copy_text(FieldSearch *search, const char *to)
{
	appendBinaryStringInfo(search->output, search->text + (search->copied - search->lexed),
						   (int) (to - search->copied));
	search->copied = to;
}

/* Refuses a field that contains \\u0000: as a text value it would be another. */
static void
check_no_zero(FieldSearch *search, const char *name)
{
	const char *start = search->lex->token_start;

	if (memcmp(start, search->text + (start - search->lexed),
			   search->lex->token_terminator - start) != 0)
		ereport(ERROR, (errcode(ERRCODE_UNTRANSLATABLE_CHARACTER),
						errmsg("JSON field \"%s\" contains \\u0000", name),
						errdetail("A value of type text cannot contain it.")));
}

/* The parser is at the start of a field: replaces its value if the pattern names it. */
static COMPAT_JSON_RESULT
field_start(void *state, char *name, bool isnull)
{
	FieldSearch *search = state;
	char *value;

	appendStringInfo(&search->path, ".%s", name);
	if (search->lex->token_type == JSON_TOKEN_STRING && field_matches(search, name))
	{
		check_no_zero(search, name);
		value = search->replace(search->arg, name, search->lex->strval->data);
		if (value)
		{
			copy_text(search, search->lex->token_start);
			escape_json(search->output, value);
			search->copied = search->lex->token_terminator;
		}
	}
	return COMPAT_JSON_OK;
}

/* The parser is at the end of a field: its name leaves the path. */
static COMPAT_JSON_RESULT
field_end(void *state, char *name, bool isnull)
{
	FieldSearch *search = state;

	search->path.len -= (int) strlen(name) + 1;
	search->path.data[search->path.len] = '\0';
	return COMPAT_JSON_OK;
}

/* A copy of the text that the lexer accepts: with \\u0001 for \\u0000. */
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
	FieldSearch search = {.pattern = pattern, .replace = replace, .arg = arg, .output = &output};
	JsonSemAction actions = {
		.semstate = &search, .object_field_start = field_start, .object_field_end = field_end};
	char *start = VARDATA_ANY(json);
	int size = VARSIZE_ANY_EXHDR(json);

	initStringInfo(&output);
	initStringInfo(&search.path);
	appendStringInfoChar(&search.path, '$');
	search.text = start;
	search.lexed = search.copied = lexable_copy(start, size);
	search.lex = compat_json_lexer(unconstify(char *, search.lexed), size);
	if (pg_parse_json(search.lex, &actions) != JSON_SUCCESS)
		elog(ERROR, "invalid JSON in column");
	if (search.copied == search.lexed)
		return NULL;
	copy_text(&search, search.lexed + size);
	return cstring_to_text_with_len(output.data, output.len);
}
