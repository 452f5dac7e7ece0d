/*
 * rotate.c
 *		dbcrypt_rotate and dbcrypt_rotate_all: every value of a column under the
 *		primary key, in one transaction.
 *
 * Rows are updated below the executor, so that no trigger, rule or policy sees
 * them; constraints, generated columns and indexes are served as an UPDATE
 * serves them, as the table's owner.
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/sysattr.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "commands/tablecmds.h"
#include "dbcrypt.h"
#include "executor/nodeModifyTable.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

PG_FUNCTION_INFO_V1(dbcrypt_rotate);
PG_FUNCTION_INFO_V1(dbcrypt_rotate_all);

#define NCOUNTS 4

/* One relation under rotation. */
typedef struct Rotation
{
	Relation	rel;
	EState	   *estate;
	ResultRelInfo *result;
	ColumnCipher cipher;
	TupleTableSlot *row;		/* as scanned, or as relocked */
	TupleTableSlot *updated;
	ItemPointerData tid;		/* of the row at work */
	bool		updating;		/* it is being written */
	char	   *table_name;
	RotateCounts *counts;
} Rotation;

/*
 * Adds the row to whatever goes wrong there. While constraints, indexes and
 * generated columns are served, replaces the DETAIL, which prints values.
 */
static void
row_error_context(void *arg)
{
	Rotation   *rotation = arg;
	BlockNumber block = ItemPointerGetBlockNumberNoCheck(&rotation->tid);
	OffsetNumber offset = ItemPointerGetOffsetNumberNoCheck(&rotation->tid);

	if (rotation->updating)
		errdetail("Table \"%s\", row (%u,%u).", rotation->table_name, block, offset);
	else if (offset != InvalidOffsetNumber)
		errcontext("column of table \"%s\", row (%u,%u)", rotation->table_name, block, offset);
}

/* Prepares a relation, locked already, for updates of one column. */
static void
begin_rotation(Rotation *rotation, Relation rel, AttrNumber attnum, const char *aad, bool dry_run)
{
	RangeTblEntry *rte = makeNode(RangeTblEntry);

	rotation->rel = rel;
	rotation->estate = CreateExecutorState();
	rte->rtekind = RTE_RELATION;
	rte->relid = RelationGetRelid(rel);
	rte->relkind = rel->rd_rel->relkind;
	rte->rellockmode = dry_run ? AccessShareLock : RowExclusiveLock;
	compat_init_range_table(rotation->estate, rte,
							bms_make_singleton(attnum - FirstLowInvalidHeapAttributeNumber));
	rotation->row = table_slot_create(rel, NULL);
	cipher_init(&rotation->cipher, rel, attnum, aad, rotation->estate);
	ItemPointerSetInvalid(&rotation->tid);
	rotation->table_name = quote_qualified_identifier(
		get_namespace_name(RelationGetNamespace(rel)), RelationGetRelationName(rel));
	if (dry_run)
		return;

	CheckCmdReplicaIdentity(rel, CMD_UPDATE);
	rotation->estate->es_snapshot = GetActiveSnapshot();
	rotation->estate->es_output_cid = GetCurrentCommandId(true);
	rotation->result = makeNode(ResultRelInfo);
	InitResultRelInfo(rotation->result, rel, 1, NULL, 0);
	ExecOpenIndices(rotation->result, false);
	rotation->updated = MakeSingleTupleTableSlot(RelationGetDescr(rel), &TTSOpsVirtual);
}

static void
end_rotation(Rotation *rotation, bool dry_run)
{
	if (!dry_run)
	{
		ExecCloseIndices(rotation->result);
		ExecDropSingleTupleTableSlot(rotation->updated);
	}
	ExecDropSingleTupleTableSlot(rotation->row);
	ExecResetTupleTable(rotation->estate->es_tupleTable, false);
	FreeExecutorState(rotation->estate);
}

