/*
 * page_look.h
 *		The first look at a page: which of its tuples hold a value that needs work.
 */
#ifndef DBCRYPT_PAGE_LOOK_H
#define DBCRYPT_PAGE_LOOK_H

#include "postgres.h"

#include "storage/buf.h"

#include "rotation/in_place/page_work.h"

/*
 * Notes what each tuple of the page needs; the buffer is locked. Returns whether
 * any needs something. Decides by headers alone: nothing is detoasted.
 */
extern bool page_look(PageWork *work, Buffer buffer, VersionCounts *counts);

#endif
