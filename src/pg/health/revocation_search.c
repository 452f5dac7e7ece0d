/*
 * revocation_search.c
 *		Refuses to revoke keys while a value anywhere is, or may be, under one.
 */
#include "postgres.h"

#include "access/relation.h"
#include "catalog/namespace.h"
#include "catalog/partition.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
#include "utils/varlena.h"

#include "columns/copying_triggers.h"
#include "columns/members.h"
#include "columns/registry.h"
#include "columns/target.h"
#include "core/api/keyring.h"
#include "health/census.h"
#include "health/census_result.h"
#include "health/revocation_search.h"
#include "keys/keyring.h"
#include "keys/session_keyring.h"
#include "support/compat.h"
#include "support/string_list.h"

/* How many places an error names. */
#define PLACES_SHOWN 20

/* A place whose values may be under a key that is revoked. */
typedef struct AcceptedPlace
{
	Oid relid;
	char *column; /* NULL: the table, if it cannot be read; the large objects */
} AcceptedPlace;

/* What stands in the way. */
typedef struct Obstacles
{
	StringInfoData places; /* a line each */
	int count;
	List *named;		/* keys that values name: char * */
	bool registered;	/* some of them in a registered column, and they open */
	bool not_opening;	/* some in a registered column do not open */
	bool unregistered;	/* some elsewhere */
	bool damaged;		/* values of which the key is not to be read */
	bool not_loaded;	/* values of another application that name a key that is not loaded */
	bool not_recorded;	/* values that their column's recorded key does not open */
	bool undecryptable; /* values that name no key, and that no loaded key decrypts */
	bool problem;		/* registered columns that cannot be found */
	bool unreadable;	/* tables of registered columns that could not be looked at */
} Obstacles;

/* How to name a place that is accepted. */
#define PLACE_HINT                                                                             \
	"Name places as schema.table.column; a table that cannot be read, and the large objects, " \
	"as schema.table."

/* Reads a place; throws for one that does not exist. */
static AcceptedPlace *
accepted_place(const char *name)
{
	AcceptedPlace *place = palloc0(sizeof(AcceptedPlace));
	List *parts;
	Oid schema;

	if (!SplitIdentifierString(pstrdup(name), '.', &parts) || list_length(parts) < 2 ||
		list_length(parts) > 3)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_NAME),
				 errmsg("\"%s\" names neither a column nor a table", name), errhint(PLACE_HINT)));
	schema = get_namespace_oid(linitial(parts), true);
	place->relid = OidIsValid(schema) ? get_relname_relid(lsecond(parts), schema) : InvalidOid;
	place->column = list_length(parts) == 3 ? pstrdup(lthird(parts)) : NULL;
	if (!OidIsValid(place->relid) ||
		(place->column && get_attnum(place->relid, place->column) <= 0))
		ereport(ERROR, (errcode(place->column ? ERRCODE_UNDEFINED_COLUMN : ERRCODE_UNDEFINED_TABLE),
						place->column ? errmsg("column \"%s\" does not exist", name)
									  : errmsg("table \"%s\" does not exist", name),
						errhint(PLACE_HINT)));
	return place;
}

List *
accepted_places(List *names)
{
	List *places = NIL;
	ListCell *cell;

	foreach(cell, names)
		places = lappend(places, accepted_place(lfirst(cell)));
	return places;
}

/* Whether a row of the census is in an accepted place, or in a partition of its table. */
static bool
is_accepted(const RevocationSearch *search, const CensusRow *row)
{
	ListCell *cell;

	foreach(cell, search->accepted)
	{
		AcceptedPlace *place = lfirst(cell);
		bool same_column = row->column ? place->column && strcmp(row->column, place->column) == 0
									   : place->column == NULL;

		if (same_column && (row->relid == place->relid ||
							(get_rel_relispartition(row->relid) &&
							 list_member_oid(get_partition_ancestors(row->relid), place->relid))))
			return true;
	}
	return false;
}

/* Where a row of the census is. */
static char *
place_of(const CensusRow *row)
{
	return row->column ? psprintf("Table %s, column %s", row->table, quote_identifier(row->column))
					   : psprintf("Table %s", row->table);
}

/* How many values a row of the census counts. */
static char *
count_of(const CensusRow *row)
{
	return psprintf("%lld %s", (long long) row->values, row->values == 1 ? "value" : "values");
}

