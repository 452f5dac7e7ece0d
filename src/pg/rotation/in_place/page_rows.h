/*
 * page_rows.h
 *		The rows of a page that cannot be written in place.
 */
#ifndef DBCRYPT_PAGE_ROWS_H
#define DBCRYPT_PAGE_ROWS_H

#include "postgres.h"

#include "storage/block.h"

#include "rotation/in_place/page_work.h"

/*
 * Updates the listed rows, or when pages are only read, counts which need it.
 * Later snapshots of this transaction see what it did.
 */
extern void page_update_rows(PageWork *work, BlockNumber block, VersionCounts *counts);

#endif
