/*
 * coder.c
 *		dbcrypt_adopt_coder: every column that refers to Coder's catalog of keys.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_class.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/tuplestore.h"

#include "applications/adopt.h"
#include "columns/application_catalog.h"
#include "columns/foreign_keys.h"
#include "columns/options.h"
#include "columns/registry.h"
#include "columns/target.h"
#include "support/arguments.h"

PG_FUNCTION_INFO_V1(dbcrypt_adopt_coder);

#define NRESULTS 4

/* The one catalog of Coder's keys in the database; refuses none and more than one. */
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

		if (strcmp(NameStr(form->relname), "dbcrypt_keys") != 0 ||
			!application_catalog_check(form->oid))
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
		ereport(
			ERROR,
			(errcode(ERRCODE_UNDEFINED_TABLE), errmsg("no table is a catalog of Coder's keys"),
			 errdetail("Such a table is named dbcrypt_keys and has a column active_key_digest.")));
	return catalog;
}

/* Whether a column is the companion column of a registered one. */
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

/* The name of the column whose values' key ids a companion column holds. */
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
					errhint("Adopt the column of the values with dbcrypt_adopt() and option key_id "
							"first.")));
}

/* Returns the row of a column that was adopted. */
static void
put_column(ReturnSetInfo *result, const TargetColumn *target, AdoptedValues adopted)
{
	Datum values[NRESULTS] = {ObjectIdGetDatum(target->relid), name_datum(target->name),
							  Int64GetDatum(adopted.opened), BoolGetDatum(adopted.sampled)};
	bool nulls[NRESULTS] = {false};

	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/*
 * dbcrypt_adopt_coder(keys regclass): adopts every column whose key ids refer to
 * the catalog, so that none is forgotten; returns those.
 */
Datum
dbcrypt_adopt_coder(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result;
	Oid catalog;
	ListCell *cell;

	PreventCommandDuringRecovery("dbcrypt_adopt_coder()");
	PreventCommandIfReadOnly("dbcrypt_adopt_coder()");
	catalog = PG_ARGISNULL(0) ? find_catalog() : PG_GETARG_OID(0);
	if (!application_catalog_check(catalog))
		ereport(ERROR, (errcode(ERRCODE_WRONG_OBJECT_TYPE),
						errmsg("table \"%s\" is not a catalog of Coder's keys",
							   get_rel_name(catalog) ? get_rel_name(catalog) : "?")));
	result = result_set(fcinfo, NRESULTS);
	foreach(cell, foreign_keys(catalog))
	{
		ForeignKey *key = lfirst(cell);
		TargetColumn target = {.relid = key->relid, .scheme = scheme_named("coder")};

		if (key->is_copy || key->referenced != catalog ||
			key->referenced_attnum != get_attnum(catalog, "active_key_digest"))
			continue;
		target.options.companion = get_attname(key->relid, key->attnum, false);
		if (is_companion(key->relid, target.options.companion))
			continue;
		target.name = value_column(key->relid, target.options.companion);
		put_column(result, &target, adopt_column(&target));
	}
	return (Datum) 0;
}
