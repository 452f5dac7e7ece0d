/*
 * older_transactions.h
 *		Transactions that may still write a value under a key, or hold a copy of one.
 */
#ifndef DBCRYPT_OLDER_TRANSACTIONS_H
#define DBCRYPT_OLDER_TRANSACTIONS_H

#include "postgres.h"

/*
 * Waits until every transaction of this database that has a snapshot or has written
 * has ended, at most so many milliseconds; then throws and names them. Those that
 * begin meanwhile are not waited for. A prepared one is refused at once. To be called
 * without a snapshot.
 */
extern void older_transactions_wait(int timeout);

/* The prepared transactions of this database as a sentence; NULL for none. */
extern char *older_transactions_prepared(void);

/*
 * Looks whether such transactions, this one excepted, end within so many
 * milliseconds, and waits for no lock. NULL, or who goes on, as sentences.
 */
extern char *older_transactions_left(int timeout);

#endif