/* The row with its new value, its constraints checked. */
static void
build_updated_row(Rotation *rotation, Datum value)
{
	TupleTableSlot *updated = rotation->updated;
	int			index = rotation->cipher.attnum - 1;
	size_t		natts = RelationGetDescr(rotation->rel)->natts;
	TupleConstr *constr = RelationGetDescr(rotation->rel)->constr;

	slot_getallattrs(rotation->row);
	ExecClearTuple(updated);
	memcpy(updated->tts_values, rotation->row->tts_values, natts * sizeof(Datum));
	memcpy(updated->tts_isnull, rotation->row->tts_isnull, natts * sizeof(bool));
	updated->tts_values[index] = value;
	updated->tts_isnull[index] = false;
	ExecStoreVirtualTuple(updated);
	updated->tts_tableOid = RelationGetRelid(rotation->rel);
	if (constr == NULL)
		return;
	if (constr->has_generated_stored)
		ExecComputeStoredGenerated(rotation->result, rotation->estate, updated, CMD_UPDATE);
	if (constr->num_check > 0 || constr->has_generated_stored)
		ExecConstraints(rotation->result, updated, rotation->estate);
}

/*
 * Fetches the newest version of a row that someone else changed, and locks it.
 * False if there is none. As in UPDATE, only READ COMMITTED may go on.
 */
static bool
lock_newest_version(Rotation *rotation, ItemPointer tid, LockTupleMode lockmode)
{
	TM_FailureData failure;
	TM_Result	status;

	if (IsolationUsesXactSnapshot())
		ereport(ERROR, (errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
						errmsg("could not serialize access due to concurrent update")));
	status = table_tuple_lock(rotation->rel, tid, GetActiveSnapshot(), rotation->row,
							  rotation->estate->es_output_cid, lockmode, LockWaitBlock,
							  TUPLE_LOCK_FLAG_FIND_LAST_VERSION, &failure);
	if (status == TM_Ok)
		return true;
	if (status != TM_Deleted)
		elog(ERROR, "unexpected result %d of locking a row", (int) status);
	return false;
}

/* Rotates the row in rotation->row, in its newest version. */
static void
rotate_row(Rotation *rotation)
{
	RotateCounts *counts = rotation->counts;
	List	   *rechecks;
	Datum		value;

	for (;;)
	{
		TM_FailureData failure;
		LockTupleMode lockmode;
		TM_Result	status;

		rotation->tid = rotation->row->tts_tid;
		switch (cipher_reencrypt(&rotation->cipher, rotation->row, false, &value))
		{
			case VALUE_NULL:
				counts->nulls++;
				counts->scanned++;
				return;
			case VALUE_CURRENT:
				counts->current++;
				counts->scanned++;
				return;
			case VALUE_CHANGED:
				break;
		}

		rotation->updating = true;
		build_updated_row(rotation, value);
		status = compat_update_tuple(rotation->result, rotation->estate, &rotation->tid,
									 rotation->updated, GetActiveSnapshot(), &failure, &lockmode,
									 &rechecks);
		rotation->updating = false;
		if (status == TM_Ok)
			break;
		if (status == TM_Deleted && ItemPointerIndicatesMovedPartitions(&failure.ctid))
			ereport(ERROR, (errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
							errmsg("row was moved to another partition by a concurrent update"),
							errhint("Call the function again.")));
		if (status != TM_Updated && status != TM_Deleted)
			elog(ERROR, "unexpected result %d of updating a row", (int) status);
		if (!lock_newest_version(rotation, &rotation->tid, lockmode))
			return;
		ResetPerTupleExprContext(rotation->estate);
	}
	if (rechecks != NIL)
		ereport(ERROR, (errcode(ERRCODE_UNIQUE_VIOLATION),
						errmsg("row conflicts with a deferred constraint"),
						errhint("Run SET CONSTRAINTS ALL IMMEDIATE first.")));
	counts->rotated++;
	counts->scanned++;
}

/* Counts, as a rotation would, after really opening and sealing every value. */
static void
try_row(Rotation *rotation)
{
	RotateCounts *counts = rotation->counts;
	Datum		value;

	rotation->tid = rotation->row->tts_tid;
	counts->scanned++;
	switch (cipher_reencrypt(&rotation->cipher, rotation->row, true, &value))
	{
		case VALUE_NULL:
			counts->nulls++;
			break;
		case VALUE_CURRENT:
			counts->current++;
			break;
		case VALUE_CHANGED:
			counts->rotated++;
			break;
	}
}

