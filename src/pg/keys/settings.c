/*
 * settings.c
 *		The dbcrypt.* settings: a check hook parses and refuses, an assign hook
 *		only counts the change, for the session's ring to notice.
 *
 * A refused value is never printed: each check hook sets its own message.
 */
#include "postgres.h"

#include <limits.h>

#include "lib/stringinfo.h"

#include "miscadmin.h"
#include "utils/guc.h"

#include "core/api/keyring.h"
#include "core/api/status.h"
#include "keys/log_masking.h"
#include "keys/settings.h"

char *setting_keys = NULL;
char *setting_key_file = NULL;
char *setting_key_command = NULL;
static char *setting_decrypt_keys = NULL;
bool setting_allow_weak_keys = false;
int setting_key_command_timeout = 30000;
int setting_max_workers = 4;
int setting_check_timeout = 3600000;

bool library_preloaded = false;

uint64 settings_key_source_changes = 1;

/* Says why a list of keys is refused; of the keys, only where a bad one is. */
static void
explain_bad_keys(dbcrypt_status status, int line)
{
	GUC_check_errcode(ERRCODE_INVALID_PARAMETER_VALUE);
	if (status == DBCRYPT_BAD_KEY)
	{
		GUC_check_errmsg("invalid key in dbcrypt.keys");
		GUC_check_errdetail("Key %d is neither 64 hex digits nor the base64 of 32 bytes.", line);
		GUC_check_errhint("A key that is text, as GitLab's db_key_base is, is written after "
						  "\"text:\"; one with white space, commas or quotes only in "
						  "dbcrypt.key_file.");
	}
	else if (status == DBCRYPT_KEY_TEXTS_DIFFER)
		GUC_check_errmsg("a key is in dbcrypt.keys twice, with different texts");
	else
		GUC_check_errmsg("could not read dbcrypt.keys");
}

/*
 * Accepts a list of keys, but only from sources that other roles cannot read. Keeps
 * nothing of it: the ring is loaded when it is first needed. Weak keys are refused
 * there, because no order is certain in which settings are set.
 */
static bool
check_keys(char **newval, void **extra, GucSource source)
{
	dbcrypt_ring *ring;
	dbcrypt_source_error error;
	dbcrypt_status status;

	if (*newval == NULL || **newval == '\0')
		return true;

	dbcrypt_forbid_core_dump();
	mask_activity();
	switch (source)
	{
		case PGC_S_TEST: /* ALTER ROLE, ALTER DATABASE, CREATE FUNCTION … SET */
		case PGC_S_GLOBAL:
		case PGC_S_DATABASE:
		case PGC_S_USER:
		case PGC_S_DATABASE_USER:
			GUC_check_errcode(ERRCODE_FEATURE_NOT_SUPPORTED);
			GUC_check_errmsg("dbcrypt.keys cannot be set for a role, a database or a function");
			GUC_check_errdetail("Every role can read such settings.");
			GUC_check_errhint("Use dbcrypt.key_file.");
			return false;
		case PGC_S_DYNAMIC_DEFAULT:
		case PGC_S_ENV_VAR:
		case PGC_S_FILE:
		case PGC_S_ARGV:
			if (library_preloaded)
				break;
			GUC_check_errcode(ERRCODE_FEATURE_NOT_SUPPORTED);
			GUC_check_errmsg("dbcrypt.keys in the server's configuration needs "
							 "shared_preload_libraries = 'dbcrypt'");
			GUC_check_errdetail("Without it every role can read the keys with SHOW until the "
								"library is loaded.");
			GUC_check_errhint("Use dbcrypt.key_file, or add dbcrypt to shared_preload_libraries.");
			return false;
		default:
			break;
	}

	ring = dbcrypt_ring_new(true);
	status =
		ring ? dbcrypt_ring_add_list(ring, *newval, strlen(*newval), &error) : DBCRYPT_NO_MEMORY;
	dbcrypt_ring_free(ring);
	if (status == DBCRYPT_OK)
		return true;

	explain_bad_keys(status, error.line);
	return false;
}

/* SHOW prints the ids of the keys, in order, never the keys. */
static const char *
show_keys(void)
{
	StringInfoData ids;
	dbcrypt_ring *ring;
	dbcrypt_source_error error;

	initStringInfo(&ids);
	ring = dbcrypt_ring_new(true);
	if (ring && setting_keys &&
		dbcrypt_ring_add_list(ring, setting_keys, strlen(setting_keys), &error) == DBCRYPT_OK)
		for (size_t i = 0; i < dbcrypt_ring_count(ring); i++)
			appendStringInfo(&ids, "%s%s", i > 0 ? "," : "", dbcrypt_ring_key_id(ring, i));
	dbcrypt_ring_free(ring);
	return ids.data;
}

