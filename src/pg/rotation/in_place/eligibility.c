/*
 * eligibility.c
 *		Which columns can be rotated in place. An object that keeps a copy of the
 *		values, or was computed from them, is not told of the change: it forbids
 *		the method.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/sysattr.h"
#include "access/tableam.h"
#include "access/xlog.h"
#include "catalog/pg_publication.h"
#include "catalog/pg_statistic_ext.h"
#include "catalog/pg_trigger.h"
#include "commands/trigger.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "replication/slot.h"
#include "rewrite/prs2lock.h"
#include "storage/lwlock.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/partcache.h"
#include "utils/relcache.h"
#include "utils/reltrigger.h"
#include "utils/syscache.h"

#include "rotation/in_place/eligibility.h"
#include "support/compat.h"

void
in_place_refuse(Relation rel, AttrNumber attnum, int sqlstate, const char *reason)
{
	ereport(ERROR, (errcode(sqlstate),
					errmsg("cannot rotate column \"%s\" of table \"%s\" in place",
						   NameStr(TupleDescAttr(RelationGetDescr(rel), attnum - 1)->attname),
						   RelationGetRelationName(rel)),
					errdetail_internal("%s", reason),
					errhint("Use dbcrypt_rotate_online() or dbcrypt_rotate().")));
}

/* Refuses for an object by name. */
pg_noreturn static void
refuse_reader(Relation rel, AttrNumber attnum, const char *kind, const char *name)
{
	in_place_refuse(rel, attnum, ERRCODE_FEATURE_NOT_SUPPORTED,
					psprintf("%s \"%s\" reads the column.", kind, name));
}

/* Whether an expression over a relation reads a column, alone or with the whole row. */
static bool
reads(Node *expression, Index varno, AttrNumber attnum)
{
	Bitmapset *columns = NULL;

	pull_varattnos(expression, varno, &columns);
	return bms_is_member(attnum - FirstLowInvalidHeapAttributeNumber, columns) ||
		   bms_is_member(0 - FirstLowInvalidHeapAttributeNumber, columns);
}

/* Index entries hold values. An invalid index counts: its build may be completed later. */
static void
check_indexes(Relation rel, AttrNumber attnum)
{
	ListCell *cell;

	foreach(cell, RelationGetIndexList(rel))
	{
		Relation index = index_open(lfirst_oid(cell), AccessShareLock);
		bool found = reads((Node *) RelationGetIndexExpressions(index), 1, attnum) ||
					 reads((Node *) RelationGetIndexPredicate(index), 1, attnum);

		for (int i = 0; i < index->rd_index->indnatts; i++)
			found = found || index->rd_index->indkey.values[i] == attnum;
		if (found)
			refuse_reader(rel, attnum, "Index", RelationGetRelationName(index));
		index_close(index, AccessShareLock);
	}
}

/*
 * A foreign key is checked in the transaction that writes, and undone with it.
 * Values that were written in place stay if the transaction aborts.
 */
static void
check_foreign_keys(Relation rel, AttrNumber attnum)
{
	ListCell *cell;

	foreach(cell, RelationGetFKeyList(rel))
	{
		ForeignKeyCacheInfo *key = lfirst(cell);

		for (int i = 0; i < key->nkeys; i++)
			if (key->conkey[i] == attnum)
				refuse_reader(rel, attnum, "Foreign key", get_constraint_name(key->conoid));
	}
}

/* Constraints, the partition key and generated columns are decided by the values. */
static void
check_constraints(Relation rel, AttrNumber attnum)
{
	TupleDesc desc = RelationGetDescr(rel);
	TupleConstr *constr = desc->constr;

	if (rel->rd_rel->relispartition && reads((Node *) RelationGetPartitionQual(rel), 1, attnum))
		in_place_refuse(rel, attnum, ERRCODE_FEATURE_NOT_SUPPORTED,
						"The column is part of a partition key.");
	if (constr == NULL)
		return;
	for (int i = 0; i < constr->num_check; i++)
		if (reads(stringToNode(constr->check[i].ccbin), 1, attnum))
			refuse_reader(rel, attnum, "Check constraint", constr->check[i].ccname);
	for (int i = 0; i < constr->num_defval; i++)
	{
		Form_pg_attribute column = TupleDescAttr(desc, constr->defval[i].adnum - 1);

		if (column->attgenerated == ATTRIBUTE_GENERATED_STORED &&
			reads(stringToNode(constr->defval[i].adbin), 1, attnum))
			refuse_reader(rel, attnum, "Generated column", NameStr(column->attname));
	}
}

