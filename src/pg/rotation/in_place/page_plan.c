/*
 * page_plan.c
 *		Computes the new bytes of a page from a copy of it, without any lock.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "executor/tuptable.h"
#include "storage/bufmgr.h"
#include "storage/bufpage.h"

#include "rotation/in_place/page_look.h"
#include "rotation/in_place/page_plan.h"
#include "rotation/in_place/page_work.h"
#include "support/subtransaction.h"
#include "values/codec.h"
#include "values/codec_change.h"
#include "values/codec_inspect.h"

/* Offset in the tuple of an attribute that lies there whole and uncompressed, or 0. */
static uint16
offset_in_tuple(PageWork *work, AttrNumber attnum)
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
add_change(PageWork *work, const ColumnChange *change)
{
	int before = work->nchanges;

	for (int i = 0; i < change->count; i++)
	{
		AttributeChange *added = &work->changes[work->nchanges];
		uint16 at;
		struct varlena *old;
		struct varlena *fresh = (struct varlena *) DatumGetPointer(change->values[i]);

		if (change->nulls[i] && slot_attisnull(work->slot, change->attnums[i]))
			continue;
		at = offset_in_tuple(work, change->attnums[i]);
		old = (struct varlena *) ((char *) work->tuple.t_data + at);
		if (at == 0 || change->nulls[i] || !is_plain(fresh) ||
			VARSIZE_ANY_EXHDR(fresh) != VARSIZE_ANY_EXHDR(old))
		{
			work->nchanges = before;
			return false;
		}
		added->item = ItemPointerGetOffsetNumber(&work->tuple.t_self);
		added->at = at + (VARDATA_ANY(old) - (char *) old);
		added->size = VARSIZE_ANY_EXHDR(fresh);
		added->bytes = VARDATA_ANY(fresh);
		work->nchanges++;
	}
	return true;
}

/* The tuple at work as a task for a subtransaction. */
typedef struct TupleTask
{
	PageWork *work;
	ColumnChange *change; /* of its re-encryption; NULL: only inspect it */
	ValueOutcome outcome;
} TupleTask;

/* Re-encrypts or inspects the tuple at work. */
static void
run_task(void *arg)
{
	TupleTask *task = arg;
	ColumnCodec *codec = &task->work->scan->codec;

	if (task->change)
		task->outcome = codec_reencrypt(codec, task->work->slot, task->change);
	else
		task->outcome = codec_inspect(codec, task->work->slot);
}

/*
 * The same where foreign code may fail, or the value be gone from the TOAST table:
 * then VALUE_BAD. Cancellation and lack of memory or disk are thrown.
 */
static ValueOutcome
run_task_safely(TupleTask *task)
{
	ErrorData *error = subtransaction_run(run_task, task);
	int category;

	if (error == NULL)
		return task->outcome;
	category = ERRCODE_TO_CATEGORY(error->sqlerrcode);
	if (category == ERRCODE_OPERATOR_INTERVENTION || category == ERRCODE_INSUFFICIENT_RESOURCES)
		ReThrowError(error);
	FreeErrorData(error);
	return VALUE_BAD;
}

ValueOutcome
page_inspect_safely(PageWork *work)
{
	TupleTask task = {.work = work};

	return run_task_safely(&task);
}

/*
 * Re-encrypts the tuple at work; VALUE_BAD where it does not open. An error of the
 * AAD expression is thrown for a live row, and makes the value of another bad.
 */
static ValueOutcome
reencrypt_tuple(PageWork *work, bool live, ColumnChange *change)
{
	TupleTask task = {.work = work, .change = change};

	if (!live && !work->simple)
		return run_task_safely(&task);
	run_task(&task);
	return task.outcome;
}

/*
 * Computes all new bytes from the copy, and lists the rows that need an ordinary
 * update: those whose value does not lie in the tuple or does not keep its length,
 * or all of them with ordinary_only. Bad values of live rows are listed, too.
 */
static void
plan_page(PageWork *work, BlockNumber block, bool ordinary_only, VersionCounts *counts)
{
	work->nchanges = work->nrows = work->nbad = 0;
	for (OffsetNumber item = FirstOffsetNumber; item <= work->nitems; item++)
	{
		TupleNeed need = work->needs[item];
		ColumnChange change;

		if (need == NEED_NOTHING)
			continue;
		page_work_store_tuple(work, block, item);
		if (ordinary_only || offset_in_tuple(work, work->scan->codec.attnum) == 0)
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
					work->bad[work->nbad++] = (BadItem){item, work->scan->codec.bad_reason};
				else if (need == NEED_WORK_UNSETTLED)
					page_work_count_unsettled(work, counts);
				else
					counts->left++;
				break;
			case VALUE_CURRENT:
				counts->current++;
				break;
			default: /* no value that is ours */
				counts->nulls++;
				break;
		}
	}
	ExecClearTuple(work->slot);
}

Buffer
page_read(PageWork *work, BlockNumber block, bool ordinary_only, VersionCounts *counts)
{
	Buffer buffer =
		ReadBufferExtended(work->scan->rel, MAIN_FORKNUM, block, RBM_NORMAL, work->strategy);

	LockBuffer(buffer, BUFFER_LOCK_SHARE);
	if (!page_look(work, buffer, counts))
	{
		UnlockReleaseBuffer(buffer);
		return InvalidBuffer;
	}
	memcpy(work->copy.data, BufferGetPage(buffer), BLCKSZ);
	LockBuffer(buffer, BUFFER_LOCK_UNLOCK);
	plan_page(work, block, ordinary_only, counts);
	return buffer;
}
