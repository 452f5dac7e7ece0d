/*
 * appkeys.c
 *		An application's own catalog of keys, as Coder keeps it: a table named
 *		dbcrypt_keys with a row for each key's digest, to which every column of
 *		key ids refers by a foreign key.
 *
 * dbcrypt writes below the executor, where no foreign key is checked. So the
 * referenced row is seen to, and locked, before values are written; a key is
 * revoked by an ordinary UPDATE, in which PostgreSQL looks for references.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_class.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_type.h"
#include "dbcrypt.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

PG_FUNCTION_INFO_V1(dbcrypt_adopt_coder);

/* What each row's column "test" holds, encrypted under the row's key. */
#define TEST_PLAINTEXT "coder"

/* A foreign key. The numbers are 0 unless it has one column. */
typedef struct ForeignKey
{
	Oid relid;
	AttrNumber attnum;
	List *attnums;
	Oid referenced;
	AttrNumber referenced_attnum;
	List *referenced_attnums;
	char *name;
} ForeignKey;

/* The members of an array of column numbers. */
static List *
attnums_of(ArrayType *array)
{
	List *attnums = NIL;

	for (int i = 0; i < ARR_DIMS(array)[0]; i++)
		attnums = lappend_int(attnums, ((int16 *) ARR_DATA_PTR(array))[i]);
	return attnums;
}

/*
 * The foreign keys, not counting the copies that partitions have, whose referring
 * or referenced table is relid.
 */
static List *
foreign_keys(Oid relid)
{
	Relation rel = table_open(ConstraintRelationId, AccessShareLock);
	SysScanDesc scan = systable_beginscan(rel, InvalidOid, false, NULL, 0, NULL);
	List *found = NIL;
	HeapTuple tuple;

	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_constraint form = (Form_pg_constraint) GETSTRUCT(tuple);
		ForeignKey *key;
		ArrayType *columns;
		ArrayType *referenced;
		bool isnull;

		if (form->contype != CONSTRAINT_FOREIGN ||
			(form->conrelid != relid && form->confrelid != relid) ||
			(form->confrelid == relid && OidIsValid(form->conparentid)))
			continue;
		columns = DatumGetArrayTypeP(
			heap_getattr(tuple, Anum_pg_constraint_conkey, RelationGetDescr(rel), &isnull));
		referenced = DatumGetArrayTypeP(
			heap_getattr(tuple, Anum_pg_constraint_confkey, RelationGetDescr(rel), &isnull));
		key = palloc(sizeof(ForeignKey));
		*key = (ForeignKey){.relid = form->conrelid,
							.attnums = attnums_of(columns),
							.referenced = form->confrelid,
							.referenced_attnums = attnums_of(referenced),
							.name = pstrdup(NameStr(form->conname))};
		if (list_length(key->attnums) == 1)
		{
			key->attnum = (AttrNumber) linitial_int(key->attnums);
			key->referenced_attnum = (AttrNumber) linitial_int(key->referenced_attnums);
		}
		found = lappend(found, key);
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return found;
}

/* Whether a table is an application's catalog of keys. */
static bool
is_key_catalog(Oid relid)
{
	static const char *const columns[] = {"number",		"active_key_digest", "revoked_key_digest",
										  "created_at", "revoked_at",		 "test"};
	char *name = get_rel_name(relid);

	if (name == NULL || strcmp(name, "dbcrypt_keys") != 0 ||
		get_rel_relkind(relid) != RELKIND_RELATION)
		return false;
	for (size_t i = 0; i < lengthof(columns); i++)
		if (get_attnum(relid, columns[i]) <= 0)
			return false;
	return true;
}

/* The catalog that a column refers to, InvalidOid for none; throws for other foreign keys. */
static Oid
catalog_of(Oid relid, AttrNumber companion)
{
	Oid catalog = InvalidOid;
	ListCell *cell;

	foreach(cell, foreign_keys(relid))
	{
		ForeignKey *key = lfirst(cell);

		if (!(key->relid == relid && list_member_int(key->attnums, companion)) &&
			!(key->referenced == relid && list_member_int(key->referenced_attnums, companion)))
			continue;
		if (key->relid != relid || key->attnum != companion || !is_key_catalog(key->referenced) ||
			key->referenced_attnum != get_attnum(key->referenced, "active_key_digest"))
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("column \"%s\" of table \"%s\" is part of foreign key \"%s\"",
							get_attname(relid, companion, false), get_rel_name(relid), key->name),
					 errdetail("Table \"%s\" is no catalog of keys that dbcrypt knows.",
							   get_rel_name(key->referenced))));
		catalog = key->referenced;
	}
	return catalog;
}

void
appkeys_check(Relation rel, AttrNumber companion)
{
	(void) catalog_of(RelationGetRelid(rel), companion);
}

/* ---- statements on a catalog ---- */

/*
 * Runs a statement as the catalog's owner, with %s in it for the catalog and $1
 * and $2 for two texts; rows it found or changed. Needs SPI.
 */
