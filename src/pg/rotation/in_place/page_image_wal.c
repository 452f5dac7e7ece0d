/*
 * page_image_wal.c
 *		The WAL record of a heap page whose bytes were changed in place.
 *
 * It is the heap's own prune record that removes nothing, with a forced image of
 * the page. Stock redo takes the cleanup lock for it and restores the image, so
 * that a standby's readers, who keep pointers into a page that they have pinned,
 * never see a torn value; they conflict with it as with VACUUM's. No library is
 * needed to replay it. GenericXLog would take an exclusive lock only.
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xloginsert.h"
#include "catalog/pg_control.h"
#include "storage/bufmgr.h"
#include "storage/bufpage.h"

#include "rotation/in_place/page_image_wal.h"
#include "support/compat.h"

void
page_image_wal_log(Buffer buffer)
{
	xl_heap_prune record;
	uint8 info = compat_empty_prune(&record);
	XLogRecPtr lsn;

	XLogBeginInsert();
	XLogRegisterData((char *) &record, SizeOfHeapPrune);
	XLogRegisterBuffer(0, buffer, REGBUF_STANDARD | REGBUF_FORCE_IMAGE);
	lsn = XLogInsert(RM_HEAP2_ID, info);
	PageSetLSN(BufferGetPage(buffer), lsn);
}

void
page_image_wal_await(void)
{
	char nothing = 0;

	(void) GetCurrentTransactionId();
	XLogBeginInsert();
	XLogRegisterData(&nothing, sizeof(nothing));
	(void) XLogInsert(RM_XLOG_ID, XLOG_NOOP);
}
