/*
 * inplace.c
 *		Writes re-encrypted values over the old ones, inside their tuples.
 *
 * An envelope keeps its length when its key changes and its plaintext stays, so
 * no reader, snapshot or index can tell the difference while both keys are in
 * every ring. A page is changed under the cleanup lock alone, as pruning does:
 * readers keep pointers into a page that they have pinned.
 *
 * Every stored version counts, whoever can see it: an aborted or deleted one
 * holds ciphertext too. Tuple headers, visibility and free space stay as they
 * are.
 */
#include "postgres.h"

#include "access/detoast.h"
#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/xact.h"
#include "inplace.h"
#include "miscadmin.h"
#include "optimizer/optimizer.h"
#include "storage/bufmgr.h"
#include "storage/bufpage.h"
#include "storage/procarray.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "walk.h"

/* What a tuple's value needs, as far as a look at it tells. */
typedef enum ItemNeed
{
	NEED_NOTHING,
	NEED_WORK,			 /* live, or being deleted */
	NEED_WORK_UNSETTLED, /* being inserted: may never live */
	NEED_WORK_DEAD		 /* nobody new can see it */
} ItemNeed;

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
typedef struct Seen
{
	int64 nulls;
	int64 current;
	int64 in_place;
	int64 pages;
	int64 updated;
	int64 unsettled; /* to be looked at again */
	int64 left;		 /* dead, and not to be opened or not in place */
} Seen;

/* Work on one relation. */
typedef struct InPlace
{
	WalkBatch *batch; /* NULL when pages are only read */
	RowUpdater updater;
	Seen seen;
	BufferAccessStrategy strategy;
	TransactionId oldest; /* versions deleted before it are dead to all */
	TupleTableSlot *slot; /* a tuple of the copy */
	HeapTupleData tuple;
	bool simple;		 /* native envelopes, and no code but ours looks at the row */
	size_t prefix_size;	 /* start of every value under the primary key; 0: unknown */
	size_t current_size; /* such a value has at least so many bytes */
	char prefix[16];
	int nitems;
	int nchanges;
	int nrows;
	int nbad;
	ItemNeed needs[MaxHeapTuplesPerPage + 1];
	AttributeChange changes[MaxHeapTuplesPerPage * CIPHER_MAX_COLUMNS];
	OffsetNumber rows[MaxHeapTuplesPerPage]; /* for the ordinary way */
	BadItem bad[MaxHeapTuplesPerPage];
	PGAlignedBlock copy; /* the page as it was looked at */
} InPlace;

/* What became of a page. */
typedef enum PageResult
{
	PAGE_DONE,
	PAGE_PINNED, /* someone else's pin; nothing was done or counted */
	PAGE_CHANGED /* some tuples changed meanwhile: visit it again */
} PageResult;

/* Whether nothing but a native envelope's own bytes and no expression is involved. */
static bool
is_simple(const ColumnCipher *cipher)
{
	return cipher->scheme == scheme_native() && cipher->aad == NULL && cipher->where == NULL &&
		   cipher->json == NULL && !OidIsValid(cipher->domain);
}

/* Learns how a value under the primary key starts, so that a look is one comparison. */
static void
learn_prefix(InPlace *work)
{
	const ColumnCipher *cipher = &work->updater.cipher;
	dbcrypt_encoding form = cipher->form;
	uint8_t sample[64];

	work->prefix_size = 0;
	work->current_size = dbcrypt_envelope_size(form, 0);
	if (cipher->scheme == scheme_native() && cipher->where == NULL && cipher->json == NULL &&
		work->current_size <= sizeof(sample) &&
		dbcrypt_encrypt(session_ring(), form, NULL, 0, NULL, 0, sample) == DBCRYPT_OK)
	{
		work->prefix_size = form == DBCRYPT_ENCODING_TEXT ? 16 : 12;
		memcpy(work->prefix, sample, work->prefix_size);
	}
}

/* Whether an expression over the row may give another result at another time. */
static bool
is_mutable(const RowExpression *expression)
{
	return expression &&
		   (expression->plan || contain_mutable_functions((Node *) expression->state->expr));
}

/* Refuses expressions that a row alone does not decide: versions of any age are opened. */
static void
check_expressions(const ColumnCipher *cipher)
{
	if ((cipher->aad && contain_mutable_functions((Node *) cipher->aad->expr)) ||
		is_mutable(cipher->attribute) || is_mutable(cipher->where))
		inplace_refuse(cipher->rel, cipher->attnum, ERRCODE_INVALID_OBJECT_DEFINITION,
					   "Functions in its expressions are not immutable, or read other tables.");
}

