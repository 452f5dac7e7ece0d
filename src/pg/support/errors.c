/*
 * errors.c
 *		The only table of errors: the SQLSTATE, message and hint of each core status.
 */
#include "postgres.h"

#include "utils/lsyscache.h"

#include "support/errors.h"
#include "support/string_list.h"

/* A row of the table; in message, %s is a key id. */
typedef struct StatusError
{
	int sqlstate;
	const char *message;
	const char *hint;
} StatusError;

static const StatusError status_errors[] = {
	[DBCRYPT_NO_KEYS] = {ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
						 "no encryption keys are configured",
						 "Set dbcrypt.key_file to a key file; dbcrypt_generate_key() makes a key."},
	[DBCRYPT_KEY_NOT_LOADED] = {ERRCODE_UNDEFINED_OBJECT, "encryption key %s is not loaded",
								"Add the key to dbcrypt.key_file, below the primary key."},
	[DBCRYPT_KEY_NOT_REGISTERED] = {ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
									"encryption key %s is not registered",
									"Run SELECT * FROM dbcrypt_register_keys()."},
	[DBCRYPT_KEY_REVOKED] = {ERRCODE_INSUFFICIENT_PRIVILEGE, "encryption key %s is revoked",
							 "Put another key first in dbcrypt.key_file, or undo the revocation "
							 "with dbcrypt_reinstate_key()."},
	[DBCRYPT_KEY_RETIRED] = {ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
							 "encryption key %s is retired",
							 "Put another key first in dbcrypt.key_file, or take the key back into "
							 "use with dbcrypt_reinstate_key()."},
	[DBCRYPT_KEY_CANARY_MISMATCH] = {ERRCODE_CONFIG_FILE_ERROR,
									 "encryption key %s does not match its canary",
									 "The key or its row in dbcrypt_keys was changed; see "
									 "dbcrypt_key_status."},
	[DBCRYPT_KEY_NAME_SHARED] = {ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
								 "two loaded keys have the same Coder digest",
								 "Make another key in place of the newer one: values of Coder's "
								 "do not say which of the two they are under."},
	[DBCRYPT_KEY_HAS_NO_TEXT] = {ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
								 "encryption key %s is not a text: key",
								 "The keys of such values are derived from the whole text: write "
								 "it into dbcrypt.key_file after text:, in place of the key."},
	[DBCRYPT_KEY_TEXTS_DIFFER] = {ERRCODE_CONFIG_FILE_ERROR,
								  "a key is there twice, with different texts",
								  "Write each db_key_base once, as a whole, after text:."},
	[DBCRYPT_NOT_OPENED] = {ERRCODE_DATA_EXCEPTION,
							"could not decrypt value: the column's key does not open it",
							"The value was written under another key, or changed. The column's key "
							"is in its options in dbcrypt_columns."},
	[DBCRYPT_AUTHENTICATION_FAILED] = {ERRCODE_DATA_EXCEPTION,
									   "could not decrypt value: authentication failed",
									   "The AAD differs from the one it was encrypted with, or "
									   "the value was changed."},
	[DBCRYPT_NOT_AN_ENVELOPE] = {ERRCODE_INVALID_TEXT_REPRESENTATION, "invalid encrypted value",
								 "Use dbcrypt_is_encrypted() to find values that "
								 "dbcrypt_encrypt() did not make."},
	[DBCRYPT_NEWER_FORMAT] = {ERRCODE_FEATURE_NOT_SUPPORTED,
							  "encrypted value has a format newer than this version of dbcrypt",
							  "Update the dbcrypt extension."},
	[DBCRYPT_NEWER_ALGORITHM] = {ERRCODE_FEATURE_NOT_SUPPORTED,
								 "encrypted value uses an algorithm that this version of dbcrypt "
								 "does not know",
								 "Update the dbcrypt extension."},
	[DBCRYPT_TOO_LARGE] = {ERRCODE_PROGRAM_LIMIT_EXCEEDED, "value is too large to encrypt",
						   "An encrypted value may not exceed 1 GB; bytea needs 40 bytes more "
						   "than its plaintext, text a third more."},
	[DBCRYPT_NO_MEMORY] = {ERRCODE_OUT_OF_MEMORY, "out of memory", NULL},
	[DBCRYPT_RANDOM_FAILED] = {ERRCODE_INTERNAL_ERROR, "could not generate random bytes", NULL},
	[DBCRYPT_INTERNAL] = {ERRCODE_INTERNAL_ERROR, "the cryptographic library failed", NULL},
};

const char *
status_message(dbcrypt_status status, const char *key_id)
{
	if ((int) status <= 0 || (size_t) status >= lengthof(status_errors) ||
		status_errors[status].message == NULL)
		elog(ERROR, "unexpected dbcrypt status %d", (int) status);
	return psprintf(status_errors[status].message, key_id ? key_id : "of this value");
}

