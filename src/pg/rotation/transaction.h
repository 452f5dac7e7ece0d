/*
 * transaction.h
 *		The transactions of a rotation job: each batch has one.
 */
#ifndef DBCRYPT_TRANSACTION_H
#define DBCRYPT_TRANSACTION_H

#include "postgres.h"

/* Ends a transaction and starts the next: a procedure does it by SPI, a worker by itself. */
typedef void (*CommitFunction)(void);

/*
 * To be called first in a transaction that a CommitFunction has started. Makes it
 * READ COMMITTED, whatever the session's default. As with SET TRANSACTION, no
 * snapshot may have been taken yet.
 */
extern void transaction_begin_read_committed(void);

#endif
