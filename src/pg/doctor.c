/*
 * doctor.c
 *		dbcrypt_check: what is wrong, or soon will be, with keys, columns and
 *		settings. Reads headers only, decrypts nothing, writes nothing, and waits
 *		for no lock, so that it may run on a standby and unasked.
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/transam.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/partition.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "dbcrypt.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"

PG_FUNCTION_INFO_V1(dbcrypt_check);

/* How much of a table nobody registered is looked at. */
#define SAMPLE_BLOCKS 64
#define SAMPLE_VALUES 100

typedef enum Severity
{
	SEVERITY_ERROR,
	SEVERITY_WARNING,
	SEVERITY_NOTICE,
	NSEVERITIES
} Severity;

static const char *const severity_names[] = {"error", "warning", "notice"};

typedef struct Finding
{
	Severity severity;
	char *subject;
	char *finding;
	char *hint;
} Finding;

/* A column that was looked at as a registered one, or reported as unregistered. */
typedef struct SeenColumn
{
	Oid relid;
	AttrNumber attnum;
} SeenColumn;

/* What one run knows. */
typedef struct Doctor
{
	bool has_ring;	  /* false when its sources cannot be read */
	List *registered; /* of TargetColumn */
	List *known;	  /* key ids in dbcrypt_keys */
	List *revoked;	  /* those that are revoked */
	List *seen;		  /* of SeenColumn */
	List *findings;
} Doctor;

static void
add_finding(Doctor *doctor, Severity severity, char *subject, char *finding, char *hint)
{
	Finding *added = palloc(sizeof(Finding));

	*added = (Finding){severity, subject, finding, hint};
	doctor->findings = lappend(doctor->findings, added);
}

/*
 * Runs a query as the owner of dbcrypt's tables. Its rows are in SPI_tuptable
 * until SPI_finish; the memory context stays the caller's.
 */
static uint64
begin_query(const char *statement)
{
	MemoryContext caller = CurrentMemoryContext;
	uint64 count;

	SPI_connect();
	count = catalog_execute(statement, 0, NULL, NULL, NULL, SPI_OK_SELECT);
	MemoryContextSwitchTo(caller);
	return count;
}

/* A column of a row of the query, "" for NULL. */
static char *
field(uint64 row, int column)
{
	char *value = SPI_getvalue(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column);

	return value ? value : pstrdup("");
}

static bool
holds(const List *ids, const char *key_id)
{
	ListCell *cell;

	foreach(cell, ids)
		if (strcmp(lfirst(cell), key_id) == 0)
			return true;
	return false;
}

/* A table's column as a finding's subject; NULL if the table is gone. */
static char *
column_subject(Oid relid, const char *column)
{
	char *schema = get_namespace_name(get_rel_namespace(relid));
	char *table = get_rel_name(relid);

	return schema && table ? psprintf("column %s.%s", quote_qualified_identifier(schema, table),
									  quote_identifier(column))
						   : NULL;
}

static char *
key_subject(const char *key_id)
{
	return psprintf("key %s", key_id);
}

/* ---- what may fail ---- */

/*
 * Runs something that may throw in a subtransaction. The error, or NULL. The
 * query is cancelled all the same.
 */
static ErrorData *
attempt(void (*action)(void *), void *argument)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	ErrorData *volatile error = NULL;

	BeginInternalSubTransaction(NULL);
	PG_TRY();
	{
		action(argument);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	if (error && error->sqlerrcode == ERRCODE_QUERY_CANCELED)
		ReThrowError(error);
	return error;
}

/* Message and detail of an error in one line. */
static char *
error_line(const ErrorData *error)
{
	return error->detail ? psprintf("%s: %s", error->message, error->detail)
						 : pstrdup(error->message);
}

static void
load_ring(void *argument)
{
	(void) session_ring();
}

/* The session's ring, or NULL. To be asked for anew after owners' expressions ran. */
static dbcrypt_ring *
ring_of(const Doctor *doctor)
{
	return doctor->has_ring ? session_ring_if_loaded() : NULL;
}

