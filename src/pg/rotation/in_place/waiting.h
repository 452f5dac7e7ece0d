/*
 * waiting.h
 *		Whom a rotation in place waits for.
 */
#ifndef DBCRYPT_IN_PLACE_WAITING_H
#define DBCRYPT_IN_PLACE_WAITING_H

#include "postgres.h"

#include "rotation/job_state.h"
#include "rotation/options.h"

/*
 * Waits until every transaction that may write to a relation now has ended, but
 * no longer than the options allow: then it says so in a NOTICE.
 */
extern void in_place_wait_for_writers(const JobRelation *relations, int nrelations,
									  const RotationOptions *options);

/* A sentence that names the other processes which have the relation in use. */
extern char *in_place_describe_users(Oid relid);

#endif
