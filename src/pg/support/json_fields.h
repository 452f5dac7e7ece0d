/*
 * json_fields.h
 *		String fields of a JSON text.
 */
#ifndef DBCRYPT_JSON_FIELDS_H
#define DBCRYPT_JSON_FIELDS_H

#include "postgres.h"

/* Returns the new value of a field, or NULL to leave it. Strings end with NUL. */
typedef char *(*JsonFieldReplace)(void *arg, const char *name, const char *value);

/*
 * Returns a JSON text with the values of the string fields that pattern names
 * replaced; NULL if none was. Pattern: $.path.to.field, or an ILIKE pattern for the
 * names of fields of the top level.
 */
extern text *json_fields_replace(text *json, const char *pattern, JsonFieldReplace replace,
								 void *arg);

#endif
