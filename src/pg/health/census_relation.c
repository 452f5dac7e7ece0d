/*
 * census_relation.c
 *		Reads one relation for the census.
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/xlog.h"
#include "catalog/pg_attribute.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "nodes/primnodes.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/plancache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "columns/options.h"
#include "columns/target.h"
#include "core/api/search.h"
#include "health/census_relation.h"
#include "health/census_result.h"
#include "health/census_rows.h"
#include "health/census_search.h"
#include "health/census_values.h"
#include "rows/column_scan.h"
#include "support/catalog.h"
#include "support/relation_name.h"
#include "support/remote_members.h"
#include "values/codec_inspect.h"

/* Arguments of a function, the state and the ctid left out. */
#define MAX_COLUMNS (FUNC_MAX_ARGS - 2)

/* Endings of the names of columns that belong to an encrypted one. */
static const char *const companion_endings[] = {"iv", "nonce", "salt", "key_id"};

/*
 * Opens a relation for reading; NULL, with a row that says so, if what the snapshot
 * sees of it is not there any more, or never was here.
 */
static Relation
open_relation(CensusRelation *relation)
{
	const char *remote;
	Relation rel;

	LockRelationOid(relation->relid, AccessShareLock);
	rel = try_relation_open(relation->relid, NoLock);
	if (rel == NULL)
		census_add_unreadable(relation, "dropped since the census began");
	else if ((remote = remote_member_reason(relation->relid)) != NULL)
		census_add_unreadable(relation, remote);
	else if (RecoveryInProgress() && !RelationIsPermanent(rel))
		census_add_unreadable(relation, "an unlogged table has no rows on a standby");
	else if (rel->rd_rel->relfilenode != relation->filenode)
		census_add_unreadable(relation, "rewritten or truncated since the census began");
	else if (RelationIsPopulated(rel))
		return rel;
	if (rel)
		relation_close(rel, NoLock);
	return NULL;
}

/* Whether a column is searched. */
static bool
is_searched(const CensusRelation *relation, Form_pg_attribute attribute)
{
	const Census *census = relation->census;
	SearchPlan plan;

	/* A virtual column (18) has no values, and its expression may be anybody's code. */
	if (attribute->attisdropped || attribute->attgenerated == 'v')
		return false;
	if (census->request->registered_only &&
		!census_registered_column(census, relation->relid, NameStr(attribute->attname)))
		return false;
	search_plan(&plan, attribute->atttypid);
	return plan.kind != SEARCH_NOT;
}

/* Whether a column beside it is named as that of this column's nonce, salt or key. */
static bool
has_companion(TupleDesc desc, const char *column)
{
	for (int i = 0; i < desc->natts; i++)
	{
		const char *name = NameStr(TupleDescAttr(desc, i)->attname);

		for (int j = 0; j < lengthof(companion_endings); j++)
		{
			int stem = (int) strlen(name) - (int) strlen(companion_endings[j]);
			char *part;

			if (TupleDescAttr(desc, i)->attisdropped || stem < 0 ||
				strcmp(name + stem, companion_endings[j]) != 0)
				continue;
			if (stem == 0)
				return true;
			part = pnstrdup(name, stem - 1);
			if (name[stem - 1] == '_' && strstr(column, part) != NULL)
				return true;
		}
	}
	return false;
}

/* Adds the envelopes of a column under one key, unless they are not searched for. */
static void
add_hit(CensusRelation *relation, Form_pg_attribute attribute, const CensusHit *hit)
{
	Census *census = relation->census;
	const char *name = NameStr(attribute->attname);
	const CensusColumn *column = census_registered_column(census, relation->relid, name);
	bool native = column && column_has_envelopes(column->target);
	CensusRow *row;

	/* What begins like an envelope is nothing if no column is registered there. */
	if (hit->key.key_id[0] == '\0' ? !native : !census_wants_key(census, hit->key.key_id))
		return;
	row = census_row(relation, attribute->attnum, name, hit->key.key_id,
					 native ? CENSUS_REGISTERED : CENSUS_UNREGISTERED);
	row->values += hit->values;
	for (int i = 0; i < hit->nexamples; i++)
		census_add_example_tid(relation, row, &hit->examples[i]);
	if (hit->key.key_id[0] == '\0')
	{
		row->not_opening = row->values;
		census_set_detail(relation, row, "of a newer format, or damaged");
	}
	else if (column && !native)
		census_set_detail(relation, row, "dbcrypt's own format in a column of another scheme");
	else if (native && census->request->open)
		relation->opening = list_append_unique_ptr(relation->opening, (void *) column);
}

/* Adds that a column looks encrypted, if its sample does. */
static void
add_sample(CensusRelation *relation, TupleDesc desc, Form_pg_attribute attribute,
		   const dbcrypt_sample *sample)
{
	const char *name = NameStr(attribute->attname);
	CensusRow *row;
	uint32_t decoded;

	if (!relation->census->request->looks_encrypted ||
		census_registered_column(relation->census, relation->relid, name) ||
		!dbcrypt_sample_looks_encrypted(sample, has_companion(desc, name), &decoded))
		return;
	row = census_row(relation, attribute->attnum, name, "", CENSUS_LOOKS_ENCRYPTED);
	row->values = (int64) sample->seen;
	census_set_detail(
		relation, row,
		psprintf("a hint, not a proof: of %u values in the sample, %u decode to random bytes",
				 sample->values, decoded));
}

/*
 * Plans the search. Whoever may create in the extension's schema could have made a function
 * that fits the columns better than our aggregate, which takes any: it would run as
 * superuser.
 */
