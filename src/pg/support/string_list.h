/*
 * string_list.h
 *		Lists of strings (char *).
 */
#ifndef DBCRYPT_STRING_LIST_H
#define DBCRYPT_STRING_LIST_H

#include "nodes/pg_list.h"

/* Whether a list has a string. */
extern bool string_list_has(const List *strings, const char *string);

/* Appends a copy of a string, unless the list has it. */
extern List *string_list_add(List *strings, const char *string);

#endif
