/*
 * page_write.h
 *		Writes the planned bytes into a page, under its cleanup lock, and logs it.
 */
#ifndef DBCRYPT_PAGE_WRITE_H
#define DBCRYPT_PAGE_WRITE_H

#include "postgres.h"

#include "storage/buf.h"

#include "rotation/in_place/page_work.h"

/* What became of a page. */
typedef enum PageResult
{
	PAGE_DONE,
	PAGE_PINNED, /* someone else has it pinned; nothing was done or counted */
	PAGE_CHANGED /* some tuples changed meanwhile: visit it again */
} PageResult;

/* Writes the planned changes if nobody else has the page pinned, and releases it. */
extern PageResult page_write(PageWork *work, Buffer buffer, VersionCounts *counts);

#endif
