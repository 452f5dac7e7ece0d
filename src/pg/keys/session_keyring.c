/*
 * session_keyring.c
 *		The session's key ring: read from the settings, kept until they or the
 *		key file change, and marked with what dbcrypt_keys says of each key.
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "utils/inval.h"

#include "core/api/keyring.h"
#include "core/api/status.h"
#include "core/api/value.h"
#include "keys/key_catalog.h"
#include "keys/key_command.h"
#include "keys/loaded_ring.h"
#include "keys/session_keyring.h"
#include "keys/settings.h"
#include "support/compat.h"
#include "support/errors.h"

/*
 * What the loaded ring was read from: the number of the settings' last change, and
 * the stamp of the key file.
 */
static uint64 sources_read = 0;
static uint64 key_file_stamp = 0;

/*
 * Start of the statement, and the transaction, that last looked for changes of the key
 * file and dbcrypt_keys. A procedure's statement has many transactions.
 */
static TimestampTz looked_at = 0;
static LocalTransactionId looked_in = InvalidLocalTransactionId;

/*
 * dbcrypt_keys, how often it changed as far as this session has heard, and the
 * number of the change that the ring's states reflect.
 */
static Oid keys_relid = InvalidOid;
static uint64 keys_changes = 1;
static uint64 states_read = 0;

/* Throws that one key of a source is no key, or a weak one; never shows it. */
pg_noreturn static void
raise_key(dbcrypt_status status, const char *setting, const char *name,
		  const dbcrypt_source_error *error)
{
	const char *source = name ? psprintf("\"%s\"", name) : "what it printed";
	const char *place = error->line > 0 ? psprintf("Line %d of %s", error->line, source)
										: psprintf("The key in %s", source);

	if (strcmp(setting, "dbcrypt.keys") == 0)
		place = psprintf("Key %d", error->line);
	if (status == DBCRYPT_BAD_KEY)
		ereport(ERROR, (errcode(ERRCODE_CONFIG_FILE_ERROR), errmsg("invalid key in %s", setting),
						errdetail("%s is neither 64 hex digits nor the base64 of 32 bytes.", place),
						errhint("A key that is text, as GitLab's db_key_base is, is written after "
								"\"text:\".")));
	ereport(ERROR,
			(errcode(ERRCODE_CONFIG_FILE_ERROR), errmsg("weak key in %s", setting),
			 errdetail("%s is 32 equal bytes, or a text of fewer than 32 characters.", place),
			 errhint("Make keys with openssl rand -hex 32. To rotate away from a weak key, "
					 "set dbcrypt.allow_weak_keys, or write text-short: before a short "
					 "db_key_base.")));
}

/* Throws the error of a key source: a file, a directory, or with path NULL a command. */
pg_noreturn static void
raise_source(dbcrypt_status status, const char *setting, const char *path,
			 const dbcrypt_source_error *error)
{
	const char *name = path;

	if (path && error->file[0])
		name = psprintf("%s/%s", path, error->file);
	switch (status)
	{
		case DBCRYPT_BAD_KEY:
		case DBCRYPT_WEAK_KEY:
			raise_key(status, setting, name, error);
		case DBCRYPT_KEY_FILE_MISSING:
			ereport(ERROR, (errcode(ERRCODE_CONFIG_FILE_ERROR),
							errmsg("key file \"%s\" does not exist", name),
							errhint("Create it, or correct %s.", setting)));
			break;
		case DBCRYPT_KEY_FILE_NOT_REGULAR:
			ereport(ERROR, (errcode(ERRCODE_CONFIG_FILE_ERROR),
							errmsg("key file \"%s\" is not a regular file", name)));
			break;
		case DBCRYPT_KEY_FILE_OWNER:
			ereport(ERROR,
					(errcode(ERRCODE_CONFIG_FILE_ERROR),
					 errmsg("key file \"%s\" must be owned by the database user or root", name)));
			break;
		case DBCRYPT_KEY_FILE_PERMISSIONS:
			ereport(ERROR, (errcode(ERRCODE_CONFIG_FILE_ERROR),
							errmsg("key file \"%s\" has group or world access", name),
							errdetail("File must have permissions u=rw (0600) or less if owned by "
									  "the database user, or permissions u=rw,g=r (0640) or less "
									  "if owned by root.")));
			break;
		case DBCRYPT_KEY_FILE_EMPTY:
			ereport(ERROR, (errcode(ERRCODE_CONFIG_FILE_ERROR),
							name ? errmsg("%s \"%s\" contains no key", setting, name)
								 : errmsg("%s printed no key", setting)));
			break;
		case DBCRYPT_KEY_FILE_UNREADABLE:
			ereport(ERROR, (errcode(ERRCODE_CONFIG_FILE_ERROR),
							errmsg("could not read key file \"%s\": %m", name)));
			break;
		default:
			break;
	}
	raise_status(status, DBCRYPT_ENCODING_TEXT, NULL, NULL);
}

