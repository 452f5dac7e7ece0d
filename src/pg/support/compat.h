/*
 * compat.h
 *		The only place that tests the PostgreSQL version (15 to 19).
 */
#ifndef DBCRYPT_COMPAT_H
#define DBCRYPT_COMPAT_H

#include "postgres.h"

#include "access/heapam_xlog.h"
#include "access/tableam.h"
#include "catalog/pg_class.h"
#include "catalog/pg_proc.h"
#include "common/jsonapi.h"
#include "executor/executor.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "replication/origin.h"
#include "storage/lock.h"
#include "storage/proc.h"
#include "storage/procarray.h"
#include "utils/acl.h"
#include "utils/backend_status.h"
#include "utils/guc.h"
#if PG_VERSION_NUM < 170000
#include "storage/sinvaladt.h"
#endif
#if PG_VERSION_NUM >= 160000
#include "parser/parse_relation.h"
#include "varatt.h"
#endif
#if PG_VERSION_NUM >= 190000
#include "commands/repack.h"
#else
#include "commands/cluster.h"
#endif

#if PG_VERSION_NUM < 150000 || PG_VERSION_NUM >= 200000
#error "dbcrypt supports PostgreSQL 15 to 19"
#endif

#if PG_VERSION_NUM < 180000
#define pg_noreturn __attribute__((noreturn))
#endif

#if PG_VERSION_NUM < 190000
#define pg_fallthrough __attribute__((fallthrough))
#define InvalidReplOriginId InvalidRepOriginId
typedef RepOriginId ReplOriginId;
#endif

/* What a signal handler was called with, to call another with. */
#if PG_VERSION_NUM >= 190000
#define COMPAT_SIGNAL postgres_signal_arg, pg_siginfo
#else
#define COMPAT_SIGNAL postgres_signal_arg
#endif

/* The replication origin of what the session writes. */
#if PG_VERSION_NUM >= 190000
#define COMPAT_SESSION_ORIGIN replorigin_xact_state.origin
#else
#define COMPAT_SESSION_ORIGIN replorigin_session_origin
#endif

/* Local number of this backend's transaction. */
#if PG_VERSION_NUM >= 170000
#define COMPAT_LOCAL_TRANSACTION MyProc->vxid.lxid
#else
#define COMPAT_LOCAL_TRANSACTION MyProc->lxid
#endif

/* What the actions of the JSON parser return. */
#if PG_VERSION_NUM >= 160000
#define COMPAT_JSON_RESULT JsonParseErrorType
#define COMPAT_JSON_OK JSON_SUCCESS
#else
#define COMPAT_JSON_RESULT void
#define COMPAT_JSON_OK
#endif

/* Whether an action of ALTER TABLE gives a generated column another expression. */
static inline bool
compat_sets_expression(AlterTableType action)
{
#if PG_VERSION_NUM >= 170000
	return action == AT_SetExpression;
#else
	(void) action;
	return false;
#endif
}

/* A lexer of a JSON text in the database's encoding that reads strings. */
static inline JsonLexContext *
compat_json_lexer(char *json, int size)
{
#if PG_VERSION_NUM >= 170000
	return makeJsonLexContextCstringLen(NULL, json, size, GetDatabaseEncoding(), true);
#else
	return makeJsonLexContextCstringLen(json, size, GetDatabaseEncoding(), true);
#endif
}

/* Whether a user owns a relation. */
static inline bool
compat_owns_relation(Oid relid, Oid userid)
{
#if PG_VERSION_NUM >= 160000
	return object_ownercheck(RelationRelationId, relid, userid);
#else
	return pg_class_ownercheck(relid, userid);
#endif
}

/* Whether a user may execute a function. */
static inline bool
compat_may_execute(Oid function, Oid userid)
{
#if PG_VERSION_NUM >= 160000
	return object_aclcheck(ProcedureRelationId, function, userid, ACL_EXECUTE) == ACLCHECK_OK;
#else
	return pg_proc_aclcheck(function, userid, ACL_EXECUTE) == ACLCHECK_OK;
#endif
}

/*
 * A prune record that removes nothing, conflicts with no snapshot, and whose redo
 * takes the cleanup lock; returns its info bits.
 */
static inline uint8
compat_empty_prune(xl_heap_prune *record)
{
	memset(record, 0, sizeof(*record));
#if PG_VERSION_NUM >= 170000
	record->flags = XLHP_CLEANUP_LOCK;
	return XLOG_HEAP2_PRUNE_ON_ACCESS;
#else
	return XLOG_HEAP2_PRUNE;
#endif
}

/* The process that runs a virtual transaction; NULL if that has ended or is prepared. */
static inline PGPROC *
compat_transaction_process(const VirtualTransactionId *transaction)
{
#if PG_VERSION_NUM >= 170000
	PGPROC *process = ProcNumberGetProc(transaction->procNumber);

	return process && process->vxid.lxid == transaction->localTransactionId ? process : NULL;
#else
	PGPROC *process = BackendIdGetProc(transaction->backendId);

	return process && process->lxid == transaction->localTransactionId ? process : NULL;
#endif
}

/* Status of the i-th backend, from 1. */
static inline LocalPgBackendStatus *
compat_backend_status(int i)
{
#if PG_VERSION_NUM >= 160000
	return pgstat_get_local_beentry_by_index(i);
#else
	return pgstat_fetch_stat_local_beentry(i);
#endif
}

