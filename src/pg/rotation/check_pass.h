/*
 * check_pass.h
 *		The check that ends a pass of a rotation job.
 */
#ifndef DBCRYPT_CHECK_PASS_H
#define DBCRYPT_CHECK_PASS_H

#include "postgres.h"

#include "columns/target.h"
#include "rotation/job_state.h"
#include "rotation/method.h"
#include "rotation/options.h"

/*
 * Looks at every value once, under the active snapshot. Returns how many still
 * need rotation; those that do not open are counted apart, in the result.
 */
extern int64 check_pass_inspect(JobState *shared, const JobRelation *relations,
								const TargetColumn *target, const RotationOptions *options,
								RotationResult *result);

#endif
