/*
 * row_updater.c
 *		Updates rows below the executor, so that no trigger, rule or policy sees
 *		them. Constraints, generated columns and indexes are served as an UPDATE
 *		serves them, as the table's owner.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/sysattr.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "executor/nodeModifyTable.h"
#include "nodes/makefuncs.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/palloc.h"
#include "utils/relcache.h"
#include "utils/snapmgr.h"

#include "columns/target.h"
#include "rows/application_keys.h"
#include "rows/column_scan.h"
#include "rows/row_updater.h"
#include "support/compat.h"
#include "support/origin.h"
#include "values/codec.h"
#include "values/codec_change.h"

/* Gives the executor's state its range table: the relation, and which columns change. */
static void
init_range_table(RowUpdater *updater)
{
	const ColumnCodec *codec = &updater->scan.codec;
	Relation rel = updater->scan.rel;
	RangeTblEntry *rte = makeNode(RangeTblEntry);
	Bitmapset *changed = bms_make_singleton(codec->attnum - FirstLowInvalidHeapAttributeNumber);

	if (codec->companion_attnum != InvalidAttrNumber)
		changed =
			bms_add_member(changed, codec->companion_attnum - FirstLowInvalidHeapAttributeNumber);
	if (codec->salt_attnum != InvalidAttrNumber)
		changed = bms_add_member(changed, codec->salt_attnum - FirstLowInvalidHeapAttributeNumber);
	rte->rtekind = RTE_RELATION;
	rte->relid = RelationGetRelid(rel);
	rte->relkind = rel->rd_rel->relkind;
	rte->rellockmode = RowExclusiveLock;
	compat_init_range_table(updater->scan.estate, rte, changed);
}

List *
constraint_names(Relation rel)
{
	const TupleConstr *constr = RelationGetDescr(rel)->constr;
	List *indexes = RelationGetIndexList(rel);
	List *names = NIL;
	ListCell *cell;

	for (int i = 0; constr && i < constr->num_check; i++)
		names = lappend(names, pstrdup(constr->check[i].ccname));
	foreach(cell, indexes)
	{
		char *name = get_rel_name(lfirst_oid(cell));

		if (name)
			names = lappend(names, name);
	}
	list_free(indexes);
	return names;
}

void
updater_begin(RowUpdater *updater, Relation rel, const TargetColumn *target, bool build_only)
{
	const ColumnCodec *codec = &updater->scan.codec;
	EState *estate;

	memset(updater, 0, sizeof(*updater));
	column_scan_begin(&updater->scan, rel, target);
	estate = updater->scan.estate;
	init_range_table(updater);
	estate->es_snapshot = GetActiveSnapshot();
	updater->result = makeNode(ResultRelInfo);
	InitResultRelInfo(updater->result, rel, 1, NULL, 0);
	updater->updated = MakeSingleTupleTableSlot(RelationGetDescr(rel), &TTSOpsVirtual);
	updater->constraints = constraint_names(rel);
	if (build_only)
		return;

	CheckCmdReplicaIdentity(rel, CMD_UPDATE);
	if (codec->companion_attnum != InvalidAttrNumber)
		application_keys_hold(rel, codec->companion_attnum, codec->scheme,
							  updater->scan.owner.userid);
	updater->origin = origin_lookup();
	estate->es_output_cid = GetCurrentCommandId(true);
	ExecOpenIndices(updater->result, false);
}

void
updater_end(RowUpdater *updater)
{
	ExecCloseIndices(updater->result);
	ExecDropSingleTupleTableSlot(updater->updated);
	ExecResetTupleTable(updater->scan.estate->es_tupleTable, false);
	column_scan_end(&updater->scan);
}

void
updater_build_row(RowUpdater *updater, const ColumnChange *change)
{
	TupleTableSlot *updated = updater->updated;
	TupleDesc desc = RelationGetDescr(updater->scan.rel);
	TupleConstr *constr = desc->constr;

	slot_getallattrs(updater->scan.row);
	ExecClearTuple(updated);
	memcpy(updated->tts_values, updater->scan.row->tts_values, desc->natts * sizeof(Datum));
	memcpy(updated->tts_isnull, updater->scan.row->tts_isnull, desc->natts * sizeof(bool));
	for (int i = 0; i < desc->natts; i++)
		if (TupleDescAttr(desc, i)->attisdropped)
			updated->tts_isnull[i] = true;
	for (int i = 0; i < change->count; i++)
	{
		updated->tts_values[change->attnums[i] - 1] = change->values[i];
		updated->tts_isnull[change->attnums[i] - 1] = change->nulls[i];
	}
	ExecStoreVirtualTuple(updated);
	updated->tts_tableOid = RelationGetRelid(updater->scan.rel);
	if (constr == NULL)
		return;
	if (constr->has_generated_stored)
		ExecComputeStoredGenerated(updater->result, updater->scan.estate, updated, CMD_UPDATE);
	if (constr->num_check > 0 || constr->has_generated_stored)
		ExecConstraints(updater->result, updated, updater->scan.estate);
}

/*
 * Fetches the newest version of a row that someone else changed, and locks it.
 * False if there is none. As in UPDATE, only READ COMMITTED may go on.
 */
static bool
lock_newest_version(RowUpdater *updater, ItemPointer tid, LockTupleMode lockmode)
{
	TM_FailureData failure;
	TM_Result status;

	if (IsolationUsesXactSnapshot())
		ereport(ERROR, (errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
						errmsg("could not serialize access due to concurrent update")));
	status = table_tuple_lock(updater->scan.rel, tid, GetActiveSnapshot(), updater->scan.row,
							  updater->scan.estate->es_output_cid, lockmode, LockWaitBlock,
							  TUPLE_LOCK_FLAG_FIND_LAST_VERSION, &failure);
	if (status != TM_Ok && status != TM_Deleted)
		elog(ERROR, "unexpected result %d of locking a row", (int) status);
	return status == TM_Ok;
}

