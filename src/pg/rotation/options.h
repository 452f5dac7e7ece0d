/*
 * options.h
 *		The arguments that the procedures of rotation share.
 */
#ifndef DBCRYPT_ROTATION_OPTIONS_H
#define DBCRYPT_ROTATION_OPTIONS_H

#include "postgres.h"

#include "fmgr.h"

#include "columns/target.h"

/* What a caller may choose. */
typedef struct RotationOptions
{
	int batch_blocks;
	int workers;	  /* processes, the caller included */
	int vacuum_every; /* batches between two VACUUMs, 0 for none, -1 automatic */
	double busy_share;
	uint64 max_wal_rate;
	uint64 max_lag;
	int pin_timeout; /* ms */
	bool skip_bad;
} RotationOptions;

/* Refuses a call inside a transaction block or a function, in recovery or read-only. */
extern void rotation_check_call(FunctionCallInfo fcinfo, const char *procedure);

/*
 * Reads arguments 0 to 8 of a procedure: table, column, aad, batch_blocks,
 * busy_share, max_wal_rate, max_lag, workers, on_error.
 */
extern void rotation_read_options(FunctionCallInfo fcinfo, TargetColumn *target,
								  RotationOptions *options);

#endif
