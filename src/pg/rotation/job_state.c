/*
 * job_state.c
 *		What the processes of a rotation job share: counters, the values that do
 *		not open, and the first error of a worker.
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "utils/lsyscache.h"

#include "rotation/job_state.h"

void
job_count(JobState *shared, JobCounter counter, int64 n)
{
	if (n != 0)
		pg_atomic_fetch_add_u64(&shared->counters[counter], n);
}

uint64
job_counted(JobState *shared, JobCounter counter)
{
	return pg_atomic_read_u64(&shared->counters[counter]);
}

int64
job_rotated(JobState *shared)
{
	return (int64) (job_counted(shared, JOB_UPDATED) + job_counted(shared, JOB_IN_PLACE));
}

uint64
job_blocks_done(JobState *shared)
{
	return Min(job_counted(shared, JOB_BLOCKS), shared->total);
}

bool
job_stopped(JobState *shared)
{
	return pg_atomic_read_u32(&shared->stop) != 0;
}

void
job_stop(JobState *shared)
{
	pg_atomic_write_u32(&shared->stop, 1);
}

void
job_note_bad_value(JobState *shared, Relation rel, ItemPointer tid, const char *reason)
{
	JobBadValue bad = {.relid = RelationGetRelid(rel), .tid = *tid};

	strlcpy(bad.reason, reason, sizeof(bad.reason));
	SpinLockAcquire(&shared->lock);
	if (shared->nbad < JOB_BAD_KEPT)
		shared->bad[shared->nbad] = bad;
	shared->nbad++;
	SpinLockRelease(&shared->lock);
}

void
job_note_error(JobState *shared, const ErrorData *error)
{
	bool first;

	SpinLockAcquire(&shared->lock);
	first = !shared->failed;
	shared->failed = true;
	SpinLockRelease(&shared->lock);
	if (first)
	{
		strlcpy(shared->error_message, error->message ? error->message : "unknown error",
				sizeof(shared->error_message));
		strlcpy(shared->error_detail, error->detail ? error->detail : "",
				sizeof(shared->error_detail));
		strlcpy(shared->error_hint, error->hint ? error->hint : "", sizeof(shared->error_hint));
		pg_write_barrier();
		shared->error_code = error->sqlerrcode;
	}
	job_stop(shared);
}

/* Throws the error that a worker has left. */
static void
throw_worker_error(const JobState *shared)
{
	int code = shared->error_code;
	char *message = pstrdup(shared->error_message);
	char *detail = pstrdup(shared->error_detail);
	char *hint = pstrdup(shared->error_hint);

	ereport(ERROR,
			(errcode(code), errmsg("%s", message), detail[0] ? errdetail("%s", detail) : 0,
			 hint[0] ? errhint("%s", hint) : 0, errcontext("background worker of the rotation")));
}

/* Throws the values that did not open. */
static void
throw_bad_values(const JobState *shared)
{
	StringInfoData detail;

	initStringInfo(&detail);
	for (int i = 0; i < Min(shared->nbad, JOB_BAD_KEPT); i++)
	{
		const JobBadValue *bad = &shared->bad[i];

		appendStringInfo(&detail, "%sTable \"%s.%s\", row (%u,%u): %s.", i > 0 ? "\n" : "",
						 get_namespace_name(get_rel_namespace(bad->relid)),
						 get_rel_name(bad->relid), ItemPointerGetBlockNumberNoCheck(&bad->tid),
						 ItemPointerGetOffsetNumberNoCheck(&bad->tid), bad->reason);
	}
	if (shared->nbad > JOB_BAD_KEPT)
		appendStringInfo(&detail, "\nAnd %d more.", shared->nbad - JOB_BAD_KEPT);
	ereport(ERROR,
			(errcode(ERRCODE_DATA_EXCEPTION),
			 errmsg("column \"%s\" of table \"%s\" holds values that cannot be rotated",
					get_attname(shared->relid, shared->attnum, false), get_rel_name(shared->relid)),
			 errdetail("%s", detail.data),
			 errhint("Correct them and call again, or pass on_error => 'skip'. What was "
					 "rotated stays rotated.")));
}

void
job_check_failures(JobState *shared, bool skip_bad)
{
	if (shared->error_code != 0)
		throw_worker_error(shared);
	if (shared->nbad > 0 && !skip_bad)
		throw_bad_values(shared);
}

const JobRelation *
job_relation_of_block(const JobState *shared, const JobRelation *relations, uint64 block)
{
	int low = 0;
	int high = shared->nrelations - 1;

	while (low < high)
	{
		int middle = (low + high + 1) / 2;

		if (relations[middle].first <= block)
			low = middle;
		else
			high = middle - 1;
	}
	return &relations[low];
}