/* Adds a line to the places that are shown, unless there are too many. */
static void
add_place(Obstacles *obstacles, const char *line)
{
	if (obstacles->count++ < PLACES_SHOWN)
		appendStringInfo(&obstacles->places, "%s%s", obstacles->places.len > 0 ? "\n" : "", line);
}

/*
 * Notes values of which nothing tells the key: whatever no loaded key decrypts might
 * need one that is revoked. Returns what is wrong with them.
 */
static const char *
note_unknown(Obstacles *obstacles, const CensusRow *row)
{
	TargetColumn *target = column_covering(row->relid, row->column);

	if (target == NULL || column_is_native(target))
	{
		obstacles->damaged = true;
		return ", of a newer format or damaged";
	}
	if (!column_is_authenticated(target))
	{
		obstacles->not_recorded = true;
		return ", which the column's recorded key does not open";
	}
	if (column_names_key(target))
	{
		obstacles->not_loaded = true;
		return ", under a key that is not loaded, or damaged";
	}
	obstacles->undecryptable = true;
	return ", which no loaded key decrypts";
}

/* Notes values that name a key. Returns what is wrong with them. */
static const char *
note_named(Obstacles *obstacles, const CensusRow *row)
{
	obstacles->named = string_list_add(obstacles->named, row->key_id);
	if (row->state == CENSUS_UNREGISTERED)
		obstacles->unregistered = true;
	else
		obstacles->registered |= row->values > row->not_opening;
	if (row->not_opening == 0)
		return "";
	obstacles->not_opening = true;
	return psprintf("; %lld of them do not open: forged, or bound to another AAD",
					(long long) row->not_opening);
}

/* Notes values that are, or may be, under a key. */
static void
note_values(Obstacles *obstacles, const RevocationSearch *search, const CensusRow *row)
{
	bool named = row->key_id[0] != '\0';
	StringInfoData line;

	initStringInfo(&line);
	appendStringInfo(&line, "%s%s: %s", place_of(row),
					 row->state == CENSUS_UNREGISTERED ? ", not registered" : "", count_of(row));
	if (named && list_length(search->key_ids) > 1)
		appendStringInfo(&line, " under key %s", row->key_id);
	if (row->nexamples > 0)
		appendStringInfo(&line, ", first in %s", row->examples[0]);
	appendStringInfo(&line, "%s.",
					 named ? note_named(obstacles, row) : note_unknown(obstacles, row));
	add_place(obstacles, line.data);
}

/* Warns of a place, unless an earlier look has. */
static void
mention(RevocationSearch *search, const char *place, const char *warning)
{
	MemoryContext caller;
	ListCell *cell;

	foreach(cell, search->mentioned)
		if (strcmp(lfirst(cell), place) == 0)
			return;
	caller = MemoryContextSwitchTo(search->context);
	search->mentioned = lappend(search->mentioned, pstrdup(place));
	MemoryContextSwitchTo(caller);
	ereport(WARNING, (errmsg("%s", warning)));
}

/* Sorts a row of the census: passed over, in the way, or only worth a warning. */
static void
consider_row(Obstacles *obstacles, RevocationSearch *search, const CensusRow *row)
{
	if (row->state == CENSUS_LOOKS_ENCRYPTED)
		return;
	if (is_accepted(search, row))
		mention(search, psprintf("%s %s", place_of(row), row->key_id),
				row->state == CENSUS_NOT_READABLE
					? psprintf("passed over as told: %s", row->detail)
					: psprintf("passed over as told: %s: %s%s%s", place_of(row), count_of(row),
							   row->key_id[0] ? " under key " : "", row->key_id));
	else if (row->state != CENSUS_NOT_READABLE)
		note_values(obstacles, search, row);
	else if (row->registered)
	{
		obstacles->unreadable = true;
		add_place(obstacles, psprintf("Not looked at: %s%s", row->detail,
									  row->detail[strlen(row->detail) - 1] == '.' ? "" : "."));
	}
	else
		mention(search, row->detail, psprintf("not looked at: %s", row->detail));
}

/*
 * What makes the revocation possible. Rotation stops at a value that does not open, so it
 * is no help before such a value is dealt with.
 */