/* Sets search_path to pg_catalog, pg_temp until the current GUC nest level ends. */
static inline void
compat_restrict_search_path(void)
{
#if PG_VERSION_NUM >= 170000
	RestrictSearchPath();
#else
	(void) set_config_option("search_path", "pg_catalog, pg_temp", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
#endif
}

/* Whether a node makes JSON of its arguments by syntax, as JSON_OBJECT() does. */
static inline bool
compat_is_json_constructor(Node *node)
{
#if PG_VERSION_NUM >= 170000
	if (IsA(node, JsonExpr))
		return true;
#endif
#if PG_VERSION_NUM >= 160000
	return IsA(node, JsonConstructorExpr);
#else
	return false;
#endif
}

/* A scan of all rows that a snapshot sees. */
static inline TableScanDesc
compat_beginscan(Relation rel, Snapshot snapshot)
{
#if PG_VERSION_NUM >= 190000
	return table_beginscan(rel, snapshot, 0, NULL, SO_NONE);
#else
	return table_beginscan(rel, snapshot, 0, NULL);
#endif
}

/* The same of the rows between two places, both included. */
static inline TableScanDesc
compat_beginscan_tidrange(Relation rel, Snapshot snapshot, ItemPointer first, ItemPointer last)
{
#if PG_VERSION_NUM >= 190000
	return table_beginscan_tidrange(rel, snapshot, first, last, SO_NONE);
#else
	return table_beginscan_tidrange(rel, snapshot, first, last);
#endif
}

/* Puts a new heap, whose rows keep the constraints, in the place of a table's, and reindexes. */
static inline void
compat_finish_heap_swap(Oid relid, Oid new_relid, TransactionId frozen_xid, MultiXactId cutoff,
						char persistence)
{
#if PG_VERSION_NUM >= 190000
	finish_heap_swap(relid, new_relid, false, false, true, true, true, frozen_xid, cutoff,
					 persistence);
#else
	finish_heap_swap(relid, new_relid, false, false, true, true, frozen_xid, cutoff, persistence);
#endif
}

/* Range table of an executor state: one relation, one updated column. */
static inline void
compat_init_range_table(EState *estate, RangeTblEntry *rte, Bitmapset *updated)
{
#if PG_VERSION_NUM >= 160000
	List *perminfos = NIL;
	RTEPermissionInfo *perminfo = addRTEPermissionInfo(&perminfos, rte);

	perminfo->updatedCols = updated;
#if PG_VERSION_NUM >= 180000
	ExecInitRangeTable(estate, list_make1(rte), perminfos, bms_make_singleton(1));
#else
	ExecInitRangeTable(estate, list_make1(rte), perminfos);
#endif
#else
	rte->updatedCols = updated;
	ExecInitRangeTable(estate, list_make1(rte));
#endif
}

/*
 * Updates the tuple at tid, and its index entries; waits for its row lock. Only TM_Ok has changed
 * anything. *cold: it wrote index entries. Sets *rechecks where a deferred
 * constraint must be checked later. Indexes are not told that their keys stay the
 * same: B-tree would search every full page for dead versions before it splits it,
 * and where one transaction rewrites the whole table there are next to none (a
 * third of the time, and not a page saved).
 */
static inline TM_Result
compat_update_tuple(ResultRelInfo *result, EState *estate, ItemPointer tid, TupleTableSlot *slot,
					Snapshot snapshot, TM_FailureData *failure, LockTupleMode *lockmode, bool *cold,
					List **rechecks)
{
	TM_Result status;
#if PG_VERSION_NUM >= 160000
	TU_UpdateIndexes update_indexes = TU_None;
#else
	bool update_indexes = false;
#endif

	*cold = false;
	*rechecks = NIL;
#if PG_VERSION_NUM >= 190000
	status =
		table_tuple_update(result->ri_RelationDesc, tid, slot, estate->es_output_cid, 0, snapshot,
						   InvalidSnapshot, true, failure, lockmode, &update_indexes);
#else
	status = table_tuple_update(result->ri_RelationDesc, tid, slot, estate->es_output_cid, snapshot,
								InvalidSnapshot, true, failure, lockmode, &update_indexes);
#endif
	if (status != TM_Ok)
		return status;
#if PG_VERSION_NUM >= 190000
	*cold = update_indexes == TU_All;
	if (update_indexes != TU_None)
		*rechecks = ExecInsertIndexTuples(
			result, estate, update_indexes == TU_Summarizing ? EIIT_ONLY_SUMMARIZING : 0, slot, NIL,
			NULL);
#elif PG_VERSION_NUM >= 160000
	*cold = update_indexes == TU_All;
	if (update_indexes != TU_None)
		*rechecks = ExecInsertIndexTuples(result, slot, estate, false, false, NULL, NIL,
										  update_indexes == TU_Summarizing);
#else
	*cold = update_indexes;
	if (update_indexes)
		*rechecks = ExecInsertIndexTuples(result, slot, estate, false, false, NULL, NIL);
#endif
	return status;
}

/* Completes a tuple descriptor that was made column by column. */
static inline void
compat_finish_tuple_desc(TupleDesc desc)
{
#if PG_VERSION_NUM >= 190000
	TupleDescFinalize(desc);
#endif
}

#endif
