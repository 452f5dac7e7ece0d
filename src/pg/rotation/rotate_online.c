/*
 * rotate_online.c
 *		The procedure dbcrypt_rotate_online.
 */
#include "postgres.h"

#include "executor/spi.h"
#include "fmgr.h"

#include "columns/target.h"
#include "rotation/job.h"
#include "rotation/method.h"
#include "rotation/methods.h"
#include "rotation/options.h"
#include "support/arguments.h"

PG_FUNCTION_INFO_V1(dbcrypt_rotate_online);

#define ARG_VACUUM_EVERY 9

/*
 * dbcrypt_rotate_online("table", "column", aad, batch_blocks, busy_share,
 * max_wal_rate, max_lag, workers, on_error, vacuum_every)
 */
Datum
dbcrypt_rotate_online(PG_FUNCTION_ARGS)
{
	TargetColumn target;
	RotationOptions options = {0};
	RotationResult result = {0};
	Datum values[5];

	rotation_check_call(fcinfo, "dbcrypt_rotate_online");
	SPI_connect_ext(SPI_OPT_NONATOMIC);
	rotation_read_options(fcinfo, &target, &options);
	if (!PG_ARGISNULL(ARG_VACUUM_EVERY))
	{
		options.vacuum_every = PG_GETARG_INT32(ARG_VACUUM_EVERY);
		if (options.vacuum_every < 0)
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
							errmsg("vacuum_every must not be negative")));
	}
	rotation_job_run(&target, ROTATION_METHOD_ONLINE, &options, &result);
	SPI_finish();

	values[0] = Int64GetDatum(result.scanned);
	values[1] = Int64GetDatum(result.rotated);
	values[2] = Int64GetDatum(rotation_result_current(&result));
	values[3] = Int64GetDatum(result.nulls);
	values[4] = Int64GetDatum(result.skipped);
	PG_RETURN_DATUM(result_row(fcinfo, values, lengthof(values)));
}
