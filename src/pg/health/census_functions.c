/*
 * census_functions.c
 *		dbcrypt_census: the census as a table.
 */
#include "postgres.h"

#include "catalog/pg_authid.h"
#include "catalog/pg_class.h"
#include "catalog/pg_largeobject.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
#include "utils/tuplestore.h"

#include "health/census.h"
#include "health/census_result.h"
#include "support/arguments.h"

PG_FUNCTION_INFO_V1(dbcrypt_census);

#define NRESULTS 7

static const char *const state_names[] = {
	[CENSUS_REGISTERED] = "registered",
	[CENSUS_UNREGISTERED] = "unregistered",
	[CENSUS_LOOKS_ENCRYPTED] = "looks encrypted",
	[CENSUS_NOT_READABLE] = "not readable",
};

/* Returns one row of the census. */
static void
put_row(ReturnSetInfo *result, const CensusRow *row)
{
	Datum values[NRESULTS] = {0};
	bool nulls[NRESULTS] = {false};
	Datum examples[CENSUS_EXAMPLES];

	for (int i = 0; i < row->nexamples; i++)
		examples[i] = CStringGetTextDatum(row->examples[i]);
	values[0] = ObjectIdGetDatum(row->relid);
	nulls[1] = row->column == NULL;
	values[1] = nulls[1] ? (Datum) 0 : name_datum(row->column);
	nulls[2] = row->key_id[0] == '\0';
	values[2] = CStringGetTextDatum(row->key_id);
	values[3] = CStringGetTextDatum(state_names[row->state]);
	nulls[4] = row->state == CENSUS_NOT_READABLE;
	values[4] = Int64GetDatum(row->values);
	nulls[5] = row->nexamples == 0;
	values[5] = PointerGetDatum(
		construct_array(examples, row->nexamples, TEXTOID, -1, false, TYPALIGN_INT));
	nulls[6] = row->detail == NULL;
	values[6] = nulls[6] ? (Datum) 0 : CStringGetTextDatum(row->detail);
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/* Refuses a relation that has no rows of its own or of its members. */
static void
check_relation(Oid relid)
{
	char relkind = get_rel_relkind(relid);

	if (relkind == '\0')
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE),
						errmsg("relation with OID %u does not exist", relid)));
	if (relkind != RELKIND_RELATION && relkind != RELKIND_PARTITIONED_TABLE &&
		relkind != RELKIND_MATVIEW && relkind != RELKIND_FOREIGN_TABLE)
		ereport(ERROR, (errcode(ERRCODE_WRONG_OBJECT_TYPE),
						errmsg("\"%s\" is not a table", get_rel_name(relid))));
}

/* dbcrypt_census("table" regclass): a row per place and key. */
Datum
dbcrypt_census(PG_FUNCTION_ARGS)
{
	CensusRequest request = {.relid = PG_ARGISNULL(0) ? InvalidOid : PG_GETARG_OID(0),
							 .looks_encrypted = true};
	ReturnSetInfo *result;
	ListCell *cell;

	if (!superuser() && !has_privs_of_role(GetUserId(), ROLE_PG_READ_ALL_DATA))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied for function dbcrypt_census"),
				 errdetail("It reads every table: only superusers and roles with the privileges "
						   "of pg_read_all_data may call it.")));
	if (OidIsValid(request.relid))
		check_relation(request.relid);
	result = result_set(fcinfo, NRESULTS);
	PushActiveSnapshot(GetLatestSnapshot());
	foreach(cell, census_run(&request))
		put_row(result, lfirst(cell));
	PopActiveSnapshot();
	return (Datum) 0;
}
