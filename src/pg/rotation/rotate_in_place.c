/*
 * rotate_in_place.c
 *		The procedure dbcrypt_rotate_in_place.
 */
#include "postgres.h"

#include "executor/spi.h"
#include "fmgr.h"

#include "columns/target.h"
#include "rotation/job.h"
#include "rotation/job_state.h"
#include "rotation/method.h"
#include "rotation/methods.h"
#include "rotation/options.h"
#include "support/arguments.h"

PG_FUNCTION_INFO_V1(dbcrypt_rotate_in_place);

#define ARG_PIN_TIMEOUT 9

/*
 * dbcrypt_rotate_in_place("table", "column", aad, batch_blocks, busy_share,
 * max_wal_rate, max_lag, workers, on_error, pin_timeout)
 */
Datum
dbcrypt_rotate_in_place(PG_FUNCTION_ARGS)
{
	TargetColumn target;
	RotationOptions options = {0};
	RotationResult result = {0};
	int64 *counters = result.counters;
	Datum values[7];

	rotation_check_call(fcinfo, "dbcrypt_rotate_in_place");
	SPI_connect_ext(SPI_OPT_NONATOMIC);
	rotation_read_options(fcinfo, &target, &options);
	options.vacuum_every = 0;
	options.pin_timeout = PG_ARGISNULL(ARG_PIN_TIMEOUT) ? -1 : PG_GETARG_INT32(ARG_PIN_TIMEOUT);
	if (options.pin_timeout < 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("pin_timeout must be a number of milliseconds from 0 up")));
	rotation_job_run(&target, ROTATION_METHOD_IN_PLACE, &options, &result);
	if (result.left > 0)
		ereport(NOTICE,
				(errmsg("%lld dead row versions keep their old values", (long long) result.left),
				 errhint("VACUUM removes them."), errhidestmt(true), errhidecontext(true)));
	SPI_finish();

	values[0] = Int64GetDatum(counters[JOB_IN_PLACE]);
	values[1] = Int64GetDatum(counters[JOB_UPDATED]);
	values[2] = Int64GetDatum(rotation_result_current(&result));
	values[3] = Int64GetDatum(result.nulls);
	values[4] = Int64GetDatum(counters[JOB_PAGES]);
	values[5] = Int64GetDatum(counters[JOB_PAGES_WAITED]);
	values[6] = Int64GetDatum(result.skipped);
	PG_RETURN_DATUM(result_row(fcinfo, values, lengthof(values)));
}
