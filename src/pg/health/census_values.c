/*
 * census_values.c
 *		The aggregate dbcrypt_census_values(ctid, VARIADIC columns).
 *
 * Its state and its result have one form as bytes, which workers pass on too: both
 * counts, the hits, the samples.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "fmgr.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"

#include "core/api/search.h"
#include "health/census_search.h"
#include "health/census_values.h"
#include "support/compat.h"

PG_FUNCTION_INFO_V1(dbcrypt_census_add);
PG_FUNCTION_INFO_V1(dbcrypt_census_combine);
PG_FUNCTION_INFO_V1(dbcrypt_census_serialize);
PG_FUNCTION_INFO_V1(dbcrypt_census_deserialize);

/* The state of the aggregate. */
typedef struct CensusSums
{
	HTAB *hits; /* CensusHit */
	int ncolumns;
	dbcrypt_sample *samples;
	SearchPlan *plans;	 /* by column; NULL in a state that another process made */
	CensusHit **last;	 /* by column: the hit of its last envelope, or NULL */
	int column;			 /* at work */
	ItemPointerData tid; /* of the row at work */
	MemoryContext row;	 /* reset after each row */
} CensusSums;

/* What precedes hits and samples in the state as bytes. */
typedef struct CensusHeader
{
	int32 length; /* varlena header */
	int32 nhits;
	int32 ncolumns;
	int32 unused;
} CensusHeader;

StaticAssertDecl(sizeof(CensusHeader) == MAXALIGN(sizeof(CensusHeader)),
				 "hits that follow are aligned");

/* The memory that lives as long as the state; refuses a call that no aggregate makes. */
static MemoryContext
aggregate_context(FunctionCallInfo fcinfo)
{
	MemoryContext context;

	if (!AggCheckCallContext(fcinfo, &context))
		elog(ERROR, "aggregate function called in non-aggregate context");
	return context;
}