char *
error_line(const ErrorData *error)
{
	return error->detail ? psprintf("%s: %s", error->message, error->detail)
						 : pstrdup(error->message);
}

/* Sets the DETAIL line: where the value is and which key it is under. */
static void
place_detail(const ValuePlace *place, const char *key_id)
{
	Relation rel;
	char *row = "";

	if (place == NULL || place->rel == NULL)
		return;
	rel = place->rel;
	if (ItemPointerIsValid(&place->tid))
		row = psprintf(", row (%u,%u)", ItemPointerGetBlockNumber(&place->tid),
					   ItemPointerGetOffsetNumber(&place->tid));
	errdetail("Table \"%s.%s\", column \"%s\"%s%s%s.",
			  get_namespace_name(RelationGetNamespace(rel)), RelationGetRelationName(rel),
			  get_attname(RelationGetRelid(rel), place->attnum, false), row, key_id ? ", key " : "",
			  key_id ? key_id : "");
}

void
raise_status(dbcrypt_status status, dbcrypt_encoding encoding, const char *key_id,
			 const ValuePlace *place)
{
	const char *message = status_message(status, key_id);
	const char *hint = status_errors[status].hint;
	int sqlstate = status_errors[status].sqlstate;

	if (status == DBCRYPT_NOT_AN_ENVELOPE && encoding == DBCRYPT_ENCODING_BINARY)
		sqlstate = ERRCODE_INVALID_BINARY_REPRESENTATION;
	if (place && place->adopted &&
		(status == DBCRYPT_NOT_AN_ENVELOPE || status == DBCRYPT_AUTHENTICATION_FAILED))
		hint = "No loaded key decrypts it with the column's options in dbcrypt_columns.";

	ereport(ERROR, (errcode(sqlstate), errmsg("%s", message), hint ? errhint("%s", hint) : 0,
					place_detail(place, key_id)));
}

/*
 * The name of the SQL function that an error comes from, NULL if none is known. Only the
 * outermost line of its context is looked at: what stands further in may be a value.
 */
static char *
function_of(const ErrorData *error)
{
	const char *line = error->context ? strrchr(error->context, '\n') : NULL;
	const char *name;
	size_t size;

	line = line ? line + 1 : error->context;
	if (line == NULL || (strncmp(line, "PL/", 3) != 0 && strncmp(line, "SQL function ", 13) != 0))
		return NULL;
	name = strstr(line, " function ");
	if (name == NULL)
		return NULL;
	name += strlen(" function ");
	name += *name == '"';
	size = strcspn(name, "(\" ");
	return size > 0 && size < 2 * NAMEDATALEN ? pnstrdup(name, size) : NULL;
}

/* A name that the error carries, if it is one of these: whoever raises may name anything. */
static const char *
constraint_of(const ErrorData *error, const List *names)
{
	const char *name = error->constraint_name;

	return name && string_list_has(names, name) ? name : NULL;
}

/*
 * The message of an error before values were put into it: the text in the server's
 * source. NULL for one that was written elsewhere, as RAISE does.
 */
static const char *
fixed_text(const ErrorData *error)
{
	const char *text = error->message_id;

	return text && strspn(text, "%s: ") < strlen(text) ? text : NULL;
}

/* The primary message to take the place of an error's own. */
static const char *
message_without_values(const ErrorData *error, const char *constraint)
{
	const char *text = fixed_text(error);
	int category = ERRCODE_TO_CATEGORY(error->sqlerrcode);

	if (constraint)
		return psprintf("the new row violates constraint \"%s\"", constraint);
	if (text && strchr(text, '%') == NULL)
		return text;
	if (category == ERRCODE_DATA_EXCEPTION || category == ERRCODE_INTEGRITY_CONSTRAINT_VIOLATION ||
		text == NULL)
		return "a generated column, constraint or index rejects the new value";
	return "could not write the new row";
}

void
rethrow_without_values(MemoryContext context, const char *place, const List *constraints)
{
	ErrorData *error;
	const char *constraint;
	const char *function;
	const char *text;

	MemoryContextSwitchTo(context);
	error = CopyErrorData();
	FlushErrorState();
	constraint = constraint_of(error, constraints);
	function = function_of(error);
	text = fixed_text(error);
	if (constraint || (text && strchr(text, '%') == NULL))
		text = NULL; /* said already */
	if (errstart(ERROR, TEXTDOMAIN))
	{
		errcode(error->sqlerrcode);
		errmsg_internal("%s", message_without_values(error, constraint));
		errdetail_internal("%s%s%s.%s%s%s", place, function ? ", function " : "",
						   function ? function : "", text ? " The error, without its values: " : "",
						   text ? text : "", text ? "." : "");
		errfinish(error->filename, error->lineno, error->funcname);
	}
	pg_unreachable();
}
