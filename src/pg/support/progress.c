/*
 * progress.c
 *		Progress of a running rotation, for the view dbcrypt_progress.
 *
 * Kept in the backend's own progress slots, under a command number that PostgreSQL's
 * progress views ignore. So dbcrypt needs no shared memory, this works without
 * preloading, and the row is gone when the backend is.
 */
#include "postgres.h"

#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/backend_progress.h"
#include "utils/backend_status.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

#include "support/arguments.h"
#include "support/compat.h"
#include "support/progress.h"

PG_FUNCTION_INFO_V1(dbcrypt_progress_rows);

/* "dbc" as a number no built-in command has. */
#define PROGRESS_COMMAND_DBCRYPT ((ProgressCommandType) 0x646263)

/* The meaning of the progress slots. */
enum
{
	PARAM_ATTNUM,
	PARAM_PHASE,
	PARAM_BLOCKS_TOTAL,
	PARAM_BLOCKS_DONE,
	PARAM_ROTATED,
	PARAM_STARTED,
	PARAM_COUNTED_SINCE, /* when blocks were last counted from 0 */
	PARAMS
};

/* The relation that this backend's row names; InvalidOid without a row. */
static Oid shown = InvalidOid;

static const char *const phase_names[] = {"rotating", "waiting", "vacuuming", "checking",
										  "searching"};

void
progress_start(Oid relid, AttrNumber attnum, uint64 blocks_total)
{
	const int params[] = {PARAM_ATTNUM,	 PARAM_PHASE,	PARAM_BLOCKS_TOTAL, PARAM_BLOCKS_DONE,
						  PARAM_ROTATED, PARAM_STARTED, PARAM_COUNTED_SINCE};
	TimestampTz now = GetCurrentTimestamp();
	const int64 values[] = {attnum, PROGRESS_ROTATING, (int64) blocks_total, 0, 0, now, now};

	shown = relid;
	pgstat_progress_start_command(PROGRESS_COMMAND_DBCRYPT, relid);
	pgstat_progress_update_multi_param(lengthof(params), params, values);
}

void
progress_resume(void)
{
	int params[PARAMS];
	int64 values[PARAMS];

	if (!OidIsValid(shown))
		return;
	for (int i = 0; i < PARAMS; i++)
	{
		params[i] = i;
		values[i] = MyBEEntry->st_progress_param[i];
	}
	pgstat_progress_start_command(PROGRESS_COMMAND_DBCRYPT, shown);
	pgstat_progress_update_multi_param(PARAMS, params, values);
}

void
progress_relation(Oid relid)
{
	shown = relid;
	progress_resume();
}

void
progress_total(uint64 blocks_total)
{
	const int params[] = {PARAM_BLOCKS_TOTAL, PARAM_BLOCKS_DONE, PARAM_COUNTED_SINCE};
	const int64 values[] = {(int64) blocks_total, 0, GetCurrentTimestamp()};

	pgstat_progress_update_multi_param(lengthof(params), params, values);
}

void
progress_phase(ProgressPhase phase)
{
	pgstat_progress_update_param(PARAM_PHASE, phase);
}

void
progress_update(uint64 blocks_done, int64 rotated)
{
	const int params[] = {PARAM_BLOCKS_DONE, PARAM_ROTATED};
	const int64 values[] = {(int64) blocks_done, rotated};

	pgstat_progress_update_multi_param(lengthof(params), params, values);
}

void
progress_end(void)
{
	shown = InvalidOid;
	pgstat_progress_end_command();
}

/* dbcrypt_progress_rows(): one row per backend that rotates, for the view. */
Datum
dbcrypt_progress_rows(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result;
	int backends;

	result = result_set(fcinfo, 10);
	backends = pgstat_fetch_stat_numbackends();
	for (int i = 1; i <= backends; i++)
	{
		LocalPgBackendStatus *local = compat_backend_status(i);
		PgBackendStatus *status = &local->backendStatus;
		int64 *params = status->st_progress_param;
		Datum values[10];
		bool nulls[10] = {false};
		int64 phase;

		if (status->st_progress_command != PROGRESS_COMMAND_DBCRYPT)
			continue;
		phase = params[PARAM_PHASE];
		values[0] = Int32GetDatum(status->st_procpid);
		values[1] = ObjectIdGetDatum(status->st_databaseid);
		values[2] = ObjectIdGetDatum(status->st_progress_command_target);
		values[3] = Int16GetDatum((int16) params[PARAM_ATTNUM]);
		values[4] = CStringGetTextDatum(
			phase >= 0 && phase < (int64) lengthof(phase_names) ? phase_names[phase] : "?");
		values[5] = Int64GetDatum(params[PARAM_BLOCKS_TOTAL]);
		values[6] = Int64GetDatum(params[PARAM_BLOCKS_DONE]);
		values[7] = Int64GetDatum(params[PARAM_ROTATED]);
		values[8] = TimestampTzGetDatum(params[PARAM_STARTED]);
		values[9] = TimestampTzGetDatum(params[PARAM_COUNTED_SINCE]);
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	return (Datum) 0;
}
