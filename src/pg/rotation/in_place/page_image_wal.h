/*
 * page_image_wal.h
 *		The WAL record of a heap page whose bytes were changed in place.
 */
#ifndef DBCRYPT_PAGE_IMAGE_WAL_H
#define DBCRYPT_PAGE_IMAGE_WAL_H

#include "postgres.h"

#include "storage/buf.h"

/*
 * Logs an image of a changed heap page such that redo, too, takes the cleanup
 * lock, and sets the page's LSN. For critical sections; the buffer is locked and
 * dirty.
 */
extern void page_image_wal_log(Buffer buffer);

/*
 * Makes the commit of this transaction wait until our records are on disk and on
 * synchronous standbys. Page images belong to no transaction, so that no commit
 * would wait for them; and a commit waits for nothing if its own transaction has
 * logged nothing.
 */
extern void page_image_wal_await(void);

#endif