/* A state without hits, in the aggregate's memory. */
static CensusSums *
sums_create(MemoryContext context, int ncolumns)
{
	CensusSums *sums = MemoryContextAllocZero(context, sizeof(CensusSums));
	HASHCTL control = {.keysize = sizeof(((CensusHit *) NULL)->key),
					   .entrysize = sizeof(CensusHit),
					   .hcxt = context};

	sums->hits = hash_create("dbcrypt census", 64, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	sums->ncolumns = ncolumns;
	sums->samples = MemoryContextAllocExtended(context, sizeof(dbcrypt_sample) * ncolumns,
											   MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	return sums;
}

/* Keeps an example if it is among the first of the relation. */
static void
add_example(CensusHit *hit, const ItemPointerData *tid)
{
	ItemPointerData example = *tid;

	if (hit->nexamples == CENSUS_HIT_EXAMPLES &&
		ItemPointerCompare(&example, &hit->examples[CENSUS_HIT_EXAMPLES - 1]) >= 0)
		return;
	for (int i = 0; i < hit->nexamples; i++)
	{
		int order = ItemPointerCompare(&example, &hit->examples[i]);

		if (order == 0)
			return;
		if (order < 0)
		{
			ItemPointerData later = hit->examples[i];

			hit->examples[i] = example;
			example = later;
		}
	}
	if (hit->nexamples < CENSUS_HIT_EXAMPLES)
		hit->examples[hit->nexamples++] = example;
}

/* The hit of a column and key, new or not. */
static CensusHit *
find_hit(CensusSums *sums, int column, const char *key_id)
{
	CensusHit wanted;
	CensusHit *hit;
	bool found;

	memset(&wanted, 0, sizeof(wanted));
	wanted.key.column = column;
	strlcpy(wanted.key.key_id, key_id, sizeof(wanted.key.key_id));
	hit = hash_search(sums->hits, &wanted.key, HASH_ENTER, &found);
	if (!found)
		memcpy(hit, &wanted, sizeof(wanted));
	return hit;
}

/* Counts an envelope of the row at work, as an EnvelopeVisitor. */
static void
count_envelope(void *arg, const char *key_id)
{
	CensusSums *sums = arg;
	CensusHit *hit = sums->last[sums->column];

	if (hit == NULL || strcmp(hit->key.key_id, key_id) != 0)
		hit = sums->last[sums->column] = find_hit(sums, sums->column, key_id);
	hit->values++;
	add_example(hit, &sums->tid);
}

/* Plans the search in each argument behind the state and the ctid. */
static void
plan_columns(CensusSums *sums, FunctionCallInfo fcinfo, MemoryContext context)
{
	MemoryContext caller = MemoryContextSwitchTo(context);

	sums->last = palloc0(sizeof(CensusHit *) * sums->ncolumns);
	sums->plans = palloc(sizeof(SearchPlan) * sums->ncolumns);
	for (int i = 0; i < sums->ncolumns; i++)
		search_plan(&sums->plans[i], get_fn_expr_argtype(fcinfo->flinfo, i + 2));
	sums->row = AllocSetContextCreate(context, "dbcrypt census row", ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(caller);
}

/* The transition function: searches the values of one row. */
Datum
dbcrypt_census_add(PG_FUNCTION_ARGS)
{
	MemoryContext context = aggregate_context(fcinfo);
	CensusSums *sums = PG_ARGISNULL(0) ? NULL : (CensusSums *) PG_GETARG_POINTER(0);
	MemoryContext caller;

	if (sums == NULL)
		sums = sums_create(context, PG_NARGS() - 2);
	if (sums->plans == NULL)
		plan_columns(sums, fcinfo, context);
	ItemPointerCopy((ItemPointer) PG_GETARG_POINTER(1), &sums->tid);
	caller = MemoryContextSwitchTo(sums->row);
	for (sums->column = 0; sums->column < sums->ncolumns; sums->column++)
		if (!PG_ARGISNULL(sums->column + 2))
			search_value(&sums->plans[sums->column], PG_GETARG_DATUM(sums->column + 2),
						 &sums->samples[sums->column], count_envelope, sums);
	MemoryContextSwitchTo(caller);
	MemoryContextReset(sums->row);
	PG_RETURN_POINTER(sums);
}

/* Adds one state to another. */
static void
add_sums(CensusSums *sums, const CensusSums *other)
{
	HASH_SEQ_STATUS scan;
	CensusHit *hit;

	hash_seq_init(&scan, other->hits);
	while ((hit = hash_seq_search(&scan)) != NULL)
	{
		CensusHit *total = find_hit(sums, hit->key.column, hit->key.key_id);

		total->values += hit->values;
		for (int i = 0; i < hit->nexamples; i++)
			add_example(total, &hit->examples[i]);
	}
	for (int i = 0; i < sums->ncolumns; i++)
		dbcrypt_sample_merge(&sums->samples[i], &other->samples[i]);
}

/* The combine function: joins what two processes have found. */
Datum
dbcrypt_census_combine(PG_FUNCTION_ARGS)
{
	MemoryContext context = aggregate_context(fcinfo);
	CensusSums *sums = PG_ARGISNULL(0) ? NULL : (CensusSums *) PG_GETARG_POINTER(0);
	const CensusSums *other = PG_ARGISNULL(1) ? NULL : (const CensusSums *) PG_GETARG_POINTER(1);

	if (other == NULL && sums == NULL)
		PG_RETURN_NULL();
	if (sums == NULL)
		sums = sums_create(context, other->ncolumns);
	if (other)
		add_sums(sums, other);
	PG_RETURN_POINTER(sums);
}

/* The state as bytes; also the final function. */
Datum
dbcrypt_census_serialize(PG_FUNCTION_ARGS)
{
	const CensusSums *sums = PG_ARGISNULL(0) ? NULL : (const CensusSums *) PG_GETARG_POINTER(0);
	HASH_SEQ_STATUS scan;
	CensusHeader *header;
	CensusHit *out;
	CensusHit *hit;
	int64 nhits;
	Size size;

	(void) aggregate_context(fcinfo);
	if (sums == NULL)
		PG_RETURN_NULL();
	nhits = hash_get_num_entries(sums->hits);
	size =
		sizeof(CensusHeader) + sizeof(CensusHit) * nhits + sizeof(dbcrypt_sample) * sums->ncolumns;
	header = palloc0(size);
	SET_VARSIZE(header, size);
	header->nhits = (int32) nhits;
	header->ncolumns = sums->ncolumns;
	out = (CensusHit *) (header + 1);
	hash_seq_init(&scan, sums->hits);
	while ((hit = hash_seq_search(&scan)) != NULL)
		memcpy(out++, hit, sizeof(CensusHit));
	memcpy(out, sums->samples, sizeof(dbcrypt_sample) * sums->ncolumns);
	PG_RETURN_POINTER(header);
}

/* Copied, since a bytea in a row is not aligned for hits. */
CensusValues
census_values_read(Datum result)
{
	const CensusHeader *header = (const CensusHeader *) PG_DETOAST_DATUM_COPY(result);
	CensusValues values = {.nhits = header->nhits, .ncolumns = header->ncolumns};

	values.hits = (const CensusHit *) (header + 1);
	values.samples = (const dbcrypt_sample *) (values.hits + values.nhits);
	return values;
}

/* The state again, from its bytes. */
Datum
dbcrypt_census_deserialize(PG_FUNCTION_ARGS)
{
	MemoryContext context = aggregate_context(fcinfo);
	CensusValues values = census_values_read(PG_GETARG_DATUM(0));
	CensusSums *sums = sums_create(context, values.ncolumns);

	for (int i = 0; i < values.nhits; i++)
	{
		const CensusHit *hit = &values.hits[i];

		memcpy(find_hit(sums, hit->key.column, hit->key.key_id), hit, sizeof(CensusHit));
	}
	memcpy(sums->samples, values.samples, sizeof(dbcrypt_sample) * values.ncolumns);
	PG_RETURN_POINTER(sums);
}