/* A path must be absolute or empty; the file is read when it is first needed. */
static bool
check_key_file(char **newval, void **extra, GucSource source)
{
	if (*newval == NULL || **newval == '\0' || is_absolute_path(*newval))
		return true;
	GUC_check_errmsg("dbcrypt.key_file must be an absolute path");
	return false;
}

/*
 * The next key id of a comma-separated list, of DBCRYPT_KEY_ID_LEN characters,
 * and what follows it in *list; NULL at the end or where there is none.
 */
static const char *
next_key_id(const char **list)
{
	const char *id = *list + strspn(*list, " \t\n");
	const char *end = id + strspn(id, "0123456789abcdef");

	if (end - id != DBCRYPT_KEY_ID_LEN)
		return NULL;
	end += strspn(end, " \t\n");
	if (*end != ',' && *end != '\0')
		return NULL;
	*list = *end == ',' ? end + 1 : end;
	return id;
}

bool
settings_decrypt_key(const char *key_id)
{
	const char *list = setting_decrypt_keys ? setting_decrypt_keys : "";
	const char *id;

	while ((id = next_key_id(&list)) != NULL)
		if (strncmp(id, key_id, DBCRYPT_KEY_ID_LEN) == 0)
			return true;
	return false;
}

/* Accepts a list of key ids. Prints no value: someone may write a key by mistake. */
static bool
check_decrypt_keys(char **newval, void **extra, GucSource source)
{
	const char *list = *newval;

	if (list == NULL)
		return true;
	while (*list != '\0')
		if (next_key_id(&list) == NULL)
		{
			GUC_check_errmsg("invalid list of key ids in dbcrypt.decrypt_keys");
			GUC_check_errdetail("A key id is %d hex digits in lower case.", DBCRYPT_KEY_ID_LEN);
			GUC_check_errhint("dbcrypt_key_status has the ids of all keys.");
			return false;
		}
	return true;
}

/* Assign hook of every setting that says where keys come from. */
static void
assign_source(const char *newval, void *extra)
{
	settings_key_source_changes++;
}

/* The same of the setting that says which of them are taken. */
static void
assign_allow_weak_keys(bool newval, void *extra)
{
	settings_key_source_changes++;
}

void
settings_init(void)
{
	library_preloaded = process_shared_preload_libraries_in_progress;

	DefineCustomBoolVariable(
		"dbcrypt.allow_weak_keys", "Takes keys of 32 equal bytes or of a short text.",
		"Only to rotate away from such a key of an application.", &setting_allow_weak_keys, false,
		PGC_SUSET, 0, NULL, assign_allow_weak_keys, NULL);
	DefineCustomIntVariable("dbcrypt.check_timeout",
							"Longest time that a background check or search of one database takes.",
							"Then it is ended, and the database said to be passed over.",
							&setting_check_timeout, 3600000, 100, INT_MAX, PGC_SIGHUP, GUC_UNIT_MS,
							NULL, NULL, NULL);
	DefineCustomStringVariable("dbcrypt.decrypt_keys",
							   "Ids of the keys that dbcrypt_decrypt_column() may decrypt.",
							   "Comma-separated.", &setting_decrypt_keys, "", PGC_USERSET,
							   GUC_LIST_INPUT, check_decrypt_keys, NULL, NULL);
	DefineCustomStringVariable(
		"dbcrypt.key_command", "Shell command that prints what a key file holds.",
		"Run by every session at its first use and after a reload.", &setting_key_command, "",
		PGC_SIGHUP, GUC_SUPERUSER_ONLY, NULL, assign_source, NULL);
	DefineCustomIntVariable("dbcrypt.key_command_timeout",
							"Longest time that dbcrypt.key_command may take.",
							"Its processes are then ended.", &setting_key_command_timeout, 30000,
							100, INT_MAX, PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomStringVariable(
		"dbcrypt.key_file", "File of encryption keys, one a line, the first primary.",
		"Or exactly 32 raw bytes, or a directory of encryption-key-N files.", &setting_key_file, "",
		PGC_SUSET, GUC_SUPERUSER_ONLY, check_key_file, assign_source, NULL);
	DefineCustomStringVariable(
		"dbcrypt.keys", "Comma-separated encryption keys, the first primary.",
		"Shown as key ids. dbcrypt.key_file is safer.", &setting_keys, "", PGC_SUSET,
		GUC_NO_SHOW_ALL | GUC_NOT_IN_SAMPLE | GUC_DISALLOW_IN_AUTO_FILE, check_keys, assign_source,
		show_keys);
	DefineCustomIntVariable(
		"dbcrypt.max_workers",
		"Workers of rotations are started only while fewer parallel workers run.",
		"Counted for the whole server, with those of PostgreSQL's own.", &setting_max_workers, 4, 0,
		1024, PGC_SIGHUP, 0, NULL, NULL, NULL);
	MarkGUCPrefixReserved("dbcrypt");
}