/* Prepares work on a relation, as its owner; an active snapshot is needed. */
static InPlace *
begin_work(Relation rel, const TargetColumn *target, WalkBatch *batch)
{
	InPlace *work = palloc0(sizeof(InPlace));

	work->batch = batch;
	updater_begin(&work->updater, rel, target, batch == NULL);
	work->updater.cipher.soft_errors = true;
	work->updater.nowait = true;
	check_expressions(&work->updater.cipher);
	work->simple = is_simple(&work->updater.cipher);
	work->strategy = GetAccessStrategy(BAS_BULKREAD);
	work->oldest = GetOldestNonRemovableTransactionId(rel);
	work->slot = MakeSingleTupleTableSlot(RelationGetDescr(rel), &TTSOpsHeapTuple);
	learn_prefix(work);
	return work;
}

static void
end_work(InPlace *work)
{
	ExecDropSingleTupleTableSlot(work->slot);
	FreeAccessStrategy(work->strategy);
	updater_end(&work->updater);
	pfree(work);
}

/* Whether the value lies in the tuple as it is. */
static inline bool
is_plain(const struct varlena *value)
{
	return !VARATT_IS_EXTERNAL(value) && !VARATT_IS_COMPRESSED(value);
}

/* Whether a value is seen to be under the primary key by its first bytes. */
static inline bool
looks_current(const InPlace *work, const struct varlena *value)
{
	size_t size;

	if (work->prefix_size == 0 || !is_plain(value))
		return false;
	size = VARSIZE_ANY_EXHDR(value);
	return size >= work->current_size &&
		   (work->updater.cipher.form == DBCRYPT_ENCODING_BINARY || size % 4 == 0) &&
		   memcmp(VARDATA_ANY(value), work->prefix, work->prefix_size) == 0;
}

/* What must be known of a version before its value is touched. Sets hint bits. */
static ItemNeed
look_at_version(InPlace *work, HeapTuple tuple, Buffer buffer)
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

/*
 * Notes what each tuple of the page needs; the buffer is locked. Returns whether
 * any needs something. Decides by headers alone: nothing is detoasted.
 */
static bool
look_at_page(InPlace *work, Buffer buffer, Seen *seen)
{
	Relation rel = work->updater.rel;
	TupleDesc desc = RelationGetDescr(rel);
	AttrNumber attnum = work->updater.cipher.attnum;
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
			seen->nulls++;
		else if (looks_current(work, (struct varlena *) DatumGetPointer(value)))
			seen->current++;
		else
		{
			work->needs[item] = look_at_version(work, &tuple, buffer);
			found = true;
		}
	}
	return found;
}

/* Points work->tuple and its slot at a tuple of the copy. */
static void
store_tuple(InPlace *work, BlockNumber block, OffsetNumber item)
{
	Page page = (Page) work->copy.data;
	ItemId line = PageGetItemId(page, item);

	work->tuple.t_data = (HeapTupleHeader) PageGetItem(page, line);
	work->tuple.t_len = ItemIdGetLength(line);
	work->tuple.t_tableOid = RelationGetRelid(work->updater.rel);
	ItemPointerSet(&work->tuple.t_self, block, item);
	ExecStoreHeapTuple(&work->tuple, work->slot, false);
	work->updater.tid = work->tuple.t_self;
}

/* Offset in the tuple of an attribute that lies there whole and uncompressed, or 0. */
static uint16
place_of(InPlace *work, AttrNumber attnum)
{
	bool isnull;
	Datum value = slot_getattr(work->slot, attnum, &isnull);
	char *start = (char *) work->tuple.t_data;
	char *pointer = DatumGetPointer(value);

	if (isnull || TupleDescAttr(work->slot->tts_tupleDescriptor, attnum - 1)->attlen != -1 ||
		pointer < start + work->tuple.t_data->t_hoff || pointer >= start + work->tuple.t_len ||
		!is_plain((struct varlena *) pointer))
		return 0;
	return pointer - start;
}

