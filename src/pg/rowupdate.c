/*
 * rowupdate.c
 *		Updates rows below the executor, so that no trigger, rule or policy sees
 *		them. Constraints, generated columns and indexes are served as an UPDATE
 *		serves them, as the table's owner.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/sysattr.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "dbcrypt.h"
#include "executor/nodeModifyTable.h"
#include "nodes/makefuncs.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"

/*
 * Adds the row to whatever goes wrong there. While constraints, indexes and
 * generated columns are served, replaces what prints values.
 */
static void
row_error_context(void *arg)
{
	RowUpdater *updater = arg;
	BlockNumber block = ItemPointerGetBlockNumberNoCheck(&updater->tid);
	OffsetNumber offset = ItemPointerGetOffsetNumberNoCheck(&updater->tid);

	if (updater->updating)
	{
		hide_value();
		errdetail("Table %s, row (%u,%u).", updater->table_name, block, offset);
	}
	else if (offset != InvalidOffsetNumber)
		errcontext("encrypted column of table %s, row (%u,%u)", updater->table_name, block, offset);
}

void
updater_begin(RowUpdater *updater, Relation rel, const TargetColumn *target, bool read_only)
{
	RangeTblEntry *rte = makeNode(RangeTblEntry);
	EState *estate;
	Bitmapset *changed;

	memset(updater, 0, sizeof(*updater));
	owner_enter(rel->rd_rel->relowner, &updater->owner);
	updater->rel = rel;
	updater->table_name = quote_qualified_identifier(get_namespace_name(RelationGetNamespace(rel)),
													 RelationGetRelationName(rel));
	ItemPointerSetInvalid(&updater->tid);
	updater->error_context = (ErrorContextCallback){
		.callback = row_error_context, .arg = updater, .previous = error_context_stack};
	error_context_stack = &updater->error_context;

	updater->estate = estate = CreateExecutorState();
	updater->row = table_slot_create(rel, NULL);
	cipher_init(&updater->cipher, rel, target, estate);

	rte->rtekind = RTE_RELATION;
	rte->relid = RelationGetRelid(rel);
	rte->relkind = rel->rd_rel->relkind;
	rte->rellockmode = RowExclusiveLock;
	changed = bms_make_singleton(updater->cipher.attnum - FirstLowInvalidHeapAttributeNumber);
	if (updater->cipher.companion != InvalidAttrNumber)
		changed =
			bms_add_member(changed, updater->cipher.companion - FirstLowInvalidHeapAttributeNumber);
	compat_init_range_table(estate, rte, changed);
	estate->es_snapshot = GetActiveSnapshot();
	updater->result = makeNode(ResultRelInfo);
	InitResultRelInfo(updater->result, rel, 1, NULL, 0);
	updater->updated = MakeSingleTupleTableSlot(RelationGetDescr(rel), &TTSOpsVirtual);
	if (read_only)
		return;

	CheckCmdReplicaIdentity(rel, CMD_UPDATE);
	if (updater->cipher.companion != InvalidAttrNumber)
		appkeys_hold(rel, updater->cipher.companion, updater->cipher.scheme);
	updater->origin = origin_lookup();
	estate->es_output_cid = GetCurrentCommandId(true);
	ExecOpenIndices(updater->result, false);
}

void
updater_end(RowUpdater *updater)
{
	error_context_stack = updater->error_context.previous;
	ExecCloseIndices(updater->result);
	ExecDropSingleTupleTableSlot(updater->updated);
	ExecDropSingleTupleTableSlot(updater->row);
	ExecResetTupleTable(updater->estate->es_tupleTable, false);
	FreeExecutorState(updater->estate);
	owner_leave(&updater->owner);
}