/* Reads the ring and dbcrypt_keys. */
static void
read_keys(Doctor *doctor)
{
	ErrorData *error = attempt(load_ring, NULL);
	uint64 count;

	doctor->has_ring = error == NULL;
	if (error)
		add_finding(doctor, SEVERITY_ERROR, pstrdup("key ring"), error_line(error),
					error->hint ? error->hint
								: pstrdup("No value can be opened until it is mended."));

	count = begin_query(psprintf("SELECT key_id, revoked_at IS NOT NULL FROM %s",
								 catalog_relation_name("dbcrypt_keys")));
	for (uint64 i = 0; i < count; i++)
	{
		char *key_id = field(i, 1);

		doctor->known = lappend(doctor->known, key_id);
		if (strcmp(field(i, 2), "t") == 0)
			doctor->revoked = lappend(doctor->revoked, key_id);
	}
	SPI_finish();
}

/* ---- keys ---- */

/* What the ring and dbcrypt_keys say of each other. */
static void
check_keys(Doctor *doctor)
{
	dbcrypt_ring *ring = ring_of(doctor);

	if (ring == NULL)
		return;
	if (dbcrypt_ring_count(ring) == 0 && (doctor->registered != NIL || doctor->known != NIL))
		add_finding(doctor, SEVERITY_ERROR, pstrdup("key ring"),
					pstrdup("no encryption keys are configured"),
					pstrdup("Set dbcrypt.key_file to the file of this database's keys."));
	for (size_t i = 0; i < dbcrypt_ring_count(ring); i++)
	{
		const char *key_id = dbcrypt_ring_key_id(ring, i);
		unsigned state = dbcrypt_ring_state(ring, i);

		if (state & DBCRYPT_STATE_BAD_CANARY)
			add_finding(doctor, SEVERITY_ERROR, key_subject(key_id),
						pstrdup("does not match its canary"),
						pstrdup("The key or its row in dbcrypt_keys was changed: restore the "
								"right one before anything is encrypted."));
		if (i == 0 && !(state & DBCRYPT_STATE_REGISTERED))
			add_finding(doctor, SEVERITY_ERROR, key_subject(key_id),
						pstrdup("is the primary key and not registered: nothing can be encrypted"),
						pstrdup("Run SELECT * FROM dbcrypt_register_keys()."));
		if (state & DBCRYPT_STATE_REVOKED)
		{
			if (i == 0)
				add_finding(doctor, SEVERITY_ERROR, key_subject(key_id),
							pstrdup("is the primary key and revoked: nothing can be encrypted"),
							pstrdup("Put another key first in dbcrypt.key_file, or run "
									"dbcrypt_reinstate_key()."));
			else
				add_finding(doctor, SEVERITY_WARNING, key_subject(key_id),
							pstrdup("is revoked and still loaded"),
							pstrdup("Remove it from dbcrypt.key_file once no other database "
									"needs it."));
		}
	}
}

/* ---- registered columns ---- */

/* What a value under this key is, opened by nobody. */
static CipherState
key_state(const Doctor *doctor, const char *key_id)
{
	dbcrypt_ring *ring = ring_of(doctor);

	if (holds(doctor->revoked, key_id))
		return CIPHER_REVOKED;
	if (ring == NULL)
		return CIPHER_PRIMARY; /* unknown, and reported already */
	for (size_t i = 0; i < dbcrypt_ring_count(ring); i++)
		if (strcmp(dbcrypt_ring_key_id(ring, i), key_id) == 0)
			return i == 0 ? CIPHER_PRIMARY : CIPHER_OLD;
	return CIPHER_NOT_LOADED;
}

/* Whether the relation may be scanned here at all. */
static bool
is_readable(Relation rel)
{
	return rel->rd_rel->relkind == RELKIND_RELATION &&
		   rel->rd_rel->relpersistence != RELPERSISTENCE_TEMP &&
		   (RelationIsPermanent(rel) || !RecoveryInProgress());
}

