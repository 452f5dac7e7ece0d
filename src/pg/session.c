/*
 * session.c
 *		The session's key ring: read from the settings, kept until they or the
 *		key file change, and marked with what dbcrypt_keys says of each key.
 */
#include "postgres.h"

#include "access/xact.h"
#include "dbcrypt.h"
#include "miscadmin.h"
#include "storage/fd.h"
#include "utils/inval.h"

static dbcrypt_ring *ring = NULL;
static bool ring_stale = true;
static uint64 key_file_stamp = 0;

/* Start of the statement that last looked for changes. */
static TimestampTz looked_at = 0;

/*
 * dbcrypt_keys, how often it changed as far as this session has heard, and the
 * number of the change that the ring's states reflect.
 */
static Oid keys_relid = InvalidOid;
static uint64 keys_changes = 1;
static uint64 states_read = 0;

/* Throws for a key source that could not be read. */
pg_noreturn static void
raise_source(dbcrypt_status status, const char *setting, const char *path,
			 const dbcrypt_source_error *error)
{
	char *name = error->file[0] ? psprintf("%s/%s", path, error->file) : pstrdup(path);

	switch (status)
	{
		case DBCRYPT_BAD_KEY:
			ereport(ERROR,
					(errcode(ERRCODE_CONFIG_FILE_ERROR), errmsg("invalid key in %s", setting),
					 errdetail("\"%s\", line %d: neither 64 hex digits nor the base64 of 32 "
							   "bytes.",
							   name, error->line)));
			break;
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
							errmsg("%s \"%s\" holds no key", setting, name)));
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

/* Adds what dbcrypt.key_command prints. Its output never outlives this frame. */
static dbcrypt_status
add_command_keys(dbcrypt_ring *target, const char *command, dbcrypt_source_error *error)
{
	uint8_t output[65536];
	size_t size;
	int wait_status;
	dbcrypt_status status;
	FILE *pipe = OpenPipeStream(command, PG_BINARY_R);

	if (pipe == NULL)
		ereport(ERROR,
				(errcode_for_file_access(), errmsg("could not execute dbcrypt.key_command: %m")));
	setvbuf(pipe, NULL, _IONBF, 0);
	size = fread(output, 1, sizeof(output), pipe);
	wait_status = ClosePipeStream(pipe);
	if (wait_status == 0 && size < sizeof(output))
		status = dbcrypt_ring_add_contents(target, output, size, error);
	else
		status = DBCRYPT_KEY_FILE_UNREADABLE;
	dbcrypt_cleanse(output, sizeof(output));
	CHECK_FOR_INTERRUPTS(); /* a cancel reaches the command too, and ends it */
	if (wait_status != 0)
		ereport(ERROR,
				(errcode(ERRCODE_EXTERNAL_ROUTINE_EXCEPTION), errmsg("dbcrypt.key_command failed"),
				 errdetail_internal("%s", wait_result_to_str(wait_status))));
	if (status == DBCRYPT_KEY_FILE_UNREADABLE)
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
						errmsg("dbcrypt.key_command printed more than 64 kB")));
	return status;
}

/* Reads every source into a new ring. */
static void
read_ring(void)
{
	static dbcrypt_ring *building = NULL;
	const char *list = setting_keys ? setting_keys : "";
	const char *path = setting_key_file ? setting_key_file : "";
	const char *command = setting_key_command ? setting_key_command : "";
	dbcrypt_source_error error = {0};
	dbcrypt_status status;
	uint64 stamp = 0;

	dbcrypt_forbid_core_dump();

	dbcrypt_ring_free(building); /* left by an error */
	building = dbcrypt_ring_new();
	if (building == NULL)
		raise_status(DBCRYPT_NO_MEMORY, DBCRYPT_ENCODING_TEXT, NULL, NULL);

	status = dbcrypt_ring_add_list(building, list, strlen(list), &error);
	if (status != DBCRYPT_OK)
		raise_source(status, "dbcrypt.keys", "dbcrypt.keys", &error);
	if (path[0] != '\0')
	{
		stamp = dbcrypt_file_stamp(path);
		status = dbcrypt_ring_add_file(building, path, &error);
		if (status != DBCRYPT_OK)
			raise_source(status, "dbcrypt.key_file", path, &error);
	}
	if (command[0] != '\0')
	{
		status = add_command_keys(building, command, &error);
		if (status != DBCRYPT_OK)
			raise_source(status, "dbcrypt.key_command", command, &error);
	}

	dbcrypt_ring_free(ring);
	ring = building;
	building = NULL;
	key_file_stamp = stamp;
	ring_stale = false;
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

void
session_forget_ring(void)
{
	ring_stale = true;
}

dbcrypt_ring *
session_ring_if_loaded(void)
{
	return ring;
}

dbcrypt_ring *
session_ring(void)
{
	TimestampTz statement = GetCurrentStatementStartTimestamp();

	if (likely(!ring_stale && states_read == keys_changes && looked_at == statement))
		return ring;

	if (looked_at != statement)
	{
		AcceptInvalidationMessages();
		if (!ring_stale && setting_key_file && setting_key_file[0] != '\0' &&
			dbcrypt_file_stamp(setting_key_file) != key_file_stamp)
			ring_stale = true;
	}
	if (ring_stale)
		read_ring();
	while (states_read != keys_changes)
	{
		uint64 changes = keys_changes; /* more may arrive meanwhile */

		keys_relid = catalog_read_key_states(ring);
		states_read = changes;
	}
	looked_at = statement;
	return ring;
}
