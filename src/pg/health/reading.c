/*
 * reading.c
 *		How the health check reads: as it is allowed to, and without waiting.
 *
 * Relations are opened with conditional locks. What a subtransaction does may
 * need more of them (TOAST tables, whatever an expression of a table's owner
 * reads), so there lock_timeout is as short as can be.
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/tableam.h"
#include "access/xlog.h"
#include "catalog/pg_class.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/guc.h"
#include "utils/snapmgr.h"

#include "health/reading.h"
#include "support/catalog.h"
#include "support/compat.h"
#include "support/subtransaction.h"

ErrorData *
read_without_waiting(void (*action)(void *), void *arg)
{
	int nestlevel = NewGUCNestLevel();
	ErrorData *error;

	SetConfigOption("lock_timeout", "1ms", PGC_USERSET, PGC_S_SESSION);
	error = subtransaction_run(action, arg);
	if (error && error->sqlerrcode == ERRCODE_QUERY_CANCELED)
		ReThrowError(error);
	AtEOXact_GUC(false, nestlevel);
	return error;
}

bool
is_lock_error(const ErrorData *error)
{
	return error->sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE;
}

Relation
open_unless_locked(Oid relid, bool *locked)
{
	Relation rel;

	*locked = !ConditionalLockRelationOid(relid, AccessShareLock);
	if (*locked)
		return NULL;
	rel = try_relation_open(relid, NoLock);
	if (rel == NULL)
		UnlockRelationOid(relid, AccessShareLock);
	return rel;
}

bool
is_readable(Relation rel)
{
	return rel->rd_rel->relkind == RELKIND_RELATION &&
		   rel->rd_rel->relpersistence != RELPERSISTENCE_TEMP &&
		   (RelationIsPermanent(rel) || !RecoveryInProgress());
}

void
visit_rows(Relation rel, BlockNumber nblocks, RowVisitor visit, void *arg)
{
	Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
	TupleTableSlot *row = table_slot_create(rel, NULL);
	ItemPointerData first;
	ItemPointerData last;
	TableScanDesc scan;

	if (nblocks > 0)
	{
		ItemPointerSet(&first, 0, FirstOffsetNumber);
		ItemPointerSet(&last, nblocks - 1, MaxOffsetNumber);
		scan = compat_beginscan_tidrange(rel, snapshot, &first, &last);
	}
	else
		scan = compat_beginscan(rel, snapshot);
	while (nblocks > 0 ? table_scan_getnextslot_tidrange(scan, ForwardScanDirection, row)
					   : table_scan_getnextslot(scan, ForwardScanDirection, row))
	{
		CHECK_FOR_INTERRUPTS();
		if (!visit(row, arg))
			break;
	}
	table_endscan(scan);
	ExecDropSingleTupleTableSlot(row);
	UnregisterSnapshot(snapshot);
}

uint64
query_begin(const char *statement)
{
	MemoryContext caller = CurrentMemoryContext;
	uint64 count;

	SPI_connect();
	count = catalog_execute(statement, 0, NULL, NULL, NULL, SPI_OK_SELECT);
	MemoryContextSwitchTo(caller);
	return count;
}

char *
query_field(uint64 row, int column)
{
	char *value = SPI_getvalue(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column);

	return value ? value : pstrdup("");
}
