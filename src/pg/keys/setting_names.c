/*
 * setting_names.c
 *		Whether a text names a setting of dbcrypt's, in any way that SQL can spell it.
 *
 * A name that a function puts together from pieces at run time is not seen.
 */
#include "postgres.h"

#include "keys/setting_names.h"

/* Bytes that may stand between the parts of a name. More of them count as a name. */
#define LONGEST_GAP 256

static const char prefix[] = "dbcrypt";

/* A text that is looked at from left to right. */
typedef struct Cursor
{
	const char *at;
	const char *end;
} Cursor;

/* Whether this word is here, in letters of any case. */
static bool
is_here(const Cursor *cursor, const char *word)
{
	size_t size = strlen(word);

	return (size_t) (cursor->end - cursor->at) >= size &&
		   pg_strncasecmp(cursor->at, word, size) == 0;
}

/* Skips a comment, if one is here; up to the limit if it has no end. */
static bool
skip_comment(Cursor *cursor, const char *limit)
{
	const char *closing;

	if (is_here(cursor, "/*"))
		closing = "*/";
	else if (is_here(cursor, "--"))
		closing = "\n";
	else
		return false;
	while (cursor->at < limit && !is_here(cursor, closing))
		cursor->at++;
	return true;
}

/*
 * Skips quotes, blanks, comments and operators between the parts of a name. False if
 * there are more than a name has.
 */
static bool
skip_gap(Cursor *cursor)
{
	const char *limit =
		cursor->end - cursor->at > LONGEST_GAP ? cursor->at + LONGEST_GAP : cursor->end;

	while (cursor->at < limit &&
		   (strchr("\"' \t\r\n\f\v|*/", *cursor->at) != NULL || is_here(cursor, "--")))
		if (!skip_comment(cursor, limit))
			cursor->at++;
	return cursor->at < limit || limit == cursor->end;
}

/* What the name is that begins with the word dbcrypt before the cursor. */
static SettingNaming
naming_after_prefix(Cursor cursor)
{
	if (!skip_gap(&cursor))
		return NAMES_KEYS;
	if (cursor.at >= cursor.end || *cursor.at != '.')
		return NAMES_NOTHING;
	cursor.at++;
	if (!skip_gap(&cursor))
		return NAMES_KEYS;
	if (!is_here(&cursor, "key"))
		return NAMES_SETTING;
	cursor.at += strlen("key");
	return cursor.at < cursor.end && *cursor.at == '_' ? NAMES_SETTING : NAMES_KEYS;
}

SettingNaming
setting_naming(const char *text, size_t size)
{
	SettingNaming naming = NAMES_NOTHING;
	Cursor cursor = {text, text + size};

	for (; cursor.at < cursor.end && naming != NAMES_KEYS; cursor.at++)
	{
		char letter = *cursor.at | 0x20;

		if (letter == 'd' && is_here(&cursor, prefix))
			naming =
				Max(naming, naming_after_prefix((Cursor){cursor.at + strlen(prefix), cursor.end}));
		else if (letter == 'u' && (is_here(&cursor, "u&\"") || is_here(&cursor, "u&'")))
			naming = Max(naming, NAMES_SETTING); /* escapes may spell any name */
	}
	return naming;
}
