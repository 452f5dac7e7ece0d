/*
 * page_work.h
 *		The state of the work on the pages of one relation.
 */
#ifndef DBCRYPT_PAGE_WORK_H
#define DBCRYPT_PAGE_WORK_H

#include "postgres.h"

#include "access/htup_details.h"
#include "executor/tuptable.h"
#include "storage/buf.h"
#include "storage/bufpage.h"
#include "storage/itemptr.h"
#include "utils/rel.h"

#include "columns/target.h"
#include "rotation/method.h"
#include "rows/row_updater.h"
#include "values/codec.h"

/* What a tuple's value needs, as far as its first bytes and its header tell. */
typedef enum TupleNeed
{
	NEED_NOTHING,
	NEED_WORK,			 /* live, or being deleted */
	NEED_WORK_UNSETTLED, /* being inserted: the transaction may still abort */
	NEED_WORK_DEAD		 /* no later snapshot can see it */
} TupleNeed;

/* New bytes of one attribute of one tuple. */
typedef struct AttributeChange
{
	OffsetNumber item;
	uint16 at; /* from the start of the tuple */
	uint16 size;
	const char *bytes; /* in per-tuple memory, which lives as long as the page */
} AttributeChange;

/* A value of a live row that does not open. */
typedef struct BadItem
{
	OffsetNumber item;
	const char *reason; /* in per-tuple memory */
} BadItem;

/* What was found or done, in stored versions of rows. */
typedef struct VersionCounts
{
	int64 nulls;
	int64 current;
	int64 in_place;
	int64 pages;
	int64 updated;
	int64 unsettled; /* inserted by a transaction that has not ended */
	int64 changed;	 /* between the look and the attempt to update them */
	int64 left;		 /* dead, and not to be opened or not in place */
} VersionCounts;

/* Work on one relation. */
typedef struct PageWork
{
	RotationBatch *batch; /* NULL when pages are only read */
	RowUpdater updater;	  /* only its scan when pages are only read */
	ColumnScan *scan;	  /* of the updater */
	VersionCounts counts;
	BufferAccessStrategy strategy;
	TransactionId oldest;	/* versions deleted before it are dead to all */
	TransactionId inserter; /* the oldest one that has inserted an unsettled version */
	TupleTableSlot *slot;	/* a tuple of the copy */
	HeapTupleData tuple;
	bool simple;		 /* native envelopes, and no code but ours looks at the row */
	size_t prefix_size;	 /* start of every value under the primary key; 0: unknown */
	size_t current_size; /* such a value has at least so many bytes */
	char prefix[16];

	/* Of the page at work: */
	int nitems;
	int nchanges;
	int nrows;
	int nbad;
	TupleNeed needs[MaxHeapTuplesPerPage + 1];
	AttributeChange changes[MaxHeapTuplesPerPage * CHANGE_MAX_COLUMNS];
	OffsetNumber rows[MaxHeapTuplesPerPage]; /* to be updated the ordinary way */
	BadItem bad[MaxHeapTuplesPerPage];
	PGAlignedBlock copy; /* the page as it was looked at */
} PageWork;

/*
 * Prepares work on a relation, as its owner; an active snapshot is needed. Without
 * a batch pages are only read.
 */
extern PageWork *page_work_begin(Relation rel, const TargetColumn *target, RotationBatch *batch);
extern void page_work_end(PageWork *work);

/* Frees what the work on one page has left in per-tuple memory. */
extern void page_work_reset(PageWork *work);

/* Points work->tuple and work->slot at a tuple of the copy. */
extern void page_work_store_tuple(PageWork *work, BlockNumber block, OffsetNumber item);

/* Counts the tuple at work as unsettled. */
extern void page_work_count_unsettled(PageWork *work, VersionCounts *counts);

/* Number of tuples among the changes, which are in their order; or of dead ones. */
extern int page_work_count_changed(const PageWork *work, bool only_dead);

/* Adds counts to a total. */
extern void version_counts_add(VersionCounts *total, const VersionCounts *counts);

/* Whether a value lies in its tuple, neither out of line nor compressed. */
static inline bool
is_plain(const struct varlena *value)
{
	return !VARATT_IS_EXTERNAL(value) && !VARATT_IS_COMPRESSED(value);
}

#endif