/* Opens a relation unless it is gone or locked against reading. */
static Relation
open_if_free(Oid relid, bool *locked)
{
	Relation rel;

	*locked = !ConditionalLockRelationOid(relid, AccessShareLock);
	if (*locked)
		return NULL;
	rel = try_relation_open(relid, NoLock);
	if (rel == NULL)
		UnlockRelationOid(relid, AccessShareLock);
	return rel;
}

/* Counts the values of one relation by what their headers say. */
static void
count_values(const Doctor *doctor, Relation rel, AttrNumber attnum, List **tallies)
{
	dbcrypt_encoding form = column_form(rel, attnum);
	Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
	TableScanDesc scan = table_beginscan(rel, snapshot, 0, NULL);
	TupleTableSlot *slot = table_slot_create(rel, NULL);

	while (table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		char key_id[DBCRYPT_KEY_ID_LEN + 1] = "";
		CipherState state;
		bool isnull;
		Datum value = slot_getattr(slot, attnum, &isnull);

		CHECK_FOR_INTERRUPTS();
		if (isnull)
			continue;
		switch (value_read_header(value, form, key_id))
		{
			case DBCRYPT_OK:
				state = key_state(doctor, key_id);
				break;
			case DBCRYPT_NOT_AN_ENVELOPE:
				state = CIPHER_PLAINTEXT;
				break;
			default:
				state = CIPHER_FAILED;
				break;
		}
		tally_value(tallies, state, key_id, rel, &slot->tts_tid);
	}
	ExecDropSingleTupleTableSlot(slot);
	table_endscan(scan);
	UnregisterSnapshot(snapshot);
}

/* The values of one relation of an adopted column, to count. */
typedef struct AdoptedValues
{
	Relation rel;
	const TargetColumn *target;
	List **tallies;
} AdoptedValues;

static bool
count_adopted_value(void *arg, Relation rel, CipherState state, const char *key_id, ItemPointer tid)
{
	tally_value(((AdoptedValues *) arg)->tallies, state, key_id, rel, tid);
	return true;
}

static void
identify_adopted(void *arg)
{
	AdoptedValues *values = arg;

	identify_values(values->rel, values->target, count_adopted_value, values);
}

/* The same for a column of another scheme, which may need the keys to tell. */
static void
count_adopted_values(Doctor *doctor, char *subject, Relation rel, const TargetColumn *target,
					 List **tallies)
{
	AdoptedValues values = {rel, target, tallies};
	ErrorData *error = attempt(identify_adopted, &values);

	if (error)
		add_finding(doctor, SEVERITY_ERROR, subject,
					psprintf("its values could not be looked at: %s", error_line(error)),
					pstrdup("See dbcrypt_columns for its scheme and options."));
}

/* A finding for what a column holds that it should not, or not for long. */
static void
report_tally(Doctor *doctor, char *subject, const Tally *tally)
{
	char *first = tally->nexamples > 0 ? tally->examples[0] : "";

	switch (tally->state)
	{
		case CIPHER_OLD:
			add_finding(
				doctor, SEVERITY_NOTICE, subject,
				psprintf("values under old key %s: " INT64_FORMAT, tally->key_id, tally->values),
				pstrdup("Rotate the column when it suits: dbcrypt_rotate()."));
			break;
		case CIPHER_REVOKED:
			add_finding(doctor, SEVERITY_ERROR, subject,
						psprintf("values under revoked key %s: " INT64_FORMAT ", first in %s",
								 tally->key_id, tally->values, first),
						pstrdup("Run dbcrypt_reinstate_key(), and rotate the column before the "
								"key is revoked again."));
			break;
		case CIPHER_NOT_LOADED:
			add_finding(
				doctor, SEVERITY_ERROR, subject,
				psprintf("values under key %s, which is not loaded: " INT64_FORMAT ", first in %s",
						 tally->key_id[0] ? tally->key_id : "of many ids", tally->values, first),
				pstrdup("Add the key to dbcrypt.key_file, below the primary key."));
			break;
		case CIPHER_PLAINTEXT:
			add_finding(doctor, SEVERITY_WARNING, subject,
						psprintf("values that are not encrypted: " INT64_FORMAT ", first in %s",
								 tally->values, first),
						pstrdup("Encrypt them with dbcrypt_encrypt_column()."));
			break;
		case CIPHER_FAILED:
			add_finding(doctor, SEVERITY_ERROR, subject,
						psprintf("values of a newer format, or damaged: " INT64_FORMAT
								 ", first in %s",
								 tally->values, first),
						pstrdup("Update the dbcrypt extension, or mend the rows that "
								"dbcrypt_verify() names."));
			break;
		case CIPHER_NULL:
		case CIPHER_PRIMARY:
			break;
	}
}

