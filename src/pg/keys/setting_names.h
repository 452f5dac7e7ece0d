/*
 * setting_names.h
 *		Whether a text names a setting of dbcrypt's, in any way that SQL can spell it.
 */
#ifndef DBCRYPT_SETTING_NAMES_H
#define DBCRYPT_SETTING_NAMES_H

#include "postgres.h"

/* In the order of what must be masked. */
typedef enum SettingNaming
{
	NAMES_NOTHING,
	NAMES_SETTING, /* dbcrypt.something, or what cannot be told: whole keys are masked */
	NAMES_KEYS	   /* dbcrypt.keys or key: whatever could be a key or a part of one */
} SettingNaming;

/* What the first size bytes of a text name. Takes time in proportion to size. */
extern SettingNaming setting_naming(const char *text, size_t size);

#endif
