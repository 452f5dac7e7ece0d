/*
 * workers.h
 *		The background workers of a rotation job.
 */
#ifndef DBCRYPT_ROTATION_WORKERS_H
#define DBCRYPT_ROTATION_WORKERS_H

#include "postgres.h"

#include "columns/target.h"
#include "rotation/job_state.h"

/* The workers of a job and the shared memory segment that they attach to. */
typedef struct RotationWorkers RotationWorkers;

/* For up to n workers. Nothing is started or shared yet. */
extern RotationWorkers *rotation_workers_create(int n);

/*
 * Copies the state into a shared segment, with all that a worker needs, and starts
 * the workers, as many as the server has. Returns the shared state; the old one
 * when there is no segment to have. After an error rotation_workers_end is still
 * to be called.
 */
extern JobState *rotation_workers_start(RotationWorkers *workers, JobState *state,
										const JobRelation *relations, const TargetColumn *target);

/* How many were started. */
extern int rotation_workers_count(const RotationWorkers *workers);

/* Whether any still runs. */
extern bool rotation_workers_running(const RotationWorkers *workers);

/*
 * Stops the workers, and wipes and leaves the segment: its settings may hold keys.
 * The shared state is gone afterwards. A second call does nothing.
 */
extern void rotation_workers_end(RotationWorkers *workers);

#endif
