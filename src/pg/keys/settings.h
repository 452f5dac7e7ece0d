/*
 * settings.h
 *		The dbcrypt.* settings.
 */
#ifndef DBCRYPT_SETTINGS_H
#define DBCRYPT_SETTINGS_H

#include "postgres.h"

/* The values of the settings; NULL or empty if not set. */
extern char *setting_keys;
extern char *setting_key_file;
extern char *setting_key_command;
extern int setting_key_command_timeout; /* milliseconds */

/* Whether a ring is loaded that has weak keys. */
extern bool setting_allow_weak_keys;

/* Workers of rotations run only beside fewer parallel workers than this. */
extern int setting_max_workers;

/* How long a worker may spend on checking or searching a database; milliseconds. */
extern int setting_check_timeout;

/*
 * Whether the library was loaded at server start. Otherwise dbcrypt.keys in the
 * configuration was shown by SHOW until the library was loaded.
 */
extern bool library_preloaded;

/* A number, never 0, that changes with dbcrypt.keys, key_file, key_command and allow_weak_keys. */
extern uint64 settings_key_source_changes;

/* Defines the settings; to be called once, when the library is loaded. */
extern void settings_init(void);

/* Whether dbcrypt.decrypt_keys names this key. */
extern bool settings_decrypt_key(const char *key_id);

#endif