/* Adds the keys of every source to a ring; returns the stamp of the key file, 0 for none. */
static uint64
read_sources(dbcrypt_ring *ring)
{
	const char *list = setting_keys ? setting_keys : "";
	const char *path = setting_key_file ? setting_key_file : "";
	const char *command = setting_key_command ? setting_key_command : "";
	dbcrypt_source_error error = {0};
	dbcrypt_status status;
	uint64 stamp = 0;

	status = dbcrypt_ring_add_list(ring, list, strlen(list), &error);
	if (status != DBCRYPT_OK)
		raise_source(status, "dbcrypt.keys", "dbcrypt.keys", &error);
	if (path[0] != '\0')
	{
		stamp = dbcrypt_file_stamp(path);
		status = dbcrypt_ring_add_file(ring, path, &error);
		if (status != DBCRYPT_OK)
			raise_source(status, "dbcrypt.key_file", path, &error);
	}
	if (command[0] != '\0')
	{
		status = key_command_add(ring, command, &error);
		if (status != DBCRYPT_OK)
			raise_source(status, "dbcrypt.key_command", NULL, &error);
	}
	return stamp;
}

/* Frees a ring that could not be loaded, as a callback of PG_ENSURE_ERROR_CLEANUP. */
static void
free_ring(int code, Datum ring)
{
	dbcrypt_ring_free((dbcrypt_ring *) DatumGetPointer(ring));
}

/*
 * Reads every source into a new ring, which takes the place of the loaded one. After
 * an error the loaded one stays. Not for the postmaster: its children would find zeros
 * in the ring.
 */
static void
read_ring(void)
{
	dbcrypt_ring *ring;
	uint64 changes = settings_key_source_changes;
	uint64 stamp;

	Assert(IsUnderPostmaster || !IsPostmasterEnvironment);
	dbcrypt_forbid_core_dump();
	ring = dbcrypt_ring_new(setting_allow_weak_keys);
	if (ring == NULL)
		raise_status(DBCRYPT_NO_MEMORY, DBCRYPT_ENCODING_TEXT, NULL, NULL);
	PG_ENSURE_ERROR_CLEANUP(free_ring, PointerGetDatum(ring));
	{
		stamp = read_sources(ring);
	}
	PG_END_ENSURE_ERROR_CLEANUP(free_ring, PointerGetDatum(ring));
	loaded_ring_replace(ring);
	key_file_stamp = stamp;
	sources_read = changes;
	states_read = 0;
}

/* Relation cache callback: dbcrypt_keys changed, or everything did. */
static void
keys_changed(Datum arg, Oid relid)
{
	if (relid == InvalidOid || relid == keys_relid || keys_relid == InvalidOid)
		keys_changes++;
}

uint64
session_keys_changes(void)
{
	return keys_changes;
}

void
session_init(void)
{
	CacheRegisterRelcacheCallback(keys_changed, (Datum) 0);
}

/* Whether the key file is another than the one that was read; costs a stat. */
static bool
key_file_changed(void)
{
	return setting_key_file && setting_key_file[0] != '\0' &&
		   dbcrypt_file_stamp(setting_key_file) != key_file_stamp;
}

dbcrypt_ring *
session_ring(void)
{
	TimestampTz statement = GetCurrentStatementStartTimestamp();
	LocalTransactionId transaction = COMPAT_LOCAL_TRANSACTION;
	bool looked = looked_at == statement && looked_in == transaction;

	if (likely(sources_read == settings_key_source_changes && states_read == keys_changes &&
			   looked))
		return loaded_ring();

	if (!looked)
	{
		AcceptInvalidationMessages();
		dbcrypt_drop_nonces();
	}
	if (sources_read != settings_key_source_changes || (!looked && key_file_changed()))
		read_ring();
	while (states_read != keys_changes)
	{
		uint64 changes = keys_changes; /* more may arrive meanwhile */

		keys_relid = catalog_read_key_states(loaded_ring());
		states_read = changes;
	}
	looked_at = statement;
	looked_in = transaction;
	return loaded_ring();
}
