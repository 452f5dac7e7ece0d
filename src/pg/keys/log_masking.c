/*
 * log_masking.c
 *		Keeps literal keys out of the log, pg_stat_activity and other modules.
 *
 * A masked text keeps its length, so that statement positions in it stay right. All
 * this runs for every log record and every utility statement of every role, and where
 * no interrupt can end it: each text is gone through a fixed number of times, and one
 * that is very long is left out instead.
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "pgstat.h"
#include "tcop/tcopprot.h"
#include "tcop/utility.h"
#include "utils/backend_status.h"
#include "utils/guc.h"
#include "utils/memutils.h"

#include "core/api/keyring.h"
#include "keys/loaded_ring.h"
#include "keys/log_masking.h"
#include "keys/setting_names.h"

/* The longest text that is searched. */
#define MASK_LIMIT (16 * 1024 * 1024)

static emit_log_hook_type previous_emit_log = NULL;
static ProcessUtility_hook_type previous_process_utility = NULL;

/*
 * A copy of a text with its keys masked, or NULL if it has none. Masks the keys of the
 * loaded ring, and what the naming of a setting makes suspect.
 */
static char *
masked_copy(const char *text, size_t size, SettingNaming naming)
{
	char *copy;
	dbcrypt_ring *ring = loaded_ring();
	size_t masked = 0;

	if (naming == NAMES_NOTHING && ring == NULL)
		return NULL;
	copy = pnstrdup(text, size);
	if (ring)
		masked += dbcrypt_mask_keys(copy, size, ring);
	if (naming == NAMES_KEYS)
		masked += dbcrypt_mask_keys(copy, size, NULL);
	else if (naming == NAMES_SETTING)
		masked += dbcrypt_mask_key_literals(copy, size);
	if (masked > 0)
		return copy;
	pfree(copy);
	return NULL;
}

/* Replaces dbcrypt.key_command in one field of a log record: it may hold a password. */
static void
mask_command(char **field)
{
	const char *command = GetConfigOption("dbcrypt.key_command", true, false);
	char *at;

	if (command == NULL || command[0] == '\0' || strstr(*field, command) == NULL)
		return;
	*field = pstrdup(*field);
	for (at = strstr(*field, command); at; at = strstr(at, command))
	{
		memset(at, '*', strlen(command));
		at += strlen(command);
	}
}

/* Masks one field of a log record. */
static void
mask_field(char **field, SettingNaming naming)
{
	size_t size = *field ? strlen(*field) : 0;
	char *masked;

	if (size == 0)
		return;
	if (size > MASK_LIMIT)
	{
		*field = psprintf("(a text of %zu bytes, left out by dbcrypt)", size);
		return;
	}
	mask_command(field);
	masked = masked_copy(*field, size, naming);
	if (masked)
		*field = masked;
}

/* Hides the statement of a log record if it holds a key, or is too long to tell. */
static void
hide_statement(ErrorData *edata, SettingNaming naming)
{
	size_t size = debug_query_string ? strlen(debug_query_string) : 0;
	char *masked;

	if (size == 0 || edata->hide_stmt)
		return;
	if (size > MASK_LIMIT)
	{
		edata->hide_stmt = true;
		return;
	}
	masked = masked_copy(debug_query_string, size, naming);
	if (masked)
	{
		edata->hide_stmt = true;
		mask_activity();
		pfree(masked);
	}
}

/* What a text of which at most MASK_LIMIT is searched names; it may be NULL. */
static SettingNaming
naming_in(const char *text)
{
	return text ? setting_naming(text, strnlen(text, MASK_LIMIT)) : NAMES_NOTHING;
}

/* Log hook: masks a log record, and hides its statement if that holds a key. */
static void
mask_log(ErrorData *edata)
{
	char **fields[] = {&edata->message, &edata->detail,	 &edata->detail_log,
					   &edata->hint,	&edata->context, &edata->internalquery};
	SettingNaming naming = naming_in(debug_query_string);

	for (size_t i = 0; i < lengthof(fields); i++)
		naming = Max(naming, naming_in(*fields[i]));
	for (size_t i = 0; i < lengthof(fields); i++)
		mask_field(fields[i], naming);
	hide_statement(edata, naming);
	if (previous_emit_log)
		previous_emit_log(edata);
}

