/*
 * background_worker.h
 *		What the background workers of this library have in common.
 */
#ifndef DBCRYPT_BACKGROUND_WORKER_H
#define DBCRYPT_BACKGROUND_WORKER_H

#include "postgres.h"

#include "postmaster/bgworker.h"

/* Describes a worker of a type that runs an exported function of this library once. */
extern void background_worker_describe(BackgroundWorker *worker, const char *type,
									   const char *function);

/*
 * Starts a worker that anybody may ask for, unless the server runs as many parallel
 * workers as limit already, PostgreSQL's own included. False if there is none to have.
 */
extern bool background_worker_start(BackgroundWorker *worker, int limit,
									BackgroundWorkerHandle **handle);

/*
 * Waits for the end of a worker, at most so long, and ends it then, on an error, and
 * where this session ends. Whether it ended by itself.
 */
extern bool background_worker_wait(BackgroundWorkerHandle *handle, int milliseconds);

/* In a worker that is to connect: it fails where a lock keeps it waiting for 10 seconds. */
extern void background_worker_limit_waiting(void);

/*
 * In a worker: connects to a database as the bootstrap superuser, under the server's
 * own settings. flags: BGWORKER_BYPASS_ALLOWCONN or 0.
 */
extern void background_worker_connect(Oid database, uint32 flags);

/* In a worker: shows it in pg_stat_activity as that role's. */
extern void background_worker_show_role(Oid role);

#endif
