/*
 * check_worker.h
 *		The worker that runs dbcrypt_check().
 */
#ifndef DBCRYPT_CHECK_WORKER_H
#define DBCRYPT_CHECK_WORKER_H

/* Registers the worker that runs dbcrypt_check() at start and after a reload. */
extern void check_worker_init(void);

#endif
