/*
 * page_look.c
 *		The first look at a page: which of its tuples hold a value that needs work.
 */
#include "postgres.h"

#include "access/detoast.h"
#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/xact.h"
#include "storage/bufmgr.h"
#include "storage/bufpage.h"

#include "rotation/in_place/page_look.h"
#include "rotation/in_place/page_work.h"

/* Whether a value is seen to be under the primary key by its first bytes. */
static inline bool
looks_current(const PageWork *work, const struct varlena *value)
{
	size_t size;

	if (work->prefix_size == 0 || !is_plain(value))
		return false;
	size = VARSIZE_ANY_EXHDR(value);
	return size >= work->current_size &&
		   (work->scan->codec.encoding == DBCRYPT_ENCODING_BINARY || size % 4 == 0) &&
		   memcmp(VARDATA_ANY(value), work->prefix, work->prefix_size) == 0;
}

/* What a row version that is not current needs, by who can see it. Sets hint bits. */
static TupleNeed
look_at_version(PageWork *work, HeapTuple tuple, Buffer buffer)
{
	switch (HeapTupleSatisfiesVacuum(tuple, work->oldest, buffer))
	{
		case HEAPTUPLE_DEAD:
		case HEAPTUPLE_RECENTLY_DEAD:
			return NEED_WORK_DEAD;
		case HEAPTUPLE_INSERT_IN_PROGRESS:
			return TransactionIdIsCurrentTransactionId(HeapTupleHeaderGetXmin(tuple->t_data))
					   ? NEED_WORK
					   : NEED_WORK_UNSETTLED;
		case HEAPTUPLE_DELETE_IN_PROGRESS:
			return TransactionIdIsCurrentTransactionId(HeapTupleHeaderGetUpdateXid(tuple->t_data))
					   ? NEED_WORK_DEAD
					   : NEED_WORK;
		default:
			return NEED_WORK;
	}
}

bool
page_look(PageWork *work, Buffer buffer, VersionCounts *counts)
{
	Relation rel = work->scan->rel;
	TupleDesc desc = RelationGetDescr(rel);
	AttrNumber attnum = work->scan->codec.attnum;
	Page page = BufferGetPage(buffer);
	bool found = false;

	work->nitems = 0;
	if (PageIsNew(page) || PageIsEmpty(page))
		return false;
	work->nitems = PageGetMaxOffsetNumber(page);
	if (work->nitems > MaxHeapTuplesPerPage)
		ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED),
						errmsg("invalid page in block %u of relation \"%s\"",
							   BufferGetBlockNumber(buffer), RelationGetRelationName(rel))));
	for (OffsetNumber item = FirstOffsetNumber; item <= work->nitems; item++)
	{
		ItemId line = PageGetItemId(page, item);
		HeapTupleData tuple;
		Datum value;
		bool isnull;

		work->needs[item] = NEED_NOTHING;
		if (!ItemIdIsNormal(line))
			continue;
		tuple.t_data = (HeapTupleHeader) PageGetItem(page, line);
		tuple.t_len = ItemIdGetLength(line);
		tuple.t_tableOid = RelationGetRelid(rel);
		ItemPointerSet(&tuple.t_self, BufferGetBlockNumber(buffer), item);
		value = heap_getattr(&tuple, attnum, desc, &isnull);
		if (isnull)
			counts->nulls++;
		else if (looks_current(work, (struct varlena *) DatumGetPointer(value)))
			counts->current++;
		else
		{
			work->needs[item] = look_at_version(work, &tuple, buffer);
			found = true;
		}
	}
	return found;
}
