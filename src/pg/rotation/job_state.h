/*
 * job_state.h
 *		What the processes of a rotation job share.
 */
#ifndef DBCRYPT_JOB_STATE_H
#define DBCRYPT_JOB_STATE_H

#include "postgres.h"

#include "port/atomics.h"
#include "storage/block.h"
#include "storage/itemptr.h"
#include "storage/spin.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

/* A relation with rows of its own: the table, a partition, a child. */
typedef struct JobRelation
{
	Oid relid;
	Oid filenode; /* a rewrite of the relation gives it another */
	BlockNumber nblocks;
	uint64 first; /* number of its first block among the blocks of all relations */
} JobRelation;

/* What the processes of a job count. */
typedef enum JobCounter
{
	JOB_BLOCKS,		  /* done */
	JOB_UPDATED,	  /* values rotated by an ordinary update */
	JOB_COLD,		  /* of those, updates that wrote index entries */
	JOB_IN_PLACE,	  /* values rotated in place */
	JOB_PAGES,		  /* pages written in place */
	JOB_PAGES_WAITED, /* pages that were pinned at the first try */
	JOB_COUNTERS
} JobCounter;

/* A value that does not open. */
typedef struct JobBadValue
{
	Oid relid;
	ItemPointerData tid;
	char reason[96];
} JobBadValue;

#define JOB_BAD_KEPT 8

/* The state of a job; in dynamic shared memory when the job has workers. */
typedef struct JobState
{
	Oid database;
	Oid userid;		   /* who called; owns the table */
	Oid relid;		   /* the table that was named */
	AttrNumber attnum; /* the column's number there: its name may change meanwhile */
	int method;		   /* its number in methods.c */
	uint32 batch_blocks;
	int processes;		 /* that run, the caller included */
	double busy_share;	 /* of time, 0 < share <= 1 */
	uint64 max_wal_rate; /* bytes per second of all processes, 0 for none */
	uint64 max_lag;		 /* bytes a standby may be behind, 0 for any */
	int pin_timeout;	 /* ms that one pass waits for pinned pages */

	int pass;				  /* from 1; workers take part in the first only */
	TimestampTz pin_deadline; /* of this pass, once it has waited; 0 before */

	pg_atomic_uint64 next; /* block that the next batch begins at */
	uint64 total;		   /* blocks of all relations */
	int nrelations;
	Size relations_offset; /* of JobRelation[], from this struct's start */
	Size aad_offset;	   /* of a C string, 0 for none */
	Size settings_offset;  /* of the caller's serialized settings */

	pg_atomic_uint64 counters[JOB_COUNTERS];
	pg_atomic_uint32 stop; /* every process ends after its batch */

	slock_t lock; /* of what follows */
	int nbad;	  /* bad values, of which JOB_BAD_KEPT are kept */
	JobBadValue bad[JOB_BAD_KEPT];
	bool failed;	/* a worker did; what follows is of the first */
	int error_code; /* 0 until the rest is written */
	char error_message[512];
	char error_detail[512]; /* "" for none */
	char error_hint[512];
} JobState;

/* Adds n to a counter; what it has counted. */
extern void job_count(JobState *shared, JobCounter counter, int64 n);
extern uint64 job_counted(JobState *shared, JobCounter counter);

/* Values rotated so far, by whatever way. */
extern int64 job_rotated(JobState *shared);

/* Blocks done so far in this pass, of shared->total. */
extern uint64 job_blocks_done(JobState *shared);

/* Whether the processes are to end after their batch. */
extern bool job_stopped(JobState *shared);
extern void job_stop(JobState *shared);

/* Remembers a bad value; the job goes on. */
extern void job_note_bad_value(JobState *shared, Relation rel, ItemPointer tid, const char *reason);

/* Remembers the error of a worker for the caller to throw. The first one counts. */
extern void job_note_error(JobState *shared, const ErrorData *error);

/* Throws what a worker ended with, or the bad values unless they are to be skipped. */
extern void job_check_failures(JobState *shared, bool skip_bad);

/* The relation that a block of the job's numbering lies in. */
extern const JobRelation *job_relation_of_block(const JobState *shared,
												const JobRelation *relations, uint64 block);

#endif
