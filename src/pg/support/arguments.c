/*
 * arguments.c
 *		Arguments and results of SQL functions.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "support/arguments.h"

void
arguments_refuse_null(FunctionCallInfo fcinfo, const char *const *names, int n)
{
	for (int i = 0; i < n; i++)
		if (names[i] && PG_ARGISNULL(i))
			ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
							errmsg("%s must not be null", names[i])));
}

char *
text_argument(FunctionCallInfo fcinfo, int n)
{
	return PG_ARGISNULL(n) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(n));
}

/* Refuses a result of which SQL declares another number of columns than is returned. */
static void
check_columns(FunctionCallInfo fcinfo, TupleDesc desc, int columns)
{
	if (desc->natts != columns)
		ereport(ERROR, (errcode(ERRCODE_DATATYPE_MISMATCH),
						errmsg("function \"%s\" is declared with %d result columns, not %d",
							   get_func_name(fcinfo->flinfo->fn_oid), desc->natts, columns),
						errhint("Install the version of dbcrypt that pg_extension names, or run "
								"ALTER EXTENSION dbcrypt UPDATE.")));
}

ReturnSetInfo *
result_set(FunctionCallInfo fcinfo, int columns)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;

	InitMaterializedSRF(fcinfo, 0);
	check_columns(fcinfo, result->setDesc, columns);
	return result;
}

Datum
result_row(FunctionCallInfo fcinfo, Datum *values, int columns)
{
	TupleDesc desc;
	bool *nulls;

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	check_columns(fcinfo, desc, columns);
	nulls = palloc0(sizeof(bool) * desc->natts);
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls));
}

Datum
name_datum(const char *name)
{
	return DirectFunctionCall1(namein, CStringGetDatum(name));
}