static uint64
execute(Oid catalog, const char *statement, const char *first, const char *second)
{
	char *table = quote_qualified_identifier(get_namespace_name(get_rel_namespace(catalog)),
											 get_rel_name(catalog));
	Oid types[] = {TEXTOID, TEXTOID};
	Datum values[2];
	OwnerContext saved;
	int result;

	owner_enter(owner_of(catalog), &saved);
	values[0] = CStringGetTextDatum(first);
	values[1] = second ? CStringGetTextDatum(second) : (Datum) 0;
	result = SPI_execute_with_args(psprintf(statement, table), second ? 2 : 1, types, values, NULL,
								   false, 0);
	if (result < 0)
		elog(ERROR, "query on table %s failed: %s", table, SPI_result_code_string(result));
	owner_leave(&saved);
	return SPI_processed;
}

static bool
hold_row(Oid catalog, const char *digest)
{
	return execute(catalog, "SELECT FROM %s WHERE active_key_digest = $1 FOR KEY SHARE", digest,
				   NULL) > 0;
}

/* The catalog's test text under the primary key, as it stands in a column. */
static char *
seal_test(const dbcrypt_scheme *scheme)
{
	dbcrypt_context context = {.encoding = DBCRYPT_ENCODING_TEXT};
	size_t size = strlen(TEST_PLAINTEXT);
	dbcrypt_sealed sealed = {
		.value = palloc(dbcrypt_scheme_seal_max_size(scheme, DBCRYPT_ENCODING_TEXT, size) + 1)};
	dbcrypt_status status = dbcrypt_scheme_seal(scheme, session_ring(), &context,
												(const uint8_t *) TEST_PLAINTEXT, size, &sealed);

	if (status != DBCRYPT_OK)
		raise_key_status(status, DBCRYPT_ENCODING_TEXT, "", NULL);
	sealed.value[sealed.value_size] = '\0';
	return (char *) sealed.value;
}

/* Gives the primary key its row, unless someone else did meanwhile. */
static void
add_row(Oid catalog, const dbcrypt_scheme *scheme, const char *digest)
{
	/* Others may go on to refer to rows, but not to add keys. */
	LockRelationOid(catalog, ShareRowExclusiveLock);
	if (hold_row(catalog, digest))
		return;
	if (execute(catalog, "SELECT FROM %s WHERE revoked_key_digest = $1", digest, NULL) > 0)
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
						errmsg("key %s is revoked by the application", digest),
						errdetail("Its digest is in column \"revoked_key_digest\" of table \"%s\".",
								  get_rel_name(catalog)),
						errhint("Put a new key first in dbcrypt.key_file.")));
	(void) execute(catalog,
				   "INSERT INTO %1$s (number, active_key_digest, created_at, test) "
				   "SELECT coalesce(max(number), 0) + 1, $1, now(), $2 FROM %1$s",
				   digest, seal_test(scheme));
}

void
appkeys_hold(Relation rel, AttrNumber companion, const dbcrypt_scheme *scheme)
{
	Oid catalog = catalog_of(RelationGetRelid(rel), companion);
	dbcrypt_ring *ring = session_ring();
	char *digest;

	if (!OidIsValid(catalog))
		return;
	if (dbcrypt_ring_count(ring) == 0)
		raise_status(DBCRYPT_NO_KEYS, DBCRYPT_ENCODING_TEXT, NULL, NULL);
	digest = pstrdup(dbcrypt_scheme_key_name(scheme, ring, 0));
	SPI_connect();
	if (!hold_row(catalog, digest))
		add_row(catalog, scheme, digest);
	SPI_finish();
}

/* Revokes a key as the application does; says so where values still refer to it. */
static void
revoke_in_catalog(Oid catalog, const char *digest)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;

	BeginInternalSubTransaction(NULL);
	PG_TRY();
	{
		(void) execute(catalog,
					   "UPDATE %s SET revoked_key_digest = active_key_digest, "
					   "active_key_digest = NULL, revoked_at = now() WHERE active_key_digest = $1",
					   digest, NULL);
		ReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(context);
		CurrentResourceOwner = owner;
	}
	PG_CATCH();
	{
		ErrorData *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();

		/* First: an error out of a subtransaction would leave the session in its transaction. */
		RollbackAndReleaseCurrentSubTransaction();
		if (error->sqlerrcode != ERRCODE_FOREIGN_KEY_VIOLATION)
			ReThrowError(error);
		MemoryContextSwitchTo(context);
		CurrentResourceOwner = owner;
		ereport(NOTICE,
				(errmsg("key %s is still in use by the application, and not revoked", digest),
				 error->detail ? errdetail_internal("%s", error->detail) : 0));
	}
	PG_END_TRY();
}

/* The catalogs that a target's tables refer to, added to a list of OIDs. */
static List *
add_catalogs(List *catalogs, const TargetColumn *target)
{
	ListCell *cell;

	foreach(cell, column_members(target->relid, NoLock))
	{
		Oid catalog =
			catalog_of(lfirst_oid(cell), get_attnum(lfirst_oid(cell), target->options.companion));

		if (OidIsValid(catalog))
			catalogs = list_append_unique_oid(catalogs, catalog);
	}
	return catalogs;
}

