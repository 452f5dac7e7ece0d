/*
 * census.c
 *		The census: reads one relation after the other and collects what is found.
 *
 * Each relation is read in a subtransaction that is rolled back: so its locks are
 * released, and an error costs no more than that relation.
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_largeobject.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"

#include "columns/members.h"
#include "health/census.h"
#include "health/census_large_objects.h"
#include "health/census_relation.h"
#include "health/census_result.h"
#include "health/census_rows.h"
#include "support/catalog.h"
#include "support/errors.h"
#include "support/progress.h"
#include "support/run_as.h"
#include "support/subtransaction.h"

/*
 * The relations that may hold rows, as the snapshot sees them. PostgreSQL's own have
 * lower OIDs; the keys' canaries are envelopes too.
 */
static const char *const relations_query =
	"SELECT c.oid, pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname),"
	"       c.relfilenode, n.oid, c.relpages"
	"  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
	" WHERE c.oid >= 16384 AND c.relkind IN ('r', 'm', 'f') AND c.oid <> $1"
	"   AND ($2 IS NULL OR c.oid = ANY ($2))"
	" ORDER BY n.nspname, c.relname";

/* OIDs as an array. */
static Datum
oid_array(const List *oids)
{
	Datum *values = palloc(sizeof(Datum) * (list_length(oids) + 1));
	ListCell *cell;
	int n = 0;

	foreach(cell, oids)
		values[n++] = ObjectIdGetDatum(lfirst_oid(cell));
	return PointerGetDatum(construct_array(values, n, OIDOID, sizeof(Oid), true, TYPALIGN_INT));
}

/* One field of a row of SPI's result that is not NULL. */
static Datum
spi_field(uint64 row, int column)
{
	bool isnull;

	return SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column, &isnull);
}

/* The relations to read, as CensusRelation. */
static List *
list_relations(Census *census)
{
	const CensusRequest *request = census->request;
	MemoryContext caller = CurrentMemoryContext;
	Oid types[] = {OIDOID, OIDARRAYOID};
	Datum values[] = {ObjectIdGetDatum(catalog_relation("dbcrypt_keys")), (Datum) 0};
	char nulls[] = {' ', 'n', '\0'};
	List *only = NIL;
	List *relations = NIL;

	if (OidIsValid(request->relid))
		only = column_members(request->relid, NoLock);
	else if (request->registered_only)
		only = census_registered_relations(census);
	if (only != NIL || request->registered_only)
	{
		values[1] = oid_array(only);
		nulls[1] = ' ';
	}
	SPI_connect();
	if (SPI_execute_with_args(relations_query, lengthof(types), types, values, nulls, true, 0) !=
		SPI_OK_SELECT)
		elog(ERROR, "query on pg_class failed");
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		MemoryContext spi = MemoryContextSwitchTo(caller);
		CensusRelation *relation = palloc0(sizeof(CensusRelation));

		relation->census = census;
		relation->relid = DatumGetObjectId(spi_field(i, 1));
		relation->name = TextDatumGetCString(spi_field(i, 2));
		relation->filenode = DatumGetObjectId(spi_field(i, 3));
		relation->schema = DatumGetObjectId(spi_field(i, 4));
		relation->blocks = Max(DatumGetInt32(spi_field(i, 5)), 1);
		relations = lappend(relations, relation);
		MemoryContextSwitchTo(spi);
	}
	SPI_finish();
	return relations;
}

/* Runs a part of the census; what it cannot read becomes a row. */
static void
run_part(CensusRelation *relation, void (*part)(void *))
{
	ErrorData *error = subtransaction_undo(part, relation);

	if (error == NULL)
		return;
	if (error->sqlerrcode == ERRCODE_QUERY_CANCELED)
		ReThrowError(error);
	census_add_unreadable(relation, error_line(error));
	FreeErrorData(error);
}

/* Reads one relation: its values, then registered columns that need their codec. */
static void
read_relation(CensusRelation *relation)
{
	ListCell *cell;

	if (isOtherTempNamespace(relation->schema))
		census_add_unreadable(relation, "a temporary table of another session");
	else
	{
		run_part(relation, census_read_values);
		foreach(cell, relation->opening)
		{
			relation->column = lfirst(cell);
			run_part(relation, census_open_values);
		}
		relation->column = NULL;
	}
}

/* Reads all relations and shows the progress. */
static void
read_relations(Census *census, List *relations, bool large_objects)
{
	MemoryContext work =
		AllocSetContextCreate(CurrentMemoryContext, "dbcrypt census", ALLOCSET_DEFAULT_SIZES);
	MemoryContext caller = CurrentMemoryContext;
	uint64 total = 0;
	uint64 done = 0;
	ListCell *cell;

	foreach(cell, relations)
		total += ((CensusRelation *) lfirst(cell))->blocks;
	progress_start(InvalidOid, InvalidAttrNumber, total);
	progress_phase(PROGRESS_SEARCHING);
	MemoryContextSwitchTo(work);
	foreach(cell, relations)
	{
		CensusRelation *relation = lfirst(cell);

		progress_relation(relation->relid);
		read_relation(relation);
		done += relation->blocks;
		progress_update(done, 0);
		MemoryContextReset(work);
	}
	if (large_objects)
	{
		CensusRelation relation = {
			.census = census, .relid = LargeObjectRelationId, .name = "pg_catalog.pg_largeobject"};

		progress_relation(LargeObjectRelationId);
		run_part(&relation, census_read_large_objects);
	}
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(work);
	progress_end();
}

List *
census_run(const CensusRequest *request)
{
	Census census = {.request = request, .context = CurrentMemoryContext};
	RunAsContext saved;

	(void) catalog_relation_name("dbcrypt_keys");
	run_as_owner(owner_of(catalog_relation("dbcrypt_keys")), &saved);
	/* A policy that would hide rows from this role is then an error. */
	SetConfigOption("row_security", "off", PGC_USERSET, PGC_S_SESSION);
	census_list_registered(&census);
	read_relations(&census, list_relations(&census),
				   request->relid == LargeObjectRelationId ||
					   (!OidIsValid(request->relid) && !request->registered_only));
	run_as_restore(&saved);
	census_sort(&census);
	return census.rows;
}