/* Rotates one relation that is locked, as its owner. */
static void
rotate_relation(Relation rel, AttrNumber attnum, const char *aad, bool dry_run,
				RotateCounts *counts)
{
	Rotation	rotation = {.counts = counts};
	ErrorContextCallback context = {.callback = row_error_context, .arg = &rotation};
	OwnerContext saved;
	TableScanDesc scan;

	owner_enter(rel->rd_rel->relowner, &saved);
	begin_rotation(&rotation, rel, attnum, aad, dry_run);
	context.previous = error_context_stack;
	error_context_stack = &context;

	scan = table_beginscan(rel, GetActiveSnapshot(), 0, NULL);
	while (table_scan_getnextslot(scan, ForwardScanDirection, rotation.row))
	{
		CHECK_FOR_INTERRUPTS();
		if (dry_run)
			try_row(&rotation);
		else
			rotate_row(&rotation);
		ResetPerTupleExprContext(rotation.estate);
	}
	table_endscan(scan);

	error_context_stack = context.previous;
	end_rotation(&rotation, dry_run);
	owner_leave(&saved);
}

/* Locks and checks the whole tree below a table; the members to rewrite. */
static List *
open_members(TargetColumn *target, LOCKMODE lockmode)
{
	List	   *relids = column_lock_members(target->relid, lockmode);
	List	   *members = NIL;
	ListCell   *cell;

	foreach(cell, relids)
	{
		Relation	rel = relation_open(lfirst_oid(cell), NoLock);
		AttrNumber	attnum = column_check_relation(rel, target->name);

		CheckTableNotInUse(rel, "rotate");
		if (lfirst_oid(cell) == target->relid)
			target->attnum = attnum;
		if (rel->rd_rel->relkind == RELKIND_RELATION)
			members = lappend(members, rel);
		else
			relation_close(rel, NoLock);
	}
	return members;
}

/* Rotates a column of a table and its children, and registers it. */
static RotateCounts
rotate_column(TargetColumn *target, bool dry_run)
{
	RotateCounts counts = {0};
	List	   *members;
	ListCell   *cell;

	PreventCommandDuringRecovery("dbcrypt_rotate");
	if (!dry_run)
		PreventCommandIfReadOnly("dbcrypt_rotate");
	column_check_owner(target->relid);
	members = open_members(target, dry_run ? AccessShareLock : RowExclusiveLock);
	column_check_owner(target->relid);
	column_resolve_aad(target);

	CommandCounterIncrement();
	PushActiveSnapshot(GetTransactionSnapshot());
	foreach(cell, members)
	{
		Relation	rel = lfirst(cell);

		rotate_relation(rel, get_attnum(RelationGetRelid(rel), target->name), target->aad, dry_run,
						&counts);
		relation_close(rel, NoLock);
	}
	PopActiveSnapshot();
	CommandCounterIncrement();

	if (!dry_run)
	{
		SPI_connect();
		column_register(target);
		SPI_finish();
	}
	return counts;
}

static void
counts_to_datums(const RotateCounts *counts, Datum *values)
{
	values[0] = Int64GetDatum(counts->scanned);
	values[1] = Int64GetDatum(counts->rotated);
	values[2] = Int64GetDatum(counts->current);
	values[3] = Int64GetDatum(counts->nulls);
}

/* dbcrypt_rotate("table" regclass, "column" name, aad text, dry_run boolean) */
Datum
dbcrypt_rotate(PG_FUNCTION_ARGS)
{
	TargetColumn target = {0};
	RotateCounts counts;
	TupleDesc	desc;
	Datum		values[NCOUNTS];
	bool		nulls[NCOUNTS] = {false};

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1) || PG_ARGISNULL(3))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
						errmsg("table, column and dry_run must not be null")));
	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");

	target.relid = PG_GETARG_OID(0);
	target.name = pstrdup(NameStr(*PG_GETARG_NAME(1)));
	target.aad = PG_ARGISNULL(2) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(2));
	counts = rotate_column(&target, PG_GETARG_BOOL(3));
	counts_to_datums(&counts, values);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}

/* dbcrypt_rotate_all(dry_run boolean): a row for each registered column. */
Datum
dbcrypt_rotate_all(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	ListCell   *cell;

	InitMaterializedSRF(fcinfo, 0);
	foreach(cell, columns_registered())
	{
		TargetColumn *target = lfirst(cell);
		RotateCounts counts = rotate_column(target, PG_GETARG_BOOL(0));
		Datum		values[2 + NCOUNTS];
		bool		nulls[2 + NCOUNTS] = {false};

		values[0] = ObjectIdGetDatum(target->relid);
		values[1] = DirectFunctionCall1(namein, CStringGetDatum(target->name));
		counts_to_datums(&counts, values + 2);
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	return (Datum) 0;
}