/* Adds the change of the tuple at work; false if it does not fit where the old values are. */
static bool
add_change(InPlace *work, const ColumnChange *change)
{
	int before = work->nchanges;

	for (int i = 0; i < change->count; i++)
	{
		AttributeChange *added = &work->changes[work->nchanges];
		uint16 at;
		struct varlena *old;
		struct varlena *new = (struct varlena *) DatumGetPointer(change->values[i]);

		if (change->nulls[i] && slot_attisnull(work->slot, change->attnums[i]))
			continue;
		at = place_of(work, change->attnums[i]);
		old = (struct varlena *) ((char *) work->tuple.t_data + at);
		if (at == 0 || change->nulls[i] || !is_plain(new) ||
			VARSIZE_ANY_EXHDR(new) != VARSIZE_ANY_EXHDR(old))
		{
			work->nchanges = before;
			return false;
		}
		added->item = ItemPointerGetOffsetNumber(&work->tuple.t_self);
		added->at = at + (VARDATA_ANY(old) - (char *) old);
		added->size = VARSIZE_ANY_EXHDR(new);
		added->bytes = VARDATA_ANY(new);
		work->nchanges++;
	}
	return true;
}

/* What to do with the value of the tuple at work. */
static ValueOutcome
treat_tuple(InPlace *work, bool only_inspect, ColumnChange *change)
{
	ColumnCipher *cipher = &work->updater.cipher;

	if (only_inspect)
		return cipher_inspect(cipher, work->slot);
	return cipher_reencrypt(cipher, work->slot, false, change);
}

/* The same where code may fail that is not ours, or a value be gone: then VALUE_BAD. */
static ValueOutcome
treat_tuple_guarded(InPlace *work, bool only_inspect, ColumnChange *change)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	volatile ValueOutcome outcome = VALUE_BAD;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		outcome = treat_tuple(work, only_inspect, change);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		int category = ERRCODE_TO_CATEGORY(geterrcode());
		ErrorData *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();

		/* First: an error out of a subtransaction would leave the session in its transaction. */
		RollbackAndReleaseCurrentSubTransaction();
		if (category == ERRCODE_OPERATOR_INTERVENTION || category == ERRCODE_INSUFFICIENT_RESOURCES)
			ReThrowError(error);
		FreeErrorData(error);
		progress_resume();
		outcome = VALUE_BAD;
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	return outcome;
}

/*
 * Re-encrypts the tuple at work; VALUE_BAD where it does not open. What the AAD
 * expression throws for a live row goes on.
 */
static ValueOutcome
reencrypt_tuple(InPlace *work, bool live, ColumnChange *change)
{
	if (live || work->simple)
		return treat_tuple(work, false, change);
	return treat_tuple_guarded(work, false, change);
}

/*
 * Computes all new bytes from the copy, and lists the rows that need the ordinary
 * way: those whose value does not lie in the tuple or does not keep its length,
 * or all of them with ordinary_only. Bad values of live rows are listed, too.
 */
static void
plan_page(InPlace *work, BlockNumber block, bool ordinary_only, Seen *seen)
{
	work->nchanges = work->nrows = work->nbad = 0;
	for (OffsetNumber item = FirstOffsetNumber; item <= work->nitems; item++)
	{
		ItemNeed need = work->needs[item];
		ColumnChange change;

		if (need == NEED_NOTHING)
			continue;
		store_tuple(work, block, item);
		if (ordinary_only || place_of(work, work->updater.cipher.attnum) == 0)
		{
			work->rows[work->nrows++] = item;
			continue;
		}
		switch (reencrypt_tuple(work, need == NEED_WORK, &change))
		{
			case VALUE_CHANGED:
				if (!add_change(work, &change))
					work->rows[work->nrows++] = item;
				break;
			case VALUE_BAD:
				if (need == NEED_WORK)
					work->bad[work->nbad++] = (BadItem){item, work->updater.cipher.bad_reason};
				else if (need == NEED_WORK_UNSETTLED)
					seen->unsettled++;
				else
					seen->left++;
				break;
			case VALUE_CURRENT:
				seen->current++;
				break;
			default: /* nothing there for us */
				seen->nulls++;
				break;
		}
	}
	ExecClearTuple(work->slot);
}

/*
 * Whether the tuple on the page has the content of the one in the copy. Equal
 * content has equal new values, whichever transaction it belongs to.
 */
