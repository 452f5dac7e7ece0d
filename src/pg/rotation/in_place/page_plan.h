/*
 * page_plan.h
 *		Computes the new bytes of a page from a copy of it, without any lock.
 */
#ifndef DBCRYPT_PAGE_PLAN_H
#define DBCRYPT_PAGE_PLAN_H

#include "postgres.h"

#include "storage/block.h"
#include "storage/buf.h"

#include "rotation/in_place/page_work.h"

/*
 * Looks at a page and plans its change. Returns the page, pinned but not locked, or
 * InvalidBuffer if it needs nothing. With ordinary_only nothing is planned to be
 * written in place: every row is listed for an ordinary update.
 */
extern Buffer page_read(PageWork *work, BlockNumber block, bool ordinary_only,
						VersionCounts *counts);

/*
 * Says whether the value of the tuple at work needs to be re-encrypted. VALUE_BAD
 * also where foreign code fails or the value is gone from the TOAST table, as it
 * may be for a version that nobody sees.
 */
extern ValueOutcome page_inspect_safely(PageWork *work);

#endif
