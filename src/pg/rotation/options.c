/*
 * options.c
 *		The arguments that the procedures of rotation share.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "utils/builtins.h"

#include "columns/target.h"
#include "rotation/options.h"
#include "support/arguments.h"

#define MAX_BATCH_BLOCKS 131072 /* 1 GB */
#define MAX_WORKERS 64

void
rotation_check_call(FunctionCallInfo fcinfo, const char *procedure)
{
	if (fcinfo->context == NULL || !IsA(fcinfo->context, CallContext) ||
		castNode(CallContext, fcinfo->context)->atomic)
		ereport(ERROR, (errcode(ERRCODE_INVALID_TRANSACTION_TERMINATION),
						errmsg("%s cannot run inside a transaction block or a function", procedure),
						errhint("CALL it by itself; it commits as it goes.")));
	PreventCommandDuringRecovery(procedure);
	PreventCommandIfReadOnly(procedure);
}

/* A size argument such as '20MB'; 0 for NULL. */
static uint64
size_argument(FunctionCallInfo fcinfo, int n, const char *name)
{
	int64 size;

	if (PG_ARGISNULL(n))
		return 0;
	size = DatumGetInt64(DirectFunctionCall1(pg_size_bytes, PG_GETARG_DATUM(n)));
	if (size <= 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("%s must be greater than zero", name)));
	return (uint64) size;
}

/* Refuses values that are out of their range. */
static void
check_ranges(const RotationOptions *options, const char *on_error)
{
	if (options->batch_blocks < 1 || options->batch_blocks > MAX_BATCH_BLOCKS)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("batch_blocks must be between 1 and %d", MAX_BATCH_BLOCKS)));
	if (!(options->busy_share > 0 && options->busy_share <= 1))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("busy_share must be greater than 0 and at most 1")));
	if (options->workers < 1 || options->workers > MAX_WORKERS)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("workers must be between 1 and %d", MAX_WORKERS)));
	if (!options->skip_bad && strcmp(on_error, "stop") != 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("on_error must be 'stop' or 'skip'")));
}

void
rotation_read_options(FunctionCallInfo fcinfo, TargetColumn *target, RotationOptions *options)
{
	static const char *const names[] = {"table", "column", NULL,	  "batch_blocks", "busy_share",
										NULL,	 NULL,	   "workers", "on_error"};
	char *on_error;

	arguments_refuse_null(fcinfo, names, lengthof(names));
	*target = target_from_arguments(fcinfo);
	target->aad = text_argument(fcinfo, 2);
	options->batch_blocks = PG_GETARG_INT32(3);
	options->busy_share = PG_GETARG_FLOAT8(4);
	options->max_wal_rate = size_argument(fcinfo, 5, "max_wal_rate");
	options->max_lag = size_argument(fcinfo, 6, "max_lag");
	options->workers = PG_GETARG_INT32(7);
	options->vacuum_every = -1;
	on_error = text_argument(fcinfo, 8);
	options->skip_bad = strcmp(on_error, "skip") == 0;
	check_ranges(options, on_error);
}
