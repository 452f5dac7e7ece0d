/*
 * page_write.c
 *		Writes the planned bytes into a page, under its cleanup lock, and logs it.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "storage/bufpage.h"
#include "utils/rel.h"

#include "rotation/in_place/page_image_wal.h"
#include "rotation/in_place/page_work.h"
#include "rotation/in_place/page_write.h"

/*
 * Whether the tuple on the page has the content of the one in the copy. Equal
 * content has equal new values, whichever transaction it belongs to.
 */
static bool
is_unchanged(PageWork *work, Page page, OffsetNumber item)
{
	const size_t fixed = offsetof(HeapTupleHeaderData, t_bits);
	ItemId old_line = PageGetItemId((Page) work->copy.data, item);
	ItemId new_line;
	HeapTupleHeader old;
	HeapTupleHeader fresh;

	if (item > PageGetMaxOffsetNumber(page))
		return false;
	new_line = PageGetItemId(page, item);
	if (!ItemIdIsNormal(new_line) || ItemIdGetLength(new_line) != ItemIdGetLength(old_line))
		return false;
	old = (HeapTupleHeader) PageGetItem((Page) work->copy.data, old_line);
	fresh = (HeapTupleHeader) PageGetItem(page, new_line);
	return fresh->t_hoff == old->t_hoff &&
		   HeapTupleHeaderGetNatts(fresh) == HeapTupleHeaderGetNatts(old) &&
		   (fresh->t_infomask & HEAP_HASNULL) == (old->t_infomask & HEAP_HASNULL) &&
		   memcmp((char *) fresh + fixed, (char *) old + fixed,
				  ItemIdGetLength(old_line) - fixed) == 0;
}

/* Drops the changes of tuples that have changed since; whether all were kept. */
static bool
keep_unchanged(PageWork *work, Page page)
{
	int kept = 0;
	bool keep = false;

	for (int i = 0; i < work->nchanges; i++)
	{
		OffsetNumber item = work->changes[i].item;

		if (i == 0 || item != work->changes[i - 1].item)
			keep = is_unchanged(work, page, item);
		if (keep)
			work->changes[kept++] = work->changes[i];
	}
	if (kept == work->nchanges)
		return true;
	work->nchanges = kept;
	return false;
}

/* Overwrites the free space with zeros: row versions pruned earlier have left their bytes there. */
static void
zero_free_space(Page page)
{
	PageHeader header = (PageHeader) page;

	if (header->pd_lower >= SizeOfPageHeaderData && header->pd_lower < header->pd_upper &&
		header->pd_upper <= header->pd_special && header->pd_special <= BLCKSZ)
		memset((char *) page + header->pd_lower, 0, header->pd_upper - header->pd_lower);
}

/*
 * Writes the changes into the page, whose cleanup lock we hold, and logs it. In the
 * critical section an error would be a PANIC: no memory is allocated, nothing is
 * reported, the core is not called.
 */
static void
write_changes(PageWork *work, Buffer buffer)
{
	Page page = BufferGetPage(buffer);

	START_CRIT_SECTION();
	for (int i = 0; i < work->nchanges; i++)
	{
		const AttributeChange *change = &work->changes[i];
		char *tuple = (char *) PageGetItem(page, PageGetItemId(page, change->item));

		memcpy(tuple + change->at, change->bytes, change->size);
	}
	zero_free_space(page);
	MarkBufferDirty(buffer);
	if (RelationNeedsWAL(work->scan->rel))
		page_image_wal_log(buffer);
	END_CRIT_SECTION();
}

PageResult
page_write(PageWork *work, Buffer buffer, VersionCounts *counts)
{
	PageResult result = PAGE_DONE;

	if (work->nchanges == 0)
	{
		ReleaseBuffer(buffer);
		return PAGE_DONE;
	}
	if (!ConditionalLockBufferForCleanup(buffer))
	{
		ReleaseBuffer(buffer);
		return PAGE_PINNED;
	}
	if (!keep_unchanged(work, BufferGetPage(buffer)))
		result = PAGE_CHANGED;
	if (work->nchanges > 0)
	{
		write_changes(work, buffer);
		counts->in_place += page_work_count_changed(work, false);
		counts->pages++;
	}
	UnlockReleaseBuffer(buffer);
	return result;
}
