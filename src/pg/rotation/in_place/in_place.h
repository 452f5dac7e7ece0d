/*
 * inplace.h
 *		What the files of rotation in place offer each other.
 */
#ifndef DBCRYPT_INPLACE_H
#define DBCRYPT_INPLACE_H

#include "postgres.h"

#include "support/compat.h"

#include "storage/buf.h"

#include "rotation/job.h"

/* ---- in_place_check.c ---- */

/* Refuses a relation that has rows of its own and cannot be rotated in place, saying why. */
extern void in_place_check(Relation rel, AttrNumber attnum);

/* Refuses a column for a reason, one sentence, and names the ways that can. */
pg_noreturn extern void in_place_refuse(Relation rel, AttrNumber attnum, int sqlstate,
										const char *reason);

/* ---- inplace_wait.c ---- */

/*
 * Waits until every transaction that may write to a member now has ended, but no
 * longer than the options allow: then it warns.
 */
extern void in_place_wait_for_writers(const JobMember *members, int nmembers,
									  const RotationOptions *options);

/* A sentence that names the other processes which have the relation in use. */
extern char *in_place_describe_users(Oid relid);

/* ---- in_place_finish.c ---- */

/* Ends a walk: refreshes statistics that hold old values, and commits durably. */
extern void in_place_finish(const TargetColumn *target, const RotationResult *result);

/* ---- prunelog.c ---- */

/*
 * Logs an image of a changed heap page such that redo, too, takes the cleanup
 * lock, and sets the page's LSN. For critical sections; the buffer is locked and
 * dirty.
 */
extern void page_image_wal_log(Buffer buffer);

/*
 * Makes the commit of this transaction wait for our records, on disk and on
 * synchronous standbys: page images belong to no transaction, so that no commit
 * would, and neither does one that has logged nothing itself.
 */
extern void page_image_wal_await(void);

#endif