static bool
is_unchanged(InPlace *work, Page page, OffsetNumber item)
{
	const size_t fixed = offsetof(HeapTupleHeaderData, t_bits);
	ItemId old_line = PageGetItemId((Page) work->copy.data, item);
	ItemId new_line;
	HeapTupleHeader old;
	HeapTupleHeader new;

	if (item > PageGetMaxOffsetNumber(page))
		return false;
	new_line = PageGetItemId(page, item);
	if (!ItemIdIsNormal(new_line) || ItemIdGetLength(new_line) != ItemIdGetLength(old_line))
		return false;
	old = (HeapTupleHeader) PageGetItem((Page) work->copy.data, old_line);
	new = (HeapTupleHeader) PageGetItem(page, new_line);
	return new->t_hoff == old->t_hoff &&HeapTupleHeaderGetNatts(new) ==
			   HeapTupleHeaderGetNatts(old) &&
		   (new->t_infomask &HEAP_HASNULL) == (old->t_infomask & HEAP_HASNULL) &&
		   memcmp((char *) new + fixed, (char *) old + fixed, ItemIdGetLength(old_line) - fixed) ==
			   0;
}

/* Drops the changes of tuples that have changed since; whether all were kept. */
static bool
keep_unchanged(InPlace *work, Page page)
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

/* Wipes the free space, where versions pruned earlier have left their bytes. */
static void
wipe_hole(Page page)
{
	PageHeader header = (PageHeader) page;

	if (header->pd_lower >= SizeOfPageHeaderData && header->pd_lower < header->pd_upper &&
		header->pd_upper <= header->pd_special && header->pd_special <= BLCKSZ)
		memset((char *) page + header->pd_lower, 0, header->pd_upper - header->pd_lower);
}

/*
 * Writes the changes into the page, whose cleanup lock we hold, and logs it.
 * Nothing in here can fail.
 */
static void
write_page(InPlace *work, Buffer buffer)
{
	Page page = BufferGetPage(buffer);

	START_CRIT_SECTION();
	for (int i = 0; i < work->nchanges; i++)
	{
		const AttributeChange *change = &work->changes[i];
		char *tuple = (char *) PageGetItem(page, PageGetItemId(page, change->item));

		memcpy(tuple + change->at, change->bytes, change->size);
	}
	wipe_hole(page);
	MarkBufferDirty(buffer);
	if (RelationNeedsWAL(work->updater.rel))
		prunelog_page(buffer);
	END_CRIT_SECTION();
}

/* Number of tuples among the changes, which are in their order; or of dead ones. */
static int
count_changed(const InPlace *work, bool only_dead)
{
	int count = 0;

	for (int i = 0; i < work->nchanges; i++)
		if (i == 0 || work->changes[i].item != work->changes[i - 1].item)
			count += !only_dead || work->needs[work->changes[i].item] == NEED_WORK_DEAD;
	return count;
}

/*
 * Counts a version for the ordinary way that we do not see. One that is being
 * inserted counts as unsettled unless its value is seen to be current.
 */
static void
count_invisible(InPlace *work, BlockNumber block, OffsetNumber item, Seen *seen)
{
	switch (work->needs[item])
	{
		case NEED_WORK_DEAD:
			seen->left++;
			break;
		case NEED_WORK_UNSETTLED:
			store_tuple(work, block, item);
			if (treat_tuple_guarded(work, true, NULL) == VALUE_CURRENT)
				seen->current++;
			else
				seen->unsettled++;
			ExecClearTuple(work->slot);
			break;
		default: /* changed since it was looked at */
			seen->unsettled++;
			break;
	}
}

/*
 * Updates one row the ordinary way if anybody sees it, or when pages are only
 * read, says whether it should be. A busy row is left for after the batch.
 */
static void
update_row(InPlace *work, BlockNumber block, OffsetNumber item, Seen *seen)
{
	RowUpdater *updater = &work->updater;
	ValueOutcome outcome;

	ItemPointerSet(&updater->tid, block, item);
	PushActiveSnapshot(GetLatestSnapshot());
	if (!table_tuple_fetch_row_version(updater->rel, &updater->tid, GetActiveSnapshot(),
									   updater->row))
		count_invisible(work, block, item, seen);
	else if (work->batch)
	{
		outcome = updater_reencrypt_row(updater);
		seen->updated += outcome == VALUE_CHANGED;
		seen->current += outcome == VALUE_CURRENT;
		if (outcome == VALUE_BUSY)
			walk_busy_row(work->batch, &updater->tid);
		if (outcome == VALUE_BAD)
			walk_bad_value(work->batch->shared, updater->rel, &updater->tid,
						   updater->cipher.bad_reason);
	}
	else
	{
		outcome = cipher_inspect(&updater->cipher, updater->row);
		seen->updated += outcome == VALUE_CHANGED;
		seen->current += outcome == VALUE_CURRENT;
	}
	ExecClearTuple(updater->row);
	PopActiveSnapshot();
}

