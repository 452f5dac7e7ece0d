/*
 * json_fields.h
 *		String fields of a JSON text.
 */
#ifndef DBCRYPT_JSON_FIELDS_H
#define DBCRYPT_JSON_FIELDS_H

#include "postgres.h"

/* What a field's value becomes; NULL leaves it. Both names are NUL-terminated. */
typedef char *(*JsonFieldReplace)(void *arg, const char *name, const char *value);

/*
 * A JSON text with the string fields that pattern names replaced; NULL if none
 * was. Pattern: $.path.to.field, or an ILIKE pattern for field names.
 */
extern text *json_fields_replace(text *json, const char *pattern, JsonFieldReplace replace,
								 void *arg);

#endif