void
updater_build_row(RowUpdater *updater, const ColumnChange *change)
{
	TupleTableSlot *updated = updater->updated;
	TupleDesc desc = RelationGetDescr(updater->rel);
	TupleConstr *constr = desc->constr;

	slot_getallattrs(updater->row);
	ExecClearTuple(updated);
	memcpy(updated->tts_values, updater->row->tts_values, desc->natts * sizeof(Datum));
	memcpy(updated->tts_isnull, updater->row->tts_isnull, desc->natts * sizeof(bool));
	for (int i = 0; i < desc->natts; i++)
		if (TupleDescAttr(desc, i)->attisdropped)
			updated->tts_isnull[i] = true;
	for (int i = 0; i < change->count; i++)
	{
		updated->tts_values[change->attnums[i] - 1] = change->values[i];
		updated->tts_isnull[change->attnums[i] - 1] = change->nulls[i];
	}
	ExecStoreVirtualTuple(updated);
	updated->tts_tableOid = RelationGetRelid(updater->rel);
	if (constr == NULL)
		return;
	if (constr->has_generated_stored)
		ExecComputeStoredGenerated(updater->result, updater->estate, updated, CMD_UPDATE);
	if (constr->num_check > 0 || constr->has_generated_stored)
		ExecConstraints(updater->result, updated, updater->estate);
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
	status = table_tuple_lock(updater->rel, tid, GetActiveSnapshot(), updater->row,
							  updater->estate->es_output_cid, lockmode, LockWaitBlock,
							  TUPLE_LOCK_FLAG_FIND_LAST_VERSION, &failure);
	if (status != TM_Ok && status != TM_Deleted)
		elog(ERROR, "unexpected result %d of locking a row", (int) status);
	return status == TM_Ok;
}

/*
 * Locks the row at updater->tid if that needs no waiting: heap_update itself
 * always waits. True if it is ours; false if someone else changes it or has.
 */
static bool
lock_without_waiting(RowUpdater *updater)
{
	TM_FailureData failure;
	TM_Result status = table_tuple_lock(updater->rel, &updater->tid, GetActiveSnapshot(),
										updater->row, updater->estate->es_output_cid,
										ExecUpdateLockMode(updater->estate, updater->result),
										LockWaitSkip, 0, &failure);

	if (status != TM_Ok && status != TM_WouldBlock && status != TM_Updated && status != TM_Deleted)
		elog(ERROR, "unexpected result %d of locking a row", (int) status);
	return status == TM_Ok;
}

/*
 * Whether one of these deferrable indexes may read what has changed. The others
 * conflict with a row of someone else's, who checks it when it commits.
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

/* Writes updater->updated over the row at updater->tid, marked with our origin. */
static TM_Result
update_tuple(RowUpdater *updater, TM_FailureData *failure, LockTupleMode *lockmode, bool *cold,
			 List **rechecks)
{
	volatile TM_Result status = TM_Invisible;

	origin_enter(updater->origin);
	PG_TRY();
	{
		status =
			compat_update_tuple(updater->result, updater->estate, &updater->tid, updater->updated,
								GetActiveSnapshot(), failure, lockmode, cold, rechecks);
	}
	PG_FINALLY();
	{
		origin_leave(updater->origin);
	}
	PG_END_TRY();
	return status;
}

/* cipher_reencrypt as a CipherFunction. */
static ValueOutcome
reencrypt(ColumnCipher *cipher, TupleTableSlot *slot, ColumnChange *change)
{
	return cipher_reencrypt(cipher, slot, false, change);
}

ValueOutcome
updater_reencrypt_row(RowUpdater *updater)
{
	return updater_update_row(updater, reencrypt);
}

ValueOutcome
updater_update_row(RowUpdater *updater, CipherFunction function)
{
	for (;;)
	{
		ColumnChange change;
		TM_FailureData failure;
		LockTupleMode lockmode;
		TM_Result status;
		ValueOutcome outcome;
		bool cold;
		List *rechecks;

		updater->tid = updater->row->tts_tid;
		outcome = function(&updater->cipher, updater->row, &change);
		if (outcome != VALUE_CHANGED)
			return outcome;
		if (updater->nowait && !lock_without_waiting(updater))
			return VALUE_BUSY;

		updater->updating = true;
		updater_build_row(updater, &change);
		status = update_tuple(updater, &failure, &lockmode, &cold, &rechecks);
		updater->updating = false;
		if (status == TM_Ok)
		{
			updater->cold_updates += cold;
			if (concerns_change(updater->rel, rechecks, &change))
				ereport(ERROR, (errcode(ERRCODE_UNIQUE_VIOLATION),
								errmsg("row conflicts with a deferred constraint"),
								errhint("Run SET CONSTRAINTS ALL IMMEDIATE first.")));
			return VALUE_CHANGED;
		}
		if ((status == TM_Updated || status == TM_Deleted) &&
			ItemPointerIndicatesMovedPartitions(&failure.ctid))
			ereport(ERROR, (errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
							errmsg("row was moved to another partition by a concurrent update"),
							errhint("Call the function again.")));
		if (status != TM_Updated && status != TM_Deleted)
			elog(ERROR, "unexpected result %d of updating a row", (int) status);
		if (!lock_newest_version(updater, &updater->tid, lockmode))
			return VALUE_GONE;
		ResetPerTupleExprContext(updater->estate);
	}
}