/* Updates the listed rows. Later snapshots of this transaction see what it did. */
static void
update_rows(InPlace *work, BlockNumber block, Seen *seen)
{
	int64 before = seen->updated;

	for (int i = 0; i < work->nrows; i++)
	{
		CHECK_FOR_INTERRUPTS();
		update_row(work, block, work->rows[i], seen);
	}
	if (work->batch && seen->updated > before)
	{
		CommandCounterIncrement();
		work->updater.estate->es_output_cid = GetCurrentCommandId(true);
	}
}

/* Looks at a page and plans its change; the page, pinned, or InvalidBuffer for nothing. */
static Buffer
read_page(InPlace *work, BlockNumber block, bool ordinary_only, Seen *seen)
{
	Buffer buffer =
		ReadBufferExtended(work->updater.rel, MAIN_FORKNUM, block, RBM_NORMAL, work->strategy);

	LockBuffer(buffer, BUFFER_LOCK_SHARE);
	if (!look_at_page(work, buffer, seen))
	{
		UnlockReleaseBuffer(buffer);
		return InvalidBuffer;
	}
	memcpy(work->copy.data, BufferGetPage(buffer), BLCKSZ);
	LockBuffer(buffer, BUFFER_LOCK_UNLOCK);
	plan_page(work, block, ordinary_only, seen);
	return buffer;
}

/* Writes the planned changes if nobody else has the page pinned, and lets go of it. */
static PageResult
change_page(InPlace *work, Buffer buffer, Seen *seen)
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
		write_page(work, buffer);
		seen->in_place += count_changed(work, false);
		seen->pages++;
	}
	UnlockReleaseBuffer(buffer);
	return result;
}

static void
add_seen(Seen *total, const Seen *seen)
{
	total->nulls += seen->nulls;
	total->current += seen->current;
	total->in_place += seen->in_place;
	total->pages += seen->pages;
	total->updated += seen->updated;
	total->unsettled += seen->unsettled;
	total->left += seen->left;
}

static void
end_page(InPlace *work)
{
	ItemPointerSetInvalid(&work->updater.tid);
	ResetPerTupleExprContext(work->updater.estate);
}

/* One attempt at rotating the values on a page. */
static PageResult
try_page(InPlace *work, BlockNumber block, bool ordinary_only)
{
	Seen seen = {0};
	PageResult result = PAGE_DONE;
	Buffer buffer;

	CHECK_FOR_INTERRUPTS();
	buffer = read_page(work, block, ordinary_only, &seen);
	if (BufferIsValid(buffer))
	{
		result = change_page(work, buffer, &seen);
		if (result != PAGE_PINNED)
			update_rows(work, block, &seen);
		for (int i = 0; result == PAGE_DONE && i < work->nbad; i++)
		{
			ItemPointerSet(&work->updater.tid, block, work->bad[i].item);
			walk_bad_value(work->batch->shared, work->updater.rel, &work->updater.tid,
						   work->bad[i].reason);
		}
	}
	if (result != PAGE_PINNED)
		add_seen(&work->seen, &seen);
	end_page(work);
	return result;
}

/* The same, coming back to a page whose tuples change under our hands. */
static PageResult
rotate_page(InPlace *work, BlockNumber block, bool ordinary_only)
{
	PageResult result;

	do
		result = try_page(work, block, ordinary_only);
	while (result == PAGE_CHANGED);
	return result;
}

/*
 * Waits for a page that others have pinned, as long as the walk allows, then
 * updates its rows the ordinary way.
 */
static void
rotate_pinned_page(InPlace *work, BlockNumber block)
{
	WalkShared *shared = work->batch->shared;
	Relation rel = work->updater.rel;

	if (shared->pin_deadline == 0)
		shared->pin_deadline =
			TimestampTzPlusMilliseconds(GetCurrentTimestamp(), shared->pin_timeout);
	while (rotate_page(work, block, false) == PAGE_PINNED)
	{
		if (GetCurrentTimestamp() >= shared->pin_deadline)
		{
			ereport(NOTICE,
					(errmsg("page %u of table \"%s\" stays pinned: its rows are updated instead",
							block, RelationGetRelationName(rel)),
					 errdetail("%s", inplace_describe_users(RelationGetRelid(rel))),
					 errhint("An open cursor does that, for one.")));
			(void) rotate_page(work, block, true);
			return;
		}
		walk_sleep(5);
	}
}