static SPIPlanPtr
plan_search(const char *query)
{
	SPIPlanPtr plan = SPI_prepare_cursor(query, 0, NULL, CURSOR_OPT_PARALLEL_OK);
	const CachedPlanSource *source;
	const TargetEntry *called;

	if (plan == NULL)
		elog(ERROR, "census query failed: %s", SPI_result_code_string(SPI_result));
	source = linitial(SPI_plan_get_plan_sources(plan));
	called = linitial(linitial_node(Query, source->query_list)->targetList);
	if (!IsA(called->expr, Aggref) || ((const Aggref *) called->expr)->aggfnoid !=
										  catalog_function("dbcrypt_census_values", TIDOID, ANYOID))
		ereport(ERROR, (errcode(ERRCODE_AMBIGUOUS_FUNCTION),
						errmsg("another function stands in the way of dbcrypt_census_values"),
						errhint("Drop the functions of this name in the extension's schema that "
								"are not the extension's.")));
	return plan;
}

/* Searches some columns of a relation with one query, and adds what it finds. */
static void
search_columns(CensusRelation *relation, Relation rel, const AttrNumber *attnums, int n)
{
	MemoryContext caller = CurrentMemoryContext;
	TupleDesc desc = RelationGetDescr(rel);
	StringInfoData query;
	CensusValues values;
	bool isnull;
	Datum result;

	initStringInfo(&query);
	appendStringInfo(&query, "SELECT %s(ctid", catalog_relation_name("dbcrypt_census_values"));
	for (int i = 0; i < n; i++)
		appendStringInfo(&query, ", %s",
						 quote_identifier(NameStr(TupleDescAttr(desc, attnums[i] - 1)->attname)));
	appendStringInfo(&query, ") FROM ONLY %s", relation_name(RelationGetRelid(rel)));
	SPI_connect();
	if (SPI_execute_plan(plan_search(query.data), NULL, NULL, true, 0) != SPI_OK_SELECT ||
		SPI_processed != 1)
		elog(ERROR, "census query failed");
	result = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
	MemoryContextSwitchTo(caller); /* what is noted of the relation outlives SPI */
	if (!isnull)
	{
		values = census_values_read(result);
		for (int i = 0; i < values.nhits; i++)
			add_hit(relation, TupleDescAttr(desc, attnums[values.hits[i].key.column] - 1),
					&values.hits[i]);
		for (int i = 0; i < values.ncolumns; i++)
			add_sample(relation, desc, TupleDescAttr(desc, attnums[i] - 1), &values.samples[i]);
	}
	SPI_finish();
}

void
census_read_values(void *arg)
{
	CensusRelation *relation = arg;
	Relation rel = open_relation(relation);
	AttrNumber attnums[MAX_COLUMNS];
	ListCell *cell;
	int n = 0;

	if (rel == NULL)
		return;
	for (int i = 0; i < RelationGetNumberOfAttributes(rel); i++)
	{
		if (is_searched(relation, TupleDescAttr(RelationGetDescr(rel), i)))
			attnums[n++] = i + 1;
		if (n == MAX_COLUMNS || (n > 0 && i == RelationGetNumberOfAttributes(rel) - 1))
		{
			search_columns(relation, rel, attnums, n);
			n = 0;
		}
	}
	foreach(cell, relation->census->registered)
	{
		CensusColumn *column = lfirst(cell);

		if (column->relid == relation->relid && !column_has_envelopes(column->target) &&
			get_attnum(column->relid, column->target->name) > 0)
			relation->opening = lappend(relation->opening, column);
	}
	relation_close(rel, NoLock);
}

/* The scan of a registered column. */
typedef struct Opening
{
	ColumnScan scan;
	CensusRelation *relation;
	AttrNumber attnum;
	bool native;
} Opening;

/* Counts one value, as a ValueVisitor. */
static void
count_value(void *arg, ValueState state, const char *key_id)
{
	Opening *self = arg;
	CensusRelation *relation = self->relation;
	bool unknown = key_id[0] == '\0';
	bool closed = state == STATE_FAILED || (unknown && state == STATE_NOT_LOADED);
	CensusRow *row;

	if (state == STATE_PLAINTEXT || (self->native && (unknown || !closed)) ||
		(unknown ? !closed : !census_wants_key(relation->census, key_id)))
		return;
	row = census_row(relation, self->attnum, relation->column->target->name, key_id,
					 CENSUS_REGISTERED);
	row->not_opening += closed;
	if (self->native)
		return;
	row->values++;
	census_add_example_tid(relation, row, &self->scan.tid);
	if (unknown && row->detail == NULL)
		census_set_detail(relation, row, "no loaded key opens them");
}

/* Opens, or identifies, the values of one row. */
static bool
open_row(ColumnScan *scan, void *arg)
{
	const Opening *self = arg;

	if (self->relation->census->request->open)
		codec_examine(&scan->codec, scan->row, count_value, arg);
	else
		codec_identify(&scan->codec, scan->row, count_value, arg);
	return true;
}

void
census_open_values(void *arg)
{
	CensusRelation *relation = arg;
	const TargetColumn *target = relation->column->target;
	Relation rel = open_relation(relation);
	Opening self = {.relation = relation, .native = column_has_envelopes(target)};

	if (rel == NULL)
		return;
	self.attnum = get_attnum(relation->relid, target->name);
	column_scan_begin(&self.scan, rel, target);
	column_scan_rows(&self.scan, GetActiveSnapshot(), open_row, &self);
	column_scan_end(&self.scan);
	relation_close(rel, NoLock);
}
