/*
 * batch.h
 *		One batch of a rotation job: a block range in its own transaction.
 */
#ifndef DBCRYPT_BATCH_H
#define DBCRYPT_BATCH_H

#include "postgres.h"

#include "storage/lockdefs.h"
#include "utils/rel.h"

#include "columns/target.h"
#include "rotation/job_state.h"
#include "rotation/transaction.h"

/*
 * Opens a relation of the job, locked. Checks again the caller's right to it, that no
 * trigger copies it and that the method is fit for it: all may have changed between
 * two transactions, as may the column's name, which is brought up to date in *target.
 * NULL if it was dropped or detached meanwhile.
 */
extern Relation job_open_relation(JobState *shared, Oid relid, TargetColumn *target,
								  LOCKMODE lockmode);

/*
 * Takes and rotates the next batch; false if there is none or the job stops. The
 * rows that were busy are tried afterwards, each in a transaction of its own.
 */
extern bool batch_rotate_next(JobState *shared, const JobRelation *relations,
							  const TargetColumn *target, CommitFunction commit);

#endif