void
appkeys_revoke_unused(List *targets)
{
	List *done = NIL;
	ListCell *cell;
	ListCell *catalog;

	foreach(cell, targets)
	{
		const TargetColumn *target = lfirst(cell);
		List *catalogs;

		if (target->options.companion == NULL)
			continue;
		catalogs = list_difference_oid(add_catalogs(NIL, target), done);
		done = list_concat(done, catalogs);
		foreach(catalog, catalogs)
			for (size_t i = 1; i < dbcrypt_ring_count(session_ring()); i++)
			{
				char *digest = pstrdup(dbcrypt_scheme_key_name(target->scheme, session_ring(), i));

				SPI_connect();
				if (execute(lfirst_oid(catalog), "SELECT FROM %s WHERE active_key_digest = $1",
							digest, NULL) > 0)
					revoke_in_catalog(lfirst_oid(catalog), digest);
				SPI_finish();
			}
	}
}

/* ---- dbcrypt_adopt_coder ---- */

/* The one catalog of keys in the database. */
static Oid
find_catalog(void)
{
	Relation rel = table_open(RelationRelationId, AccessShareLock);
	SysScanDesc scan = systable_beginscan(rel, InvalidOid, false, NULL, 0, NULL);
	Oid catalog = InvalidOid;
	bool ambiguous = false;
	HeapTuple tuple;

	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_class form = (Form_pg_class) GETSTRUCT(tuple);

		if (strcmp(NameStr(form->relname), "dbcrypt_keys") != 0 || !is_key_catalog(form->oid))
			continue;
		ambiguous = OidIsValid(catalog);
		catalog = form->oid;
		if (ambiguous)
			break;
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	if (ambiguous)
		ereport(ERROR,
				(errcode(ERRCODE_AMBIGUOUS_PARAMETER),
				 errmsg("more than one table is a catalog of Coder's keys"),
				 errhint("Name it, for example dbcrypt_adopt_coder('public.dbcrypt_keys').")));
	if (!OidIsValid(catalog))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE), errmsg("no table is a catalog of Coder's keys"),
				 errdetail("Its name is dbcrypt_keys, and it has a column "
						   "active_key_digest.")));
	return catalog;
}

/* Whether a column is the companion of a registered one. */
static bool
is_companion(Oid relid, const char *column)
{
	ListCell *cell;

	foreach(cell, columns_registered())
	{
		TargetColumn *target = lfirst(cell);

		if (target->relid == relid && target->options.companion &&
			strcmp(target->options.companion, column) == 0)
			return true;
	}
	return false;
}

/* Name of the column whose key ids a column holds. */
static char *
value_column(Oid relid, const char *companion)
{
	static const char suffix[] = "_key_id";
	size_t size = strlen(companion);
	char *column;

	if (size > sizeof(suffix) - 1 && strcmp(companion + size - (sizeof(suffix) - 1), suffix) == 0)
	{
		column = pnstrdup(companion, size - (sizeof(suffix) - 1));
		if (get_attnum(relid, column) > 0)
			return column;
	}
	ereport(ERROR, (errcode(ERRCODE_UNDEFINED_COLUMN),
					errmsg("cannot tell whose key ids column \"%s\" of table \"%s\" holds",
						   companion, get_rel_name(relid)),
					errhint("Adopt that column with dbcrypt_adopt() and option key_id first.")));
}

/*
 * dbcrypt_adopt_coder(keys regclass): adopts every column whose key ids refer to
 * the catalog, so that none is forgotten; returns those.
 */
Datum
dbcrypt_adopt_coder(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	Oid catalog;
	ListCell *cell;

	PreventCommandDuringRecovery("dbcrypt_adopt_coder()");
	PreventCommandIfReadOnly("dbcrypt_adopt_coder()");
	catalog = PG_ARGISNULL(0) ? find_catalog() : PG_GETARG_OID(0);
	if (!is_key_catalog(catalog))
		ereport(ERROR, (errcode(ERRCODE_WRONG_OBJECT_TYPE),
						errmsg("table \"%s\" is not a catalog of Coder's keys",
							   get_rel_name(catalog) ? get_rel_name(catalog) : "?")));
	InitMaterializedSRF(fcinfo, 0);
	foreach(cell, foreign_keys(catalog))
	{
		ForeignKey *key = lfirst(cell);
		TargetColumn target = {.relid = key->relid, .scheme = scheme_named("coder")};
		Datum values[2];
		bool nulls[2] = {false};

		if (key->referenced != catalog ||
			key->referenced_attnum != get_attnum(catalog, "active_key_digest"))
			continue;
		target.options.companion = get_attname(key->relid, key->attnum, false);
		if (is_companion(key->relid, target.options.companion))
			continue;
		target.name = value_column(key->relid, target.options.companion);
		adopt_column(&target);
		values[0] = ObjectIdGetDatum(target.relid);
		values[1] = DirectFunctionCall1(namein, CStringGetDatum(target.name));
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	return (Datum) 0;
}