/* A trigger for UPDATE OF the column, or with a WHEN that reads it, is to fire for every change. */
static void
check_triggers(Relation rel, AttrNumber attnum)
{
	for (int i = 0; rel->trigdesc && i < rel->trigdesc->numtriggers; i++)
	{
		Trigger *trigger = &rel->trigdesc->triggers[i];
		bool found = false;

		if (trigger->tgisinternal || trigger->tgenabled == TRIGGER_DISABLED ||
			!TRIGGER_FOR_UPDATE(trigger->tgtype))
			continue;
		for (int j = 0; j < trigger->tgnattr; j++)
			found = found || trigger->tgattr[j] == attnum;
		if (trigger->tgqual)
		{
			Node *when = stringToNode(trigger->tgqual);

			found =
				found || reads(when, PRS2_OLD_VARNO, attnum) || reads(when, PRS2_NEW_VARNO, attnum);
		}
		if (found)
			refuse_reader(rel, attnum, "Trigger", trigger->tgname);
	}
}

/* Extended statistics hold values, or expressions over them. */
static void
check_statistics(Relation rel, AttrNumber attnum)
{
	ListCell *cell;

	foreach(cell, RelationGetStatExtList(rel))
	{
		HeapTuple tuple = SearchSysCache1(STATEXTOID, ObjectIdGetDatum(lfirst_oid(cell)));
		Form_pg_statistic_ext statistics;
		Datum expressions;
		bool isnull;
		bool found = false;

		if (!HeapTupleIsValid(tuple))
			continue;
		statistics = (Form_pg_statistic_ext) GETSTRUCT(tuple);
		for (int i = 0; i < statistics->stxkeys.dim1; i++)
			found = found || statistics->stxkeys.values[i] == attnum;
		expressions = SysCacheGetAttr(STATEXTOID, tuple, Anum_pg_statistic_ext_stxexprs, &isnull);
		if (!isnull)
			found = found || reads(stringToNode(TextDatumGetCString(expressions)), 1, attnum);
		if (found)
			refuse_reader(rel, attnum, "Extended statistics object", NameStr(statistics->stxname));
		ReleaseSysCache(tuple);
	}
}

/* Unlike the rest, this can change while the table is locked. */
static void
check_replication(Relation rel, AttrNumber attnum)
{
	PublicationDesc published;
	char *slot_name = NULL;

	memset(&published, 0, sizeof(published));
	RelationBuildPublicationDesc(rel, &published);
	if (published.pubactions.pubinsert || published.pubactions.pubupdate ||
		published.pubactions.pubdelete)
		in_place_refuse(rel, attnum, ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
						"The table is published, and subscribers would not hear of the change.");
	if (XLogLogicalInfoActive() && rel->rd_rel->relreplident == REPLICA_IDENTITY_FULL)
		in_place_refuse(rel, attnum, ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
						"The column is part of the table's replica identity, which is FULL.");

	LWLockAcquire(ReplicationSlotControlLock, LW_SHARED);
	for (int i = 0; i < max_replication_slots && slot_name == NULL; i++)
	{
		ReplicationSlot *slot = &ReplicationSlotCtl->replication_slots[i];

		if (slot->in_use && slot->data.database == MyDatabaseId)
			slot_name = pstrdup(NameStr(slot->data.name));
	}
	LWLockRelease(ReplicationSlotControlLock);
	if (slot_name)
		in_place_refuse(
			rel, attnum, ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
			psprintf("Replication slot \"%s\" decodes the changes of this database, and its "
					 "consumer would not hear of this one.",
					 slot_name));
}

void
in_place_check(Relation rel, AttrNumber attnum)
{
	if (rel->rd_tableam != GetHeapamTableAmRoutine())
		in_place_refuse(rel, attnum, ERRCODE_FEATURE_NOT_SUPPORTED,
						"The table's access method is not heap.");
	check_indexes(rel, attnum);
	check_constraints(rel, attnum);
	check_foreign_keys(rel, attnum);
	check_triggers(rel, attnum);
	check_statistics(rel, attnum);
	check_replication(rel, attnum);
}