/*
 * Locks the row at updater->scan.tid if that needs no waiting: heap_update itself
 * always waits. True if it is ours; false if someone else changes it or has.
 */
static bool
lock_without_waiting(RowUpdater *updater)
{
	TM_FailureData failure;
	TM_Result status = table_tuple_lock(updater->scan.rel, &updater->scan.tid, GetActiveSnapshot(),
										updater->scan.row, updater->scan.estate->es_output_cid,
										ExecUpdateLockMode(updater->scan.estate, updater->result),
										LockWaitSkip, 0, &failure);

	if (status != TM_Ok && status != TM_WouldBlock && status != TM_Updated && status != TM_Deleted)
		elog(ERROR, "unexpected result %d of locking a row", (int) status);
	return status == TM_Ok;
}

/*
 * Whether one of these deferrable indexes may read what has changed. An index that
 * does not may conflict with another transaction's row all the same; that
 * transaction checks it when it commits.
 */
static bool
concerns_change(Relation rel, const List *indexes, const ColumnChange *change)
{
	ListCell *cell;
	bool concerns = false;

	foreach(cell, indexes)
	{
		Relation index = index_open(lfirst_oid(cell), AccessShareLock);

		for (int i = 0; i < index->rd_index->indnatts; i++)
		{
			AttrNumber attnum = index->rd_index->indkey.values[i];

			concerns |= attnum == 0 ||
						TupleDescAttr(RelationGetDescr(rel), attnum - 1)->attgenerated != '\0';
			for (int j = 0; j < change->count; j++)
				concerns |= attnum == change->attnums[j];
		}
		index_close(index, AccessShareLock);
	}
	return concerns;
}

/*
 * Replaces the row at updater->scan.tid by updater->updated. The change is marked
 * with our replication origin, whatever happens.
 */
static TM_Result
update_tuple(RowUpdater *updater, TM_FailureData *failure, LockTupleMode *lockmode, bool *cold,
			 List **rechecks)
{
	volatile TM_Result status = TM_Invisible;

	origin_enter(updater->origin);
	PG_TRY();
	{
		status = compat_update_tuple(updater->result, updater->scan.estate, &updater->scan.tid,
									 updater->updated, GetActiveSnapshot(), failure, lockmode, cold,
									 rechecks);
	}
	PG_FINALLY();
	{
		origin_leave(updater->origin);
	}
	PG_END_TRY();
	return status;
}

ValueOutcome
updater_reencrypt_row(RowUpdater *updater)
{
	return updater_update_row(updater, codec_reencrypt);
}

/*
 * Writes the change over the row at updater->scan.tid. VALUE_CHANGED if that is
 * done; VALUE_GONE if the row was deleted meanwhile. Where it was changed, its
 * newest version is locked and in updater->scan.row: VALUE_CURRENT, and the change
 * must be computed again.
 */
static ValueOutcome
write_change(RowUpdater *updater, const ColumnChange *change)
{
	TM_FailureData failure;
	LockTupleMode lockmode;
	volatile TM_Result status = TM_Invisible;
	bool cold;
	List *rechecks;
	MemoryContext context = CurrentMemoryContext;

	updater->scan.writing = true;
	PG_TRY();
	{
		updater_build_row(updater, change);
		status = update_tuple(updater, &failure, &lockmode, &cold, &rechecks);
	}
	PG_CATCH();
	{
		column_scan_rethrow(&updater->scan, context, updater->constraints);
	}
	PG_END_TRY();
	updater->scan.writing = false;
	if (status == TM_Ok)
	{
		updater->cold_updates += cold;
		if (concerns_change(updater->scan.rel, rechecks, change))
			ereport(ERROR, (errcode(ERRCODE_UNIQUE_VIOLATION),
							errmsg("row conflicts with a deferred constraint"),
							errhint("Run SET CONSTRAINTS ALL IMMEDIATE first.")));
		return VALUE_CHANGED;
	}
	if (status != TM_Updated && status != TM_Deleted)
		elog(ERROR, "unexpected result %d of updating a row", (int) status);
	if (ItemPointerIndicatesMovedPartitions(&failure.ctid))
		ereport(ERROR, (errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
						errmsg("row was moved to another partition by a concurrent update"),
						errhint("Call the function again.")));
	return lock_newest_version(updater, &updater->scan.tid, lockmode) ? VALUE_CURRENT : VALUE_GONE;
}

void
updater_write_row(RowUpdater *updater, const ColumnChange *change)
{
	updater->scan.tid = updater->scan.row->tts_tid;
	if (write_change(updater, change) != VALUE_CHANGED)
		ereport(ERROR, (errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
						errmsg("could not serialize access due to concurrent update")));
}

ValueOutcome
updater_update_row(RowUpdater *updater, CodecFunction function)
{
	for (;;)
	{
		ColumnChange change;
		ValueOutcome outcome;

		updater->scan.tid = updater->scan.row->tts_tid;
		outcome = function(&updater->scan.codec, updater->scan.row, &change);
		if (outcome != VALUE_CHANGED)
			return outcome;
		if (updater->nowait && !lock_without_waiting(updater))
			return VALUE_BUSY;
		outcome = write_change(updater, &change);
		if (outcome != VALUE_CURRENT)
			return outcome;
		ResetPerTupleExprContext(updater->scan.estate);
	}
}