void
mask_activity(void)
{
	size_t size;
	char *masked;

	if (debug_query_string == NULL)
		return;
	/* No more of it is shown, and a key may lie across the end. */
	size = strnlen(debug_query_string, (size_t) pgstat_track_activity_query_size + 128);
	masked = masked_copy(debug_query_string, size, NAMES_KEYS);
	if (masked == NULL)
		return;
	pgstat_report_activity(STATE_RUNNING, masked);
	pfree(masked);
}

/* What a statement that sets a setting names, however it spells it; NULL for another. */
static const char *
setting_of(Node *statement)
{
	switch (nodeTag(statement))
	{
		case T_VariableSetStmt:
			return ((VariableSetStmt *) statement)->name;
		case T_AlterSystemStmt:
			return ((AlterSystemStmt *) statement)->setstmt->name;
		case T_AlterRoleSetStmt:
			return ((AlterRoleSetStmt *) statement)->setstmt->name;
		case T_AlterDatabaseSetStmt:
			return ((AlterDatabaseSetStmt *) statement)->setstmt->name;
		default:
			return NULL;
	}
}

/* What one statement of a query names; looks at no other statement of it. */
static SettingNaming
naming_of_statement(PlannedStmt *statement, const char *query)
{
	const char *name = statement->utilityStmt ? setting_of(statement->utilityStmt) : NULL;
	const char *start = query + Max(statement->stmt_location, 0);
	size_t size = statement->stmt_len > 0 ? (size_t) statement->stmt_len : MASK_LIMIT;
	SettingNaming naming = setting_naming(start, strnlen(start, Min(size, MASK_LIMIT)));

	return name ? Max(naming, setting_naming(name, strlen(name))) : naming;
}

/*
 * The masked text of a whole query. That of the client's query is kept for its other
 * statements, of which there may be many.
 */
static const char *
masked_query(const char *query, bool toplevel)
{
	static char *kept = NULL;
	static const char *kept_of = NULL;
	static TimestampTz kept_since = 0;
	size_t size = strlen(query);
	MemoryContext caller;
	char *masked;

	if (!toplevel || size > MASK_LIMIT)
	{
		masked = size > MASK_LIMIT ? NULL : masked_copy(query, size, NAMES_KEYS);
		return masked ? masked : query;
	}
	if (kept_of != query || kept_since != GetCurrentStatementStartTimestamp())
	{
		kept_of = NULL;
		if (kept)
			pfree(kept);
		kept = NULL;
		caller = MemoryContextSwitchTo(TopMemoryContext);
		kept = masked_copy(query, size, NAMES_KEYS);
		MemoryContextSwitchTo(caller);
		kept_of = query;
		kept_since = GetCurrentStatementStartTimestamp();
	}
	return kept ? kept : query;
}

/* Utility hook: a statement that names a setting of keys runs with its text masked. */
static void
mask_utility(PlannedStmt *statement, const char *query, bool read_only_tree,
			 ProcessUtilityContext context, ParamListInfo params, QueryEnvironment *environment,
			 DestReceiver *receiver, QueryCompletion *completion)
{
	CHECK_FOR_INTERRUPTS();
	if (naming_of_statement(statement, query) != NAMES_NOTHING)
	{
		mask_activity(); /* a refusal may come before the check hook */
		query = masked_query(query, context == PROCESS_UTILITY_TOPLEVEL);
	}
	if (previous_process_utility)
		previous_process_utility(statement, query, read_only_tree, context, params, environment,
								 receiver, completion);
	else
		standard_ProcessUtility(statement, query, read_only_tree, context, params, environment,
								receiver, completion);
}

void
mask_init(void)
{
	previous_emit_log = emit_log_hook;
	emit_log_hook = mask_log;
	previous_process_utility = ProcessUtility_hook;
	ProcessUtility_hook = mask_utility;
}
