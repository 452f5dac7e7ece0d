/*
 * string_list.c
 *		Lists of strings (char *).
 */
#include "postgres.h"

#include "support/string_list.h"

bool
string_list_has(const List *strings, const char *string)
{
	const ListCell *cell;

	foreach(cell, strings)
		if (strcmp(lfirst(cell), string) == 0)
			return true;
	return false;
}

List *
string_list_add(List *strings, const char *string)
{
	return string_list_has(strings, string) ? strings : lappend(strings, pstrdup(string));
}
