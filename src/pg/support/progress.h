/*
 * progress.h
 *		This backend's row of dbcrypt_progress.
 */
#ifndef DBCRYPT_PROGRESS_H
#define DBCRYPT_PROGRESS_H

#include "postgres.h"

#include "access/attnum.h"

typedef enum ProgressPhase
{
	PROGRESS_ROTATING,
	PROGRESS_WAITING, /* throttled */
	PROGRESS_VACUUMING,
	PROGRESS_CHECKING /* the pass that must find nothing */
} ProgressPhase;

/* This backend's row of dbcrypt_progress; an abort ends it by itself. */
extern void progress_start(Oid relid, AttrNumber attnum, uint64 blocks_total);

/* Begins to count blocks anew. */
extern void progress_total(uint64 blocks_total);
extern void progress_phase(ProgressPhase phase);
extern void progress_update(uint64 blocks_done, int64 rotated);
extern void progress_end(void);

/* Shows the row again after a subtransaction's abort has ended it. */
extern void progress_resume(void);

#endif
