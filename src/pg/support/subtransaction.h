/*
 * subtransaction.h
 *		Running what may fail without losing the transaction.
 */
#ifndef DBCRYPT_SUBTRANSACTION_H
#define DBCRYPT_SUBTRANSACTION_H

#include "postgres.h"

/*
 * Runs action(arg) in a subtransaction. NULL if it succeeded; otherwise its
 * error, in the caller's memory context, with the subtransaction rolled back.
 * A caller that does not expect the error passes it to ReThrowError().
 */
extern ErrorData *subtransaction_run(void (*action)(void *), void *arg);

/*
 * The same, but the subtransaction is rolled back in any case: the locks that action has
 * taken are released. For an action that only reads.
 */
extern ErrorData *subtransaction_undo(void (*action)(void *), void *arg);

/*
 * Whether an error says that something cannot be done, and not that it could another
 * time, or by another role: a cancel, a lock, a lack of memory or of rights.
 */
extern bool error_is_refusal(const ErrorData *error);

#endif
