/*
 * job.h
 *		Rotation while the application runs: a walk over block ranges of a table,
 *		a transaction each, by one or more processes.
 *
 * walk.c has the caller's side, walk_worker.c the background workers. How a
 * block range is rotated is the method's business: online.c, inplace.c.
 */
#ifndef DBCRYPT_WALK_H
#define DBCRYPT_WALK_H

#include "postgres.h"

#include "fmgr.h"
#include "port/atomics.h"
#include "storage/block.h"
#include "storage/dsm.h"
#include "storage/spin.h"

#include "columns/target.h"

/* One relation with rows of its own. first: its place in the walk's numbering. */
typedef struct JobMember
{
	Oid relid;
	Oid filenode; /* a rewrite of the relation gives it another */
	BlockNumber nblocks;
	uint64 first;
} JobMember;

/* What the processes of a walk count. */
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

/* State of a walk, in dynamic shared memory when it has workers. */
typedef struct JobState
{
	Oid database;
	Oid userid; /* who called; owns the table */
	Oid relid;	/* the table that was named */
	NameData column;
	int method; /* index into rotation_methods */
	uint32 batch_blocks;
	int processes;		 /* that run, the caller included */
	double busy_share;	 /* of time, 0 < share <= 1 */
	uint64 max_wal_rate; /* bytes per second of all processes, 0 for none */
	uint64 max_lag;		 /* bytes a standby may be behind, 0 for any */
	int pin_timeout;	 /* ms that one pass waits for pinned pages */

	int pass;				  /* from 1; workers take part in the first only */
	TimestampTz pin_deadline; /* of this pass, once it has waited; 0 before */

	pg_atomic_uint64 next; /* block that the next batch begins at */
	uint64 total;		   /* blocks of all members */
	int nmembers;
	Size members_offset;  /* of JobMember[], from this struct's start */
	Size aad_offset;	  /* of a C string, 0 for none */
	Size settings_offset; /* of the caller's serialized settings */

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

/* A batch: a block range of one relation, locked, in its own transaction. */
typedef struct RotationBatch
{
	JobState *shared;
	Relation rel;
	const TargetColumn *target;
	BlockNumber first;
	BlockNumber count;
	List *busy; /* of ItemPointer: rows to come back to */
	MemoryContext busy_context;
} RotationBatch;

enum
{
	ROTATION_METHOD_ONLINE,
	ROTATION_METHOD_IN_PLACE
};

/* What a caller may choose. */
typedef struct RotationOptions
{
	int batch_blocks;
	int workers;	  /* processes, the caller included */
	int vacuum_every; /* batches between two VACUUMs, 0 for none, -1 automatic */
	double busy_share;
	uint64 max_wal_rate;
	uint64 max_lag;
	int pin_timeout; /* ms */
	bool skip_bad;
} RotationOptions;

/* What a walk did, and what its last pass saw under one snapshot. */
typedef struct RotationResult
{
	int64 scanned;
	int64 rotated;
	int64 nulls;
	int64 skipped; /* bad values */
	int64 left;	   /* dead versions that keep their old value */
	int64 counters[JOB_COUNTERS];
} RotationResult;

/* A way to rotate a batch. */
typedef struct RotationMethod
{
	const char *name;  /* of the SQL procedure */
	LOCKMODE lockmode; /* on the relation, for a batch */
	LOCKMODE held;	   /* on every relation, by the caller for the whole walk */

	/* Throws what makes the method unfit for the relation; NULL for nothing. */
	void (*check)(Relation rel, const TargetColumn *target);

	/* Rotates the values of a batch; an active snapshot is set. */
	void (*batch)(RotationBatch *batch);

	/* Called before the check that ends a pass; NULL for nothing. */
	void (*before_inspect)(const JobMember *members, int nmembers, const RotationOptions *options);

	/*
	 * Looks at all values of a relation under the active snapshot, adds them up,
	 * and returns how many need another pass. NULL: at the rows that it sees.
	 */
	int64 (*inspect)(Relation rel, const TargetColumn *target, const RotationOptions *options,
					 RotationResult *result);

	/* Called in the end, while everything is still locked; NULL for nothing. */
	void (*finish)(const TargetColumn *target, const RotationResult *result);
} RotationMethod;

extern const RotationMethod *const rotation_methods[];
extern const RotationMethod rotation_method_online;
extern const RotationMethod rotation_method_in_place;

/*
 * Rotates a column by a method until a pass under one snapshot finds no value
 * under another key. Commits as it goes: the caller is a procedure outside a
 * transaction block, and connected to SPI (non-atomic).
 */
extern void rotation_job_run(TargetColumn *target, int method, const RotationOptions *options,
							 RotationResult *result);

/* Refuses a call inside a transaction block or a function. */
extern void rotation_check_call(FunctionCallInfo fcinfo, const char *procedure);

/*
 * Arguments 0 to 8 of a walk's procedure: table, column, aad, batch_blocks,
 * busy_share, max_wal_rate, max_lag, workers, on_error.
 */
extern void rotation_read_options(FunctionCallInfo fcinfo, TargetColumn *target,
								  RotationOptions *options);

/* ---- for walk.c, walk_worker.c and the methods ---- */

extern void job_count(JobState *shared, JobCounter counter, int64 n);

/* Remembers a bad value; the walk goes on. */
extern void job_note_bad_value(JobState *shared, Relation rel, ItemPointer tid, const char *reason);

/* Remembers a row to come back to after the batch. */
extern void batch_note_busy_row(RotationBatch *batch, ItemPointer tid);

/*
 * Takes and rotates the next batch; false if there is none or the walk stops.
 * Each call is begin_batch … end_batch of one transaction, and more for busy rows.
 */
extern bool batch_rotate_next(JobState *shared, const JobMember *members,
							  const TargetColumn *target, void (*commit)(void));

/*
 * Locks every member for a worker beyond commits, as the caller has; false, with
 * none locked, where someone waits for one. Without it, a worker's next batch
 * would queue behind a command that waits for the caller, who waits for the worker.
 */
extern bool batch_hold_members(const JobState *shared, const JobMember *members);
extern void batch_release_members(const JobState *shared, const JobMember *members);

/* Sleeps, but wakes for interrupts. Holds back nobody's VACUUM meanwhile. */
extern void interruptible_sleep(double ms);

/* Waits as the walk's limits demand, outside a transaction's work. */
extern void job_throttle(JobState *shared, TimestampTz started, uint64 wal_before,
						 void (*commit)(void));

/* ---- walk_worker.c ---- */

typedef struct RotationWorkers RotationWorkers;

/* Starts up to n workers on a shared segment. */
extern RotationWorkers *rotation_workers_start(dsm_segment *segment, int n);
extern int rotation_workers_count(RotationWorkers *workers);

/* Whether any still runs. */
extern bool rotation_workers_running(RotationWorkers *workers);
extern void rotation_workers_terminate(RotationWorkers *workers);

/*
 * Runs VACUUM on a relation in a background worker and waits for it; false
 * without a worker. Passes over a relation that someone else vacuums.
 */
extern bool rotation_vacuum(Oid relid);

#endif
