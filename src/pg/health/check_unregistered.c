/*
 * check_unregistered.c
 *		Columns that hold encrypted values and are not registered.
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/relation.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/transam.h"
#include "catalog/partition.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "health/check_keyring.h"
#include "health/check_unregistered.h"
#include "health/findings.h"
#include "health/reading.h"
#include "support/catalog.h"
#include "support/relation_name.h"
#include "values/codec_inspect.h"

/* How much of a table is looked at. */
#define SAMPLE_BLOCKS 64
#define SAMPLE_VALUES 100

/* The columns of one table that are looked at. */
typedef struct Sample
{
	HealthCheck *check;
	Relation rel;
	int columns;				 /* how many are still looked at */
	int *left;					 /* by column: how many values more */
	dbcrypt_encoding *encodings; /* by column */
	bool *found;				 /* by column: holds an envelope */
	char **revoked;				 /* by column: a revoked key that a value is under, or NULL */
} Sample;

/*
 * Reports a column, a partition's as that of the partitioned table at the top and
 * only once.
 */
static void
report_unregistered(HealthCheck *check, Relation rel, AttrNumber attnum, const char *revoked)
{
	const char *name = NameStr(TupleDescAttr(RelationGetDescr(rel), attnum - 1)->attname);
	Oid relid = RelationGetRelid(rel);

	if (rel->rd_rel->relispartition)
	{
		relid = llast_oid(get_partition_ancestors(relid));
		attnum = get_attnum(relid, name);
		if (examined_has(check, relid, attnum))
			return;
	}
	examined_add(check, relid, attnum);
	if (revoked)
		finding_add(check, SEVERITY_ERROR, column_subject(relid, name),
					psprintf("holds values under revoked key %s and is not registered", revoked),
					"Run dbcrypt_reinstate_key(), and rotate the column before the key is revoked "
					"again; or delete the values.");
	else
		finding_add(check, SEVERITY_WARNING, column_subject(relid, name),
					"holds encrypted values and is not registered: a key that it uses could be "
					"revoked",
					"Run dbcrypt_register_column(), or rotate it, which registers it.");
}

/* Looks for envelopes in one row. */
static bool
sample_row(TupleTableSlot *row, void *arg)
{
	Sample *sample = arg;

	for (int i = 0; i < RelationGetNumberOfAttributes(sample->rel); i++)
	{
		char key_id[DBCRYPT_KEY_ID_LEN + 1];
		bool isnull;
		Datum value;

		if (sample->left[i] == 0)
			continue;
		value = slot_getattr(row, i + 1, &isnull);
		if (isnull)
			continue;
		sample->left[i]--;
		if (value_read_header(value, sample->encodings[i], key_id) == DBCRYPT_OK)
		{
			sample->found[i] = true;
			if (state_under_key(sample->check, key_id) == STATE_REVOKED)
			{
				sample->revoked[i] = pstrdup(key_id);
				sample->left[i] = 0;
			}
		}
		sample->columns -= sample->left[i] == 0;
	}
	return sample->columns > 0;
}

/* Looks for envelopes in the first rows of a table. */
static void
sample_relation(void *arg)
{
	Sample *sample = arg;
	TupleDesc desc = RelationGetDescr(sample->rel);

	sample->encodings = palloc(desc->natts * sizeof(dbcrypt_encoding));
	sample->left = palloc0(desc->natts * sizeof(int));
	sample->found = palloc0(desc->natts * sizeof(bool));
	sample->revoked = palloc0(desc->natts * sizeof(char *));
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(desc, i);
		Oid type = attribute->attisdropped ? InvalidOid : getBaseType(attribute->atttypid);

		if ((type != TEXTOID && type != VARCHAROID && type != BYTEAOID) ||
			examined_has(sample->check, RelationGetRelid(sample->rel), i + 1))
			continue;
		sample->encodings[i] = type == BYTEAOID ? DBCRYPT_ENCODING_BINARY : DBCRYPT_ENCODING_TEXT;
		sample->left[i] = SAMPLE_VALUES;
		sample->columns++;
	}
	if (sample->columns > 0 && sample->rel->rd_tableam->scan_set_tidrange != NULL)
		visit_rows(sample->rel, SAMPLE_BLOCKS, sample_row, sample);
	for (int i = 0; i < desc->natts; i++)
		if (sample->found[i])
			report_unregistered(sample->check, sample->rel, i + 1, sample->revoked[i]);
}

/* The ordinary tables of users, in order of OID: no catalog, and not dbcrypt_keys. */
static List *
user_tables(void)
{
	Relation catalog = table_open(RelationRelationId, AccessShareLock);
	TableScanDesc scan = table_beginscan_catalog(catalog, 0, NULL);
	Oid keys = catalog_relation("dbcrypt_keys");
	List *tables = NIL;
	HeapTuple tuple;

	while ((tuple = heap_getnext(scan, ForwardScanDirection)) != NULL)
	{
		Form_pg_class table = (Form_pg_class) GETSTRUCT(tuple);

		if (table->relkind == RELKIND_RELATION && table->oid >= FirstNormalObjectId &&
			table->relpersistence != RELPERSISTENCE_TEMP && table->oid != keys)
			tables = lappend_oid(tables, table->oid);
	}
	table_endscan(scan);
	table_close(catalog, AccessShareLock);
	list_sort(tables, list_oid_cmp);
	return tables;
}

/* Looks at one table. One that is locked is passed over: this is a sample. */
static void
check_table(HealthCheck *check, Relation rel)
{
	Sample sample = {.check = check, .rel = rel};
	ErrorData *error = read_without_waiting(sample_relation, &sample);
	Oid relid = RelationGetRelid(rel);

	if (error && !is_lock_error(error))
		finding_add(check, SEVERITY_ERROR, psprintf("table %s", relation_name(relid)),
					psprintf("could not be looked at: %s", row_error_line(error, relid)),
					"SELECT * FROM the table shows its owner the error.");
}

void
check_unregistered_columns(HealthCheck *check)
{
	ListCell *cell;

	foreach(cell, user_tables())
	{
		bool locked;
		Relation rel = open_unless_locked(lfirst_oid(cell), &locked);

		if (rel == NULL)
			continue;
		if (is_readable(rel))
			check_table(check, rel);
		relation_close(rel, AccessShareLock);
	}
}
