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
	PROGRESS_CHECKING, /* the pass that must find nothing */
	PROGRESS_SEARCHING /* the census */
} ProgressPhase;

/* Shows this backend in dbcrypt_progress, until progress_end or the transaction's abort. */
extern void progress_start(Oid relid, AttrNumber attnum, uint64 blocks_total);

/* Shows another relation in the row, without beginning again. */
extern void progress_relation(Oid relid);

/* Counts blocks from 0 again, of a new total. */
extern void progress_total(uint64 blocks_total);

/* Sets what the row shows. */
extern void progress_phase(ProgressPhase phase);
extern void progress_update(uint64 blocks_done, int64 rotated);
extern void progress_end(void);

/* Shows the row again after a subtransaction's abort has ended it. */
extern void progress_resume(void);

#endif
