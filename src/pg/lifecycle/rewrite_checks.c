/*
 * rewrite_checks.c
 *		What a rewrite of a column refuses before it begins.
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/twophase.h"
#include "catalog/pg_publication.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "storage/lock.h"
#include "utils/lsyscache.h"

#include "columns/target.h"
#include "keys/settings.h"
#include "lifecycle/column_use.h"
#include "lifecycle/rewrite_checks.h"
#include "rows/identify.h"
#include "support/string_list.h"
#include "values/codec_inspect.h"

void
rewrite_check_unique_indexes(Relation rel, AttrNumber attnum)
{
	Bitmapset *columns = column_dependents(rel, attnum);
	ListCell *cell;

	foreach(cell, RelationGetIndexList(rel))
	{
		Relation index = relation_open(lfirst_oid(cell), AccessShareLock);
		Form_pg_index form = index->rd_index;
		bool included = expression_reads((Node *) RelationGetIndexExpressions(index), columns);

		for (int i = 0; i < form->indnkeyatts; i++)
			included |= columns_include(columns, form->indkey.values[i]);
		if (included && (form->indisunique || form->indisexclusion))
			ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
							errmsg("column \"%s\" of table \"%s\" is part of unique index \"%s\"",
								   get_attname(RelationGetRelid(rel), attnum, false),
								   RelationGetRelationName(rel), RelationGetRelationName(index)),
							errdetail("The same plaintext encrypted twice gives different values."),
							errhint("Drop the index or constraint.")));
		relation_close(index, NoLock);
	}
}

void
rewrite_check_relation(Relation rel)
{
	PublicationDesc publication;
	PublicationActions *actions = &publication.pubactions;

	if (RelationIsUsedAsCatalogTable(rel))
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						errmsg("cannot rewrite table \"%s\" used as a catalog table",
							   RelationGetRelationName(rel))));
	RelationBuildPublicationDesc(rel, &publication);
	if (actions->pubinsert || actions->pubupdate || actions->pubdelete || actions->pubtruncate)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("cannot rewrite published table \"%s\"", RelationGetRelationName(rel)),
				 errdetail("A rewrite is not replicated: subscribers would keep the old values."),
				 errhint("Take the table out of the publication, rewrite it on both sides, then "
						 "publish it again.")));
}

/* Adds the key of a value to a list of strings, once. An IdentifyVisitor. */
static bool
add_used_key(void *arg, Relation rel, ValueState state, const char *key_id, ItemPointer tid)
{
	List **keys = arg;

	if (key_id[0] != '\0')
		*keys = string_list_add(*keys, key_id);
	return true;
}

void
rewrite_check_decrypt_keys(List *members, const TargetColumn *target)
{
	List *keys = NIL;
	ListCell *cell;
	StringInfoData all;
	StringInfoData missing;

	initStringInfo(&all);
	initStringInfo(&missing);
	foreach(cell, members)
		identify_values(lfirst(cell), target, add_used_key, &keys);
	foreach(cell, keys)
	{
		const char *key_id = lfirst(cell);

		appendStringInfo(&all, "%s%s", all.len > 0 ? "," : "", key_id);
		if (!settings_decrypt_key(key_id))
			appendStringInfo(&missing, "%s%s", missing.len > 0 ? ", " : "", key_id);
	}
	if (missing.len > 0)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("dbcrypt.decrypt_keys does not name every key of column \"%s\"",
							   target->name),
						errdetail("Missing: %s.", missing.data),
						errhint("Run SET dbcrypt.decrypt_keys = '%s'.", all.data)));
}

int64
rewrite_locks(List *rels)
{
	int64 locks = 0;
	ListCell *cell;

	foreach(cell, rels)
	{
		Relation rel = lfirst(cell);

		/*
		 * The new heap, twice: it is dropped in the end. The indexes. The old TOAST table
		 * and the new one with their indexes; one of the two is dropped.
		 */
		locks += 2 + list_length(RelationGetIndexList(rel));
		if (OidIsValid(rel->rd_rel->reltoastrelid))
			locks += 5;
	}
	return locks;
}

void
rewrite_check_locks(int64 locks)
{
	int64 sessions = MaxBackends + max_prepared_xacts;

	if (locks <= max_locks_per_xact * sessions)
		return;
	ereport(ERROR, (errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
					errmsg("a rewrite of so many tables takes more locks than the server has room "
						   "for"),
					errdetail("It takes %lld, and there is room for %lld.", (long long) locks,
							  (long long) (max_locks_per_xact * sessions)),
					errhint("Set max_locks_per_transaction to %lld or more and restart the server, "
							"or name the partitions one by one.",
							(long long) (locks / sessions + 1 + max_locks_per_xact))));
}