/* An AAD expression to parse. */
typedef struct AadToParse
{
	Relation rel;
	AttrNumber attnum;
	const char *aad;
} AadToParse;

static void
parse_aad(void *argument)
{
	AadToParse *wanted = argument;
	OwnerContext saved;

	owner_enter(wanted->rel->rd_rel->relowner, &saved);
	(void) aad_parse(wanted->rel, wanted->attnum, wanted->aad);
	owner_leave(&saved);
}

/* Looks at one table of a registered column. */
static void
check_member(Doctor *doctor, const TargetColumn *target, char *subject, Relation rel,
			 List **tallies)
{
	SeenColumn *seen;
	AttrNumber attnum = get_attnum(RelationGetRelid(rel), target->name);

	if (attnum <= 0)
		return;
	seen = palloc(sizeof(SeenColumn));
	*seen = (SeenColumn){RelationGetRelid(rel), attnum};
	doctor->seen = lappend(doctor->seen, seen);
	if (RelationGetRelid(rel) == target->relid)
	{
		AadToParse wanted = {rel, attnum, target->aad};
		ErrorData *error = attempt(parse_aad, &wanted);

		if (error)
			add_finding(doctor, SEVERITY_ERROR, subject,
						psprintf("its AAD expression does not work: %s", error_line(error)),
						pstrdup("Undo the change to the table that broke it, or register the "
								"column again with an expression of the same value."));
	}
	if (!is_readable(rel))
		return;
	if (column_is_native(target))
		count_values(doctor, rel, attnum, tallies);
	else
		count_adopted_values(doctor, subject, rel, target, tallies);
}

static void
check_registered_column(Doctor *doctor, const TargetColumn *target)
{
	char *subject = column_subject(target->relid, target->name);
	List *tallies = NIL;
	ListCell *cell;

	if (subject == NULL)
		return;
	foreach(cell, column_members(target->relid, NoLock))
	{
		bool locked;
		Relation rel = open_if_free(lfirst_oid(cell), &locked);

		if (rel)
		{
			check_member(doctor, target, subject, rel, &tallies);
			relation_close(rel, AccessShareLock);
		}
		else if (locked)
			add_finding(doctor, SEVERITY_NOTICE, subject, pstrdup("was locked and not looked at"),
						pstrdup("Run dbcrypt_check() again."));
	}
	tally_sort(tallies);
	foreach(cell, tallies)
	{
		report_tally(doctor, subject, lfirst(cell));
	}
}

/* ---- columns that nobody registered ---- */

static bool
is_seen(const Doctor *doctor, Oid relid, AttrNumber attnum)
{
	ListCell *cell;

	foreach(cell, doctor->seen)
	{
		SeenColumn *seen = lfirst(cell);

		if (seen->relid == relid && seen->attnum == attnum)
			return true;
	}
	return false;
}

/* Reports a column by the table that it comes from, once. */
static void
report_unregistered(Doctor *doctor, Relation rel, AttrNumber attnum)
{
	const char *name = NameStr(TupleDescAttr(RelationGetDescr(rel), attnum - 1)->attname);
	Oid relid = RelationGetRelid(rel);
	SeenColumn *seen = palloc(sizeof(SeenColumn));

	if (rel->rd_rel->relispartition)
	{
		relid = llast_oid(get_partition_ancestors(relid));
		attnum = get_attnum(relid, name);
		if (is_seen(doctor, relid, attnum))
			return;
	}
	*seen = (SeenColumn){relid, attnum};
	doctor->seen = lappend(doctor->seen, seen);
	add_finding(doctor, SEVERITY_WARNING, column_subject(relid, name),
				pstrdup("holds encrypted values and is not registered: a key that it uses could be "
						"revoked"),
				pstrdup("Run dbcrypt_register_column(), or rotate it, which registers it."));
}

