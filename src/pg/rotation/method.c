/*
 * method.c
 *		What every way to rotate a batch has in common.
 */
#include "postgres.h"

#include "rotation/method.h"

int64
rotation_result_current(const RotationResult *result)
{
	return Max(result->scanned - result->nulls - result->skipped - result->rotated, 0);
}

void
batch_note_busy_row(RotationBatch *batch, ItemPointer tid)
{
	MemoryContext caller = MemoryContextSwitchTo(batch->busy_context);
	ItemPointer copy = palloc(sizeof(ItemPointerData));

	*copy = *tid;
	batch->busy = lappend(batch->busy, copy);
	MemoryContextSwitchTo(caller);
}
