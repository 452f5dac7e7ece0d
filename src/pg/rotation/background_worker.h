/*
 * background_worker.h
 *		What the background workers of rotation have in common.
 */
#ifndef DBCRYPT_BACKGROUND_WORKER_H
#define DBCRYPT_BACKGROUND_WORKER_H

#include "postgres.h"

#include "postmaster/bgworker.h"

/* Describes a worker of a type that runs an exported function of this library once. */
extern void background_worker_describe(BackgroundWorker *worker, const char *type,
									   const char *function);

#endif
