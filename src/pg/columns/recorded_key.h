/*
 * recorded_key.h
 *		Columns of a scheme without authentication. Nothing in their values tells which
 *		key is right, so the registry records under which one the whole column is, in
 *		options.key, and the column is worked on as a whole.
 */
#ifndef DBCRYPT_RECORDED_KEY_H
#define DBCRYPT_RECORDED_KEY_H

#include "postgres.h"

#include "storage/lockdefs.h"
#include "utils/rel.h"

#include "columns/target.h"

/*
 * Refuses a caller who may not decrypt: yes or no to values that one can write is enough
 * to decrypt any other (a padding oracle). rel is a relation of the target's.
 */
extern void recorded_key_check_caller(Relation rel, const TargetColumn *target);

/* Refuses such a column where values are worked on one by one. */
extern void recorded_key_refuse(const TargetColumn *target);

/* Refuses a partition or child of the table that is registered. */
extern void recorded_key_refuse_part(const TargetColumn *target);

/*
 * The lock that a change of the column takes before it is opened: one that stops writers
 * for such a column, otherwise the given one. recorded_key_check_lock refuses a column
 * that was adopted between the two.
 */
extern LOCKMODE recorded_key_lock(const TargetColumn *target, LOCKMODE otherwise);
extern void recorded_key_check_lock(const TargetColumn *target, LOCKMODE held);

#endif
