/*
 * check_registered.c
 *		What is wrong with the values of registered columns.
 *
 * Native values are counted by their headers, which needs no key. Whose column
 * has another scheme is asked of its codec, which may try the session's keys.
 */
#include "postgres.h"

#include "access/relation.h"
#include "utils/lsyscache.h"

#include "columns/copying_triggers.h"
#include "columns/expression.h"
#include "columns/expression_trust.h"
#include "columns/members.h"
#include "columns/registry.h"
#include "columns/target.h"
#include "health/check_keyring.h"
#include "health/check_registered.h"
#include "health/findings.h"
#include "health/reading.h"
#include "lifecycle/tally.h"
#include "rows/identify.h"
#include "support/errors.h"
#include "support/run_as.h"
#include "values/codec_inspect.h"

/* One table of a registered column, and the counts of the column's values. */
typedef struct Member
{
	const HealthCheck *check;
	const TargetColumn *target;
	Relation rel;
	AttrNumber attnum;
	dbcrypt_encoding encoding;
	List *tallies;
	bool copied; /* it has been said that a trigger may copy rows */
} Member;

/* Counts the value of a row by its header. */
static bool
count_header(TupleTableSlot *row, void *arg)
{
	Member *member = arg;
	char key_id[DBCRYPT_KEY_ID_LEN + 1] = "";
	ValueState state;
	bool isnull;
	Datum value = slot_getattr(row, member->attnum, &isnull);

	if (isnull)
		return true;
	switch (value_read_header(value, member->encoding, key_id))
	{
		case DBCRYPT_OK:
			state = state_under_key(member->check, key_id);
			break;
		case DBCRYPT_NOT_AN_ENVELOPE:
			state = STATE_PLAINTEXT;
			break;
		default:
			state = STATE_FAILED;
			break;
	}
	tally_value(&member->tallies, state, key_id, member->rel, &row->tts_tid);
	return true;
}

/* Counts a value of a column of another scheme. */
static bool
count_value(void *arg, Relation rel, ValueState state, const char *key_id, ItemPointer tid)
{
	tally_value(&((Member *) arg)->tallies, state, key_id, rel, tid);
	return true;
}

/* Counts all values of the member. */
static void
count_values(void *arg)
{
	Member *member = arg;

	if (column_is_native(member->target))
	{
		member->encoding = column_encoding(member->rel, member->attnum);
		visit_rows(member->rel, 0, count_header, member);
	}
	else
		identify_values(member->rel, member->target, count_value, member);
}

/* Parses the column's AAD expression as the owner of the table that is registered. */
static void
parse_aad(void *arg)
{
	Member *member = arg;
	RunAsContext saved;

	expressions_refuse_foreign(RelationGetRelid(member->rel), member->target);
	run_as_owner(owner_of(member->target->relid), &saved);
	(void) aad_parse(member->rel, member->attnum, member->target->aad,
					 column_is_native(member->target));
	run_as_restore(&saved);
}

/* Looks at the values of one table of a registered column. */
static void
check_values(HealthCheck *check, const char *subject, Member *member)
{
	ErrorData *error = read_without_waiting(count_values, member);

	if (error && is_lock_error(error))
		finding_add_locked(check, subject);
	else if (error)
		finding_add(check, SEVERITY_ERROR, subject,
					psprintf("its values could not be looked at: %s",
							 row_error_line(error, RelationGetRelid(member->rel))),
					"See dbcrypt_columns for its scheme and options; dbcrypt_verify() shows its "
					"table's owner the error.");
}

/* Looks at the column's AAD expression. */
static void
check_aad(HealthCheck *check, const char *subject, Member *member)
{
	ErrorData *error = read_without_waiting(parse_aad, member);

	if (error && is_lock_error(error))
		finding_add_locked(check, subject);
	else if (error)
		finding_add(check, SEVERITY_ERROR, subject,
					psprintf("its AAD expression does not work: %s", error_line(error)),
					"Undo the change to the table that broke it, or register the column again "
					"with an expression of the same value.");
}

/* Looks for triggers that copy, as an action of read_without_waiting. */
static void
find_copying(void *arg)
{
	const Member *member = arg;

	copying_trigger_check(member->rel, member->target);
}

