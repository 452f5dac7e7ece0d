/*
 * page_work.c
 *		The state of the work on the pages of one relation.
 */
#include "postgres.h"

#include "access/transam.h"
#include "executor/executor.h"
#include "storage/bufmgr.h"
#include "storage/procarray.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/typcache.h"

#include "columns/expression.h"
#include "columns/expression_trust.h"
#include "columns/options.h"
#include "columns/target.h"
#include "core/api/value.h"
#include "keys/session_keyring.h"
#include "rotation/in_place/eligibility.h"
#include "rotation/in_place/page_work.h"
#include "rotation/method.h"
#include "rows/column_scan.h"
#include "rows/row_updater.h"
#include "values/codec.h"

/* Whether values are native envelopes and no expression or domain check runs for them. */
static bool
is_simple(const ColumnCodec *codec)
{
	return codec->scheme == scheme_native() && codec->aad == NULL && codec->where == NULL &&
		   codec->json == NULL && !OidIsValid(codec->domain);
}

/*
 * Notes how every value under the primary key starts, so that a look at one is a
 * comparison of a few bytes.
 */
static void
cache_primary_prefix(PageWork *work)
{
	const ColumnCodec *codec = &work->scan->codec;
	dbcrypt_encoding encoding = codec->encoding;
	uint8_t sample[64];

	work->prefix_size = 0;
	work->current_size = dbcrypt_envelope_size(encoding, 0);
	if (codec->scheme == scheme_native() && codec->where == NULL && codec->json == NULL &&
		work->current_size <= sizeof(sample) &&
		dbcrypt_encrypt(session_ring(), encoding, NULL, 0, NULL, 0, sample) == DBCRYPT_OK)
	{
		work->prefix_size = encoding == DBCRYPT_ENCODING_TEXT ? 16 : 12;
		memcpy(work->prefix, sample, work->prefix_size);
	}
}

/* Whether an expression over the row is more than functions of PostgreSQL's own over it. */
static bool
is_unfit(const RowExpression *expression)
{
	return expression && (expression->is_mutable || expression->runs_user_code);
}

/* Whether a check of the domain may run code of users. */
static bool
domain_runs_user_code(Oid domain)
{
	DomainConstraintRef constraints;
	ListCell *cell;

	InitDomainConstraintRef(domain, &constraints, CurrentMemoryContext, false);
	foreach(cell, constraints.constraints)
	{
		const DomainConstraintState *constraint = lfirst(cell);

		if (constraint->constrainttype == DOM_CONSTRAINT_CHECK &&
			expression_runs_user_code((Node *) constraint->check_expr))
			return true;
	}
	return false;
}

/*
 * Refuses expressions whose result may not depend on the row alone, because row versions
 * of any age are opened; and all code of users, however it is marked: it would be shown
 * rows that were deleted, or inserted and rolled back.
 */
static void
check_expressions(const ColumnCodec *codec)
{
	if (is_unfit(codec->aad) || is_unfit(codec->attribute) || is_unfit(codec->where))
		in_place_refuse(codec->rel, codec->attnum, ERRCODE_INVALID_OBJECT_DEFINITION,
						"Its expressions call functions that are not PostgreSQL's own, or read "
						"other tables.");
	if (OidIsValid(codec->domain) && domain_runs_user_code(codec->domain))
		in_place_refuse(codec->rel, codec->attnum, ERRCODE_INVALID_OBJECT_DEFINITION,
						"A check of its domain calls functions that are not PostgreSQL's own.");
}

PageWork *
page_work_begin(Relation rel, const TargetColumn *target, RotationBatch *batch)
{
	PageWork *work = palloc0(sizeof(PageWork));

	work->batch = batch;
	work->scan = &work->updater.scan;
	if (batch)
		updater_begin(&work->updater, rel, target, false);
	else
		column_scan_begin(work->scan, rel, target);
	work->scan->codec.soft_errors = true;
	work->updater.nowait = true;
	check_expressions(&work->scan->codec);
	work->simple = is_simple(&work->scan->codec);
	work->strategy = GetAccessStrategy(BAS_BULKREAD);
	work->oldest = GetOldestNonRemovableTransactionId(rel);
	work->slot = MakeSingleTupleTableSlot(RelationGetDescr(rel), &TTSOpsHeapTuple);
	cache_primary_prefix(work);
	return work;
}

void
page_work_end(PageWork *work)
{
	ExecDropSingleTupleTableSlot(work->slot);
	FreeAccessStrategy(work->strategy);
	if (work->batch)
		updater_end(&work->updater);
	else
		column_scan_end(work->scan);
	pfree(work);
}

void
page_work_reset(PageWork *work)
{
	ItemPointerSetInvalid(&work->scan->tid);
	ResetPerTupleExprContext(work->scan->estate);
}

void
page_work_store_tuple(PageWork *work, BlockNumber block, OffsetNumber item)
{
	Page page = (Page) work->copy.data;
	ItemId line = PageGetItemId(page, item);

	work->tuple.t_data = (HeapTupleHeader) PageGetItem(page, line);
	work->tuple.t_len = ItemIdGetLength(line);
	work->tuple.t_tableOid = RelationGetRelid(work->scan->rel);
	ItemPointerSet(&work->tuple.t_self, block, item);
	ExecStoreHeapTuple(&work->tuple, work->slot, false);
	work->scan->tid = work->tuple.t_self;
}

void
page_work_count_unsettled(PageWork *work, VersionCounts *counts)
{
	TransactionId xid = HeapTupleHeaderGetXmin(work->tuple.t_data);

	counts->unsettled++;
	if (!TransactionIdIsValid(work->inserter) || TransactionIdPrecedes(xid, work->inserter))
		work->inserter = xid;
}

int
page_work_count_changed(const PageWork *work, bool only_dead)
{
	int count = 0;

	for (int i = 0; i < work->nchanges; i++)
		if (i == 0 || work->changes[i].item != work->changes[i - 1].item)
			count += !only_dead || work->needs[work->changes[i].item] == NEED_WORK_DEAD;
	return count;
}

void
version_counts_add(VersionCounts *total, const VersionCounts *counts)
{
	total->nulls += counts->nulls;
	total->current += counts->current;
	total->in_place += counts->in_place;
	total->pages += counts->pages;
	total->updated += counts->updated;
	total->unsettled += counts->unsettled;
	total->changed += counts->changed;
	total->left += counts->left;
}