/* Looks for envelopes in the first rows of a table, in columns not seen yet. */
static void
sample_relation(Doctor *doctor, Relation rel)
{
	TupleDesc desc = RelationGetDescr(rel);
	dbcrypt_encoding *forms = palloc(desc->natts * sizeof(dbcrypt_encoding));
	int *left = palloc0(desc->natts * sizeof(int));
	int columns = 0;
	ItemPointerData first;
	ItemPointerData last;
	Snapshot snapshot;
	TableScanDesc scan;
	TupleTableSlot *slot;

	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(desc, i);
		Oid type = attribute->attisdropped ? InvalidOid : getBaseType(attribute->atttypid);

		if ((type != TEXTOID && type != VARCHAROID && type != BYTEAOID) ||
			is_seen(doctor, RelationGetRelid(rel), i + 1))
			continue;
		forms[i] = type == BYTEAOID ? DBCRYPT_ENCODING_BINARY : DBCRYPT_ENCODING_TEXT;
		left[i] = SAMPLE_VALUES;
		columns++;
	}
	if (columns == 0 || rel->rd_tableam->scan_set_tidrange == NULL)
		return;

	ItemPointerSet(&first, 0, FirstOffsetNumber);
	ItemPointerSet(&last, SAMPLE_BLOCKS - 1, MaxOffsetNumber);
	snapshot = RegisterSnapshot(GetLatestSnapshot());
	scan = table_beginscan_tidrange(rel, snapshot, &first, &last);
	slot = table_slot_create(rel, NULL);
	while (columns > 0 && table_scan_getnextslot_tidrange(scan, ForwardScanDirection, slot))
	{
		CHECK_FOR_INTERRUPTS();
		for (int i = 0; i < desc->natts; i++)
		{
			char key_id[DBCRYPT_KEY_ID_LEN + 1];
			bool isnull;
			Datum value;

			if (left[i] == 0)
				continue;
			value = slot_getattr(slot, i + 1, &isnull);
			if (isnull)
				continue;
			left[i]--;
			if (value_read_header(value, forms[i], key_id) == DBCRYPT_OK)
			{
				report_unregistered(doctor, rel, i + 1);
				left[i] = 0;
			}
			columns -= left[i] == 0;
		}
	}
	ExecDropSingleTupleTableSlot(slot);
	table_endscan(scan);
	UnregisterSnapshot(snapshot);
}

/* Ordinary tables of users, which is to say neither a catalog nor dbcrypt's own. */
static List *
user_tables(void)
{
	Relation catalog = table_open(RelationRelationId, AccessShareLock);
	TableScanDesc scan = table_beginscan_catalog(catalog, 0, NULL);
	Oid keys = catalog_relation("dbcrypt_keys");
	List *tables = NIL;
	HeapTuple tuple;

	while ((tuple = heap_getnext(scan, ForwardScanDirection)) != NULL)
	{
		Form_pg_class table = (Form_pg_class) GETSTRUCT(tuple);

		if (table->relkind == RELKIND_RELATION && table->oid >= FirstNormalObjectId &&
			table->relpersistence != RELPERSISTENCE_TEMP && table->oid != keys)
			tables = lappend_oid(tables, table->oid);
	}
	table_endscan(scan);
	table_close(catalog, AccessShareLock);
	list_sort(tables, list_oid_cmp);
	return tables;
}

static void
check_unregistered_columns(Doctor *doctor)
{
	ListCell *cell;

	foreach(cell, user_tables())
	{
		bool locked;
		Relation rel = open_if_free(lfirst_oid(cell), &locked);

		if (rel == NULL)
			continue;
		if (is_readable(rel))
			sample_relation(doctor, rel);
		relation_close(rel, AccessShareLock);
	}
}