/* Rotates the pages of a block range. */
static void
in_place_batch(WalkBatch *batch)
{
	WalkShared *shared = batch->shared;
	InPlace *work = begin_work(batch->rel, batch->target, batch);
	BlockNumber *pinned = palloc(sizeof(BlockNumber) * batch->count);
	BlockNumber end;
	int npinned = 0;

	/* The relation may have shrunk before it was locked for the walk, not since. */
	end = Min(batch->first + batch->count, RelationGetNumberOfBlocks(batch->rel));
	for (BlockNumber block = batch->first; block < end; block++)
		if (rotate_page(work, block, false) == PAGE_PINNED)
			pinned[npinned++] = block;
	if (shared->pass == 1)
		walk_count(shared, WALK_PAGES_WAITED, npinned);
	for (int i = 0; i < npinned; i++)
		if (shared->pass == 1)
			(void) rotate_page(work, pinned[i], false); /* or in the next pass */
		else
			rotate_pinned_page(work, pinned[i]);
	walk_count(shared, WALK_IN_PLACE, work->seen.in_place);
	walk_count(shared, WALK_UPDATED, work->seen.updated);
	walk_count(shared, WALK_PAGES, work->seen.pages);
	end_work(work);
}

/* Whether others keep a page pinned, for longer than a scan comes by. */
static bool
stays_pinned(Buffer buffer)
{
	for (int i = 0; i < 20; i++)
	{
		if (ConditionalLockBufferForCleanup(buffer))
		{
			LockBuffer(buffer, BUFFER_LOCK_UNLOCK);
			return false;
		}
		walk_sleep(5);
	}
	return true;
}

/* Counts what a planned page still needs, and lets go of it. */
static int64
inspect_page(InPlace *work, Buffer buffer, BlockNumber block, bool skip_bad, WalkResult *result)
{
	int64 stale = count_changed(work, false);
	int64 dead = count_changed(work, true);

	if (dead > 0 && stays_pinned(buffer))
	{
		work->seen.left += dead;
		stale -= dead;
	}
	ReleaseBuffer(buffer);
	update_rows(work, block, &work->seen);
	if (skip_bad)
		result->skipped += work->nbad;
	else
		stale += work->nbad;
	return stale;
}

/*
 * Looks at every stored version of a relation's rows and returns how many need
 * another pass. Dead ones on a page that stays pinned cannot be helped.
 *
 * The snapshot of the pass, held to its end, makes this complete: a row that a
 * concurrent update moves to a page behind us was carried there from a version
 * that we come to, which cannot be pruned while the snapshot might see it.
 */
static int64
in_place_inspect(Relation rel, const TargetColumn *target, const WalkOptions *options,
				 WalkResult *result)
{
	InPlace *work = begin_work(rel, target, NULL);
	BlockNumber nblocks = RelationGetNumberOfBlocks(rel);
	int64 stale = 0;

	for (BlockNumber block = 0; block < nblocks; block++)
	{
		Buffer buffer;

		CHECK_FOR_INTERRUPTS();
		buffer = read_page(work, block, false, &work->seen);
		if (BufferIsValid(buffer))
			stale += inspect_page(work, buffer, block, options->skip_bad, result);
		end_page(work);
	}
	stale += work->seen.updated + work->seen.unsettled;
	result->scanned += work->seen.nulls + work->seen.current + stale;
	result->nulls += work->seen.nulls;
	result->left += work->seen.left;
	end_work(work);
	return stale;
}

/* Throws for what makes the method unfit. */
static void
in_place_check(Relation rel, const TargetColumn *target)
{
	inplace_check(rel, column_check_relation(rel, target));
	if (target->options.companion)
		inplace_check(rel, get_attnum(RelationGetRelid(rel), target->options.companion));
}

const WalkMethod walk_in_place = {
	.name = "dbcrypt_rotate_in_place",
	.lockmode = RowExclusiveLock,
	.held = ShareUpdateExclusiveLock,
	.check = in_place_check,
	.batch = in_place_batch,
	.before_inspect = inplace_wait_for_writers,
	.inspect = in_place_inspect,
	.finish = inplace_finish,
};