static const char *
hint_for(const Obstacles *obstacles, const RevocationSearch *search)
{
	dbcrypt_ring *ring = session_ring();
	bool loaded = true;
	bool revoked = false;
	ListCell *cell;

	foreach(cell, search->key_ids)
	{
		int key = keyring_find(ring, lfirst(cell));

		loaded &= key >= 0;
		revoked |= key >= 0 && (dbcrypt_ring_state(ring, key) & DBCRYPT_STATE_REVOKED);
	}
	if (obstacles->not_recorded)
		return psprintf("Let the application write these values again, under the column's key, "
						"repair the rows that dbcrypt_verify() names, or %s.",
						search->accept);
	if (obstacles->undecryptable)
		return psprintf("Add the key of these values to dbcrypt.key_file, below the primary key, "
						"correct the column's options in dbcrypt_columns, repair the rows that "
						"dbcrypt_verify() names, or %s.",
						search->accept);
	if (obstacles->not_loaded)
		return psprintf("Add the key of these values to dbcrypt.key_file, below the primary key, "
						"and run dbcrypt_rotate_all() first, repair the rows that "
						"dbcrypt_verify() names, or %s.",
						search->accept);
	if (obstacles->damaged)
		return psprintf("Update the dbcrypt extension, repair the rows that dbcrypt_verify() "
						"names, or %s.",
						search->accept);
	if ((obstacles->registered || obstacles->not_opening) && !loaded)
		return "Add the key to dbcrypt.key_file, below the primary key, and run "
			   "dbcrypt_rotate_all() first.";
	if ((obstacles->registered || obstacles->not_opening) && revoked)
		return "Run dbcrypt_reinstate_key() and dbcrypt_rotate_all() first.";
	if (obstacles->not_opening)
		return psprintf("Repair or delete the rows that dbcrypt_verify() names, then run "
						"dbcrypt_rotate_all(), or %s.",
						search->accept);
	if (obstacles->registered)
		return "Run dbcrypt_rotate_all() first.";
	if (obstacles->unregistered)
		return psprintf("Rotate these columns with dbcrypt_rotate(), which registers them, delete "
						"the copies, or %s.",
						search->accept);
	if (obstacles->problem)
		return REGISTRY_PROBLEM_HINT;
	return psprintf("Make the tables readable to dbcrypt, unregister their columns, or %s.",
					search->accept);
}

/* Throws for what stands in the way. */
pg_noreturn static void
refuse(const Obstacles *obstacles, const RevocationSearch *search)
{
	StringInfoData keys;
	List *in_use = obstacles->named ? obstacles->named : search->key_ids;
	bool one = list_length(in_use) == 1;
	const char *what;
	ListCell *cell;

	initStringInfo(&keys);
	foreach(cell, in_use)
		appendStringInfo(&keys, "%s%s", keys.len > 0 ? ", " : "", (char *) lfirst(cell));
	if (obstacles->named)
		what = one ? "is still" : "are still";
	else
		what = "may still be";
	ereport(ERROR, (errcode(ERRCODE_OBJECT_IN_USE),
					errmsg("encryption %s %s %s in use", one ? "key" : "keys", keys.data, what),
					obstacles->count > PLACES_SHOWN
						? errdetail("%s\nand %d more places.", obstacles->places.data,
									obstacles->count - PLACES_SHOWN)
						: errdetail("%s", obstacles->places.data),
					errhint("%s", hint_for(obstacles, search))));
}

/*
 * Looks at the registered columns themselves: a row of the registry that leads nowhere,
 * and a program that is copying a table by triggers, which would bring old values back.
 */
static void
check_columns(Obstacles *obstacles)
{
	ListCell *cell;

	foreach(cell, columns_registered())
	{
		TargetColumn *target = lfirst(cell);
		ListCell *member;

		if (target->problem)
		{
			obstacles->problem = true;
			add_place(obstacles, psprintf("Registered column %s could not be looked at: %s.",
										  quote_identifier(target->name), target->problem));
			continue;
		}
		foreach(member, column_lock_existing(target->relid, AccessShareLock))
		{
			Relation rel = relation_open(lfirst_oid(member), NoLock);

			copying_trigger_check(rel, target);
			relation_close(rel, AccessShareLock);
		}
	}
}

void
revocation_search(RevocationSearch *search)
{
	CensusRequest request = {
		.key_ids = search->key_ids, .registered_only = search->registered_only, .open = true};
	Obstacles obstacles = {0};
	ListCell *cell;

	initStringInfo(&obstacles.places);
	check_columns(&obstacles);
	PushActiveSnapshot(GetLatestSnapshot());
	foreach(cell, census_run(&request))
		consider_row(&obstacles, search, lfirst(cell));
	PopActiveSnapshot();
	if (obstacles.count > 0)
		refuse(&obstacles, search);
}
