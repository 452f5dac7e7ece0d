/*
 * recorded_key_find.c
 *		Under which key a column without authentication is.
 *
 * A wrong key opens four of 1,000 values of one block. Eight values that all open under
 * one key, and not under any other, leave no doubt.
 */
#include "postgres.h"

#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "applications/recorded_key_find.h"
#include "core/api/keyring.h"
#include "core/api/scheme.h"
#include "keys/keyring.h"
#include "keys/session_keyring.h"
#include "rows/column_scan.h"
#include "values/codec_inspect.h"

/* How many values tell a key that is not named. */
#define ENOUGH_VALUES 8

/* The keys that have opened every value so far. */
typedef struct Candidates
{
	const TargetColumn *target;
	bool named; /* the column's key was given */
	List *keys; /* char *: ids */
	int64 values;
	bool opens; /* the value at work, with the key at work */
	bool found; /* there is a value at work */
} Candidates;

/* Notes whether the key at work opens the value at work, as a ValueVisitor. */
static void
note_value(void *arg, ValueState state, const char *key_id)
{
	Candidates *self = arg;

	self->found = true;
	self->opens &= state == STATE_PRIMARY || state == STATE_OLD;
}

/* Refuses a column because of the row at work. */
pg_noreturn static void
refuse_row(const Candidates *self, const ColumnScan *scan)
{
	ereport(
		ERROR,
		(errcode(ERRCODE_DATA_EXCEPTION),
		 errmsg("cannot adopt column \"%s\" of table \"%s\": no loaded key opens every value",
				self->target->name, RelationGetRelationName(scan->rel)),
		 errdetail("%s does not open table %s, row (%u,%u).",
				   self->named ? psprintf("The key %s", self->target->options.key)
							   : "What opens the rows before",
				   scan->table_name, ItemPointerGetBlockNumber(&scan->tid),
				   ItemPointerGetOffsetNumber(&scan->tid)),
		 errhint("See that the application's key is in dbcrypt.key_file, as a whole after text:, "
				 "and that the options are right.")));
}

/* Drops the keys that do not open the row's value. */
static bool
try_row(ColumnScan *scan, void *arg)
{
	Candidates *self = arg;
	ListCell *cell;

	self->found = false;
	foreach(cell, self->keys)
	{
		scan->codec.context.recorded_key = lfirst(cell);
		self->opens = true;
		codec_examine(&scan->codec, scan->row, note_value, self);
		if (!self->opens)
			self->keys = foreach_delete_current(self->keys, cell);
	}
	self->values += self->found;
	if (self->keys == NIL)
		refuse_row(self, scan);
	return true;
}

/* The keys to try: the named one, or all that may open. */
static List *
first_candidates(const TargetColumn *target)
{
	dbcrypt_ring *ring = session_ring();
	List *keys = NIL;

	if (target->options.key)
	{
		if (keyring_find(ring, target->options.key) < 0)
			ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
							errmsg("encryption key %s is not loaded", target->options.key),
							errhint("Option key is the id of a loaded key; see "
									"dbcrypt_key_status.")));
		return list_make1(target->options.key);
	}
	for (size_t i = 0; i < dbcrypt_ring_count(ring); i++)
		if (!(dbcrypt_ring_state(ring, i) & DBCRYPT_STATE_REVOKED))
			keys = lappend(keys, pstrdup(dbcrypt_ring_key_id(ring, i)));
	if (keys == NIL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("no encryption keys are configured"),
				 errhint("Write the application's key into dbcrypt.key_file, after text:.")));
	return keys;
}

/* Refuses a column of which the key cannot be told. */
static void
check_told(const Candidates *self)
{
	const char *table = get_rel_name(self->target->relid);

	if (self->named)
		return;
	if (self->values < ENOUGH_VALUES)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("cannot tell the key of column \"%s\" of table \"%s\"", self->target->name,
						table),
				 errdetail("It has %lld of the %d values that it takes.", (long long) self->values,
						   ENOUGH_VALUES),
				 errhint("Name the key: dbcrypt_adopt(..., '{\"key\": \"...\"}') with its id from "
						 "dbcrypt_key_status.")));
	if (list_length(self->keys) > 1)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("cannot tell the key of column \"%s\" of table \"%s\"", self->target->name,
						table),
				 errdetail("More than one loaded key opens every value."),
				 errhint("Name the key: dbcrypt_adopt(..., '{\"key\": \"...\"}') with its id from "
						 "dbcrypt_key_status.")));
}

AdoptedValues
recorded_key_find(const List *members, TargetColumn *target)
{
	Candidates self = {.target = target, .named = target->options.key != NULL};
	ListCell *cell;

	if (target->options.plaintext && strcmp(target->options.plaintext, "text") != 0 &&
		strcmp(target->options.plaintext, "bytes") != 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("option \"plaintext\" must be \"text\" or \"bytes\"")));
	self.keys = first_candidates(target);
	PushActiveSnapshot(GetLatestSnapshot());
	foreach(cell, members)
	{
		ColumnScan scan;

		column_scan_begin(&scan, lfirst(cell), target);
		column_scan_rows(&scan, GetActiveSnapshot(), try_row, &self);
		column_scan_end(&scan);
	}
	PopActiveSnapshot();
	check_told(&self);
	target->options.key = linitial(self.keys);
	return (AdoptedValues){.opened = self.values};
}