/* ---- settings ---- */

/*
 * Literal keys where they are copied about or shown. Never looks at the value,
 * and does not name the setting beside a path, which would be masked in the log.
 */
static void
check_settings(Doctor *doctor)
{
	uint64 count;

	count = begin_query(
		"SELECT DISTINCT sourcefile, sourceline FROM pg_catalog.pg_file_settings "
		"WHERE pg_catalog.lower(name) = 'dbcrypt.keys' AND setting <> '' ORDER BY 1, 2");
	for (uint64 i = 0; i < count; i++)
		if (library_preloaded)
			add_finding(
				doctor, SEVERITY_WARNING, pstrdup("configuration"),
				psprintf("a literal key is in file \"%s\", line %s", field(i, 1), field(i, 2)),
				pstrdup("Move it to a file of its own and set dbcrypt.key_file: "
						"configuration files are copied into backups."));
		else
			add_finding(doctor, SEVERITY_ERROR, pstrdup("configuration"),
						psprintf("a literal key is in file \"%s\", line %s, and dbcrypt is not "
								 "preloaded: every role can read it with SHOW",
								 field(i, 1), field(i, 2)),
						pstrdup("Move it to a file of its own and set dbcrypt.key_file; then "
								"rotate to a new key."));
	SPI_finish();

	count = begin_query(
		"SELECT CASE WHEN s.setrole = 0 THEN pg_catalog.format('database %I', d.datname)"
		"            WHEN s.setdatabase = 0 THEN pg_catalog.format('role %I', r.rolname)"
		"            ELSE pg_catalog.format('role %I in database %I', r.rolname, d.datname) END"
		"  FROM pg_catalog.pg_db_role_setting s"
		"       CROSS JOIN LATERAL pg_catalog.unnest(s.setconfig) AS entry"
		"       LEFT JOIN pg_catalog.pg_database d ON d.oid = s.setdatabase"
		"       LEFT JOIN pg_catalog.pg_roles r ON r.oid = s.setrole"
		" WHERE pg_catalog.lower(entry) LIKE 'dbcrypt.keys=_%' "
		"UNION "
		"SELECT pg_catalog.format('function %s', p.oid::pg_catalog.regprocedure)"
		"  FROM pg_catalog.pg_proc p CROSS JOIN LATERAL pg_catalog.unnest(p.proconfig) AS entry"
		" WHERE pg_catalog.lower(entry) LIKE 'dbcrypt.keys=_%' "
		"ORDER BY 1");
	for (uint64 i = 0; i < count; i++)
		add_finding(doctor, SEVERITY_ERROR, field(i, 1),
					pstrdup("a literal key is set for it, which every role can read"),
					pstrdup("Reset dbcrypt.keys there with ALTER, set dbcrypt.key_file, and "
							"rotate to a new key."));
	SPI_finish();
}

/* dbcrypt_check(): a row per finding, errors first; none when all is well. */
Datum
dbcrypt_check(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	Doctor doctor = {0};
	ListCell *cell;

	InitMaterializedSRF(fcinfo, 0);
	doctor.registered = columns_registered();
	read_keys(&doctor);
	check_keys(&doctor);
	check_settings(&doctor);
	foreach(cell, doctor.registered)
	{
		check_registered_column(&doctor, lfirst(cell));
	}
	check_unregistered_columns(&doctor);

	for (int severity = 0; severity < NSEVERITIES; severity++)
		foreach(cell, doctor.findings)
		{
			Finding *finding = lfirst(cell);
			Datum values[4];
			bool nulls[4] = {false};

			if (finding->severity != severity)
				continue;
			values[0] = CStringGetTextDatum(severity_names[severity]);
			values[1] = CStringGetTextDatum(finding->subject);
			values[2] = CStringGetTextDatum(finding->finding);
			values[3] = CStringGetTextDatum(finding->hint);
			tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
		}
	return (Datum) 0;
}