/* Says, once for a column, that a trigger stands in the way of its rotation. */
static void
check_copying(HealthCheck *check, const char *subject, Member *member)
{
	ErrorData *error = member->copied ? NULL : read_without_waiting(find_copying, member);

	if (error == NULL)
		return;
	member->copied = true;
	finding_add(check, SEVERITY_WARNING, subject,
				psprintf("cannot be rotated, and no key revoked: %s", error->message),
				error->hint ? error->hint : "");
}

/* Says which of a column's values are elsewhere, which is no fault but bars a revocation. */
static void
check_remote(HealthCheck *check, const char *subject, const TargetColumn *target)
{
	char *remote = column_remote_members(target->relid);

	if (remote)
		finding_add(check, SEVERITY_NOTICE, subject,
					psprintf("has values on another server: %s", remote),
					"Work on them with dbcrypt where they are; a revocation here must be told to "
					"pass over them.");
}

/* Adds a finding for what a column holds that it should not, or not for long. */
static void
report_tally(HealthCheck *check, const char *subject, const TargetColumn *target,
			 const Tally *tally)
{
	const char *first = tally->nexamples > 0 ? tally->examples[0] : "";
	const char *what;
	const char *hint;

	switch (tally->state)
	{
		case STATE_OLD:
			finding_add(
				check, SEVERITY_NOTICE, subject,
				psprintf("values under old key %s: " INT64_FORMAT, tally->key_id, tally->values),
				"Rotate the column when it suits: dbcrypt_rotate().");
			return;
		case STATE_PLAINTEXT:
			finding_add(check, SEVERITY_WARNING, subject,
						psprintf("values that are not encrypted: " INT64_FORMAT ", first in %s",
								 tally->values, first),
						"Encrypt them with dbcrypt_encrypt_column().");
			return;
		case STATE_REVOKED:
			what = psprintf("values under revoked key %s", tally->key_id);
			hint = "Run dbcrypt_reinstate_key(), and rotate the column before the key is revoked "
				   "again.";
			break;
		case STATE_NOT_LOADED:
			what = tally->key_id[0]
					   ? psprintf("values under key %s, which is not loaded", tally->key_id)
					   : "values under keys that are not loaded";
			hint = "Add the key to dbcrypt.key_file, below the primary key.";
			break;
		case STATE_FAILED:
			if (column_names_key(target))
			{
				what = "values of a newer format, or damaged";
				hint = "Update the dbcrypt extension, or repair the rows that dbcrypt_verify() "
					   "names.";
			}
			else
			{
				what = "values that no loaded key decrypts";
				hint = "Add their key to dbcrypt.key_file, below the primary key, correct the "
					   "column's options in dbcrypt_columns, or repair the rows that "
					   "dbcrypt_verify() names.";
			}
			break;
		default:
			return;
	}
	finding_add(check, SEVERITY_ERROR, subject,
				psprintf("%s: " INT64_FORMAT ", first in %s", what, tally->values, first), hint);
}

/* Looks at one table of a registered column. */
static void
check_member(HealthCheck *check, const char *subject, Member *member)
{
	Oid relid = RelationGetRelid(member->rel);

	member->attnum = get_attnum(relid, member->target->name);
	if (member->attnum <= 0)
		return;
	examined_add(check, relid, member->attnum);
	check_copying(check, subject, member);
	if (relid == member->target->relid)
		check_aad(check, subject, member);
	if (is_readable(member->rel))
		check_values(check, subject, member);
}

void
check_registered_column(HealthCheck *check, const TargetColumn *target)
{
	const char *subject;
	Member member = {.check = check, .target = target};
	ListCell *cell;

	if (target->problem)
	{
		finding_add(check, SEVERITY_ERROR, psprintf("registered column %s", target->name),
					target->problem, REGISTRY_PROBLEM_HINT);
		return;
	}
	subject = column_subject(target->relid, target->name);
	if (subject == NULL)
		return;
	check_remote(check, subject, target);
	foreach(cell, column_members(target->relid, NoLock))
	{
		bool locked;

		member.rel = open_unless_locked(lfirst_oid(cell), &locked);
		if (member.rel)
		{
			check_member(check, subject, &member);
			relation_close(member.rel, AccessShareLock);
		}
		else if (locked)
			finding_add_locked(check, subject);
	}
	tally_sort(member.tallies);
	foreach(cell, member.tallies)
	{
		report_tally(check, subject, target, lfirst(cell));
	}
}
