/*
 * log_masking.c
 *		Keeps literal keys out of the log, pg_stat_activity and other modules.
 *
 * A masked text keeps its length, so that statement positions in it stay right.
 */
#include "postgres.h"

#include "tcop/tcopprot.h"
#include "tcop/utility.h"
#include "utils/backend_status.h"

#include "core/api/keyring.h"
#include "keys/loaded_ring.h"
#include "keys/log_masking.h"

static emit_log_hook_type previous_emit_log = NULL;
static ProcessUtility_hook_type previous_process_utility = NULL;

/* Skips a word and the quotes and blanks around it; NULL if another word is here. */
static const char *
skip_word(const char *text, const char *word)
{
	static const char around[] = "\" \t\r\n";

	text += strspn(text, around);
	if (pg_strncasecmp(text, word, strlen(word)) != 0)
		return NULL;
	text += strlen(word);
	return text + strspn(text, around);
}

/* Whether a text names dbcrypt.keys in any way that SQL allows: quoted, with blanks. */
static bool
names_keys_setting(const char *text)
{
	for (; *text; text++)
	{
		const char *end = skip_word(text, "dbcrypt");

		if (end && *end == '.' && skip_word(end + 1, "keys"))
			return true;
	}
	return false;
}

/*
 * A copy of the text with its keys masked, or NULL if it has none. Masks the keys of
 * the loaded ring; with mask_all whatever could be a key, for a text that names
 * dbcrypt.keys.
 */
static char *
masked_copy(const char *text, bool mask_all)
{
	size_t size = strlen(text);
	char *copy;
	dbcrypt_ring *ring = loaded_ring();

	if (!mask_all && ring == NULL)
		return NULL;
	copy = pstrdup(text);
	if (dbcrypt_mask_keys(copy, size, mask_all ? NULL : ring) > 0)
		return copy;
	pfree(copy);
	return NULL;
}

/* Masks one field of a log record. */
static void
mask_field(char **field, bool mask_all)
{
	char *masked = *field ? masked_copy(*field, mask_all) : NULL;

	if (masked)
		*field = masked;
}

/* Log hook: masks a log record, and hides its statement if that holds a key. */
static void
mask_log(ErrorData *edata)
{
	char *fields[] = {edata->message, edata->detail,  edata->detail_log,
					  edata->hint,	  edata->context, edata->internalquery};
	bool mask_all = debug_query_string && names_keys_setting(debug_query_string);

	for (size_t i = 0; i < lengthof(fields); i++)
		if (fields[i] && names_keys_setting(fields[i]))
			mask_all = true;
	mask_field(&edata->message, mask_all);
	mask_field(&edata->detail, mask_all);
	mask_field(&edata->detail_log, mask_all);
	mask_field(&edata->hint, mask_all);
	mask_field(&edata->context, mask_all);
	mask_field(&edata->internalquery, mask_all);
	if (debug_query_string && !edata->hide_stmt)
	{
		char *masked = masked_copy(debug_query_string, mask_all);

		edata->hide_stmt = masked != NULL;
		if (masked)
		{
			mask_activity();
			pfree(masked);
		}
	}
	if (previous_emit_log)
		previous_emit_log(edata);
}

void
mask_activity(void)
{
	char *masked = debug_query_string ? masked_copy(debug_query_string, true) : NULL;

	if (masked == NULL)
		return;
	pgstat_report_activity(STATE_RUNNING, masked);
	pfree(masked);
}

/* Utility hook: a statement that names dbcrypt.keys runs with its text masked. */
static void
mask_utility(PlannedStmt *statement, const char *query, bool read_only_tree,
			 ProcessUtilityContext context, ParamListInfo params, QueryEnvironment *environment,
			 DestReceiver *receiver, QueryCompletion *completion)
{
	if (names_keys_setting(query))
	{
		char *masked = masked_copy(query, true);

		mask_activity(); /* a refusal may come before the check hook */
		if (masked)
			query = masked;
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
