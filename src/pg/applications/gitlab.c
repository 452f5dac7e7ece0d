/*
 * gitlab.c
 *		dbcrypt_adopt_gitlab: every column that GitLab encrypts under db_key_base, found
 *		by its name, and what else hangs on that key.
 *
 * GitLab has some 240 such columns, and they change: there is no list of them.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/relation.h"
#include "access/table.h"
#include "access/tableam.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
#include "utils/tuplestore.h"

#include "applications/adopt.h"
#include "columns/members.h"
#include "columns/options.h"
#include "columns/registry.h"
#include "columns/target.h"
#include "core/api/scheme.h"
#include "support/arguments.h"
#include "support/compat.h"

PG_FUNCTION_INFO_V1(dbcrypt_adopt_gitlab);

/* Columns of the result. */
#define NRESULTS 4

/* Rows in which values of Active Record Encryption are looked for. */
#define SAMPLE_ROWS 1000

/* Names that GitLab gives. */
#define VALUE_PREFIX "encrypted_"
#define TOKEN_SUFFIX "_encrypted"
#define MOVING_PREFIX "tmp_"

/* What hangs on a secret in a way that no rotation can follow. */
static const struct
{
	const char *table;
	const char *column;
	const char *state;
} others[] = {
	{"personal_access_tokens", "token_digest",
	 "not encrypted: a digest salted with db_key_base, which needs the token to be made anew"},
	{"web_hook_logs", "url_hash",
	 "not encrypted: a digest salted with db_key_base, which needs the URL to be made anew"},
	{"web_hook_logs_daily", "url_hash",
	 "not encrypted: a digest salted with db_key_base, which needs the URL to be made anew"},
	{"users", "encrypted_otp_secret", "not adopted: it is under otp_key_base, a secret of its own"},
};

/* The table at work: locked, and not open, so that it can be worked on. */
typedef struct GitlabTable
{
	ReturnSetInfo *result;
	Oid relid;
	const char *name;
	TupleDesc desc;
	bool *active_record; /* by column: it holds values of Active Record Encryption */
} GitlabTable;

/* Adds a row to the result. */
static void
put_row(const GitlabTable *table, const char *column, const char *scheme, const char *state)
{
	Datum values[NRESULTS] = {ObjectIdGetDatum(table->relid), name_datum(column),
							  scheme ? CStringGetTextDatum(scheme) : (Datum) 0,
							  CStringGetTextDatum(state)};
	bool nulls[NRESULTS] = {false, false, scheme == NULL, false};

	tuplestore_putvalues(table->result->setResult, table->result->setDesc, values, nulls);
}

/* Adopts a column; why not, if that fails. */
static const char *
try_to_adopt(TargetColumn *target)
{
	TargetColumn *registered = column_covering(target->relid, target->name);
	AdoptedValues values;
	char *reason;

	if (registered)
		return registered->scheme == target->scheme ? "adopted" : "registered with another scheme";
	reason = adopt_try(target, true, &values);
	return reason ? psprintf("not adopted: %s", reason) : "adopted";
}

/* The number of a column of the table, 0 if it is not there or of another kind. */
static AttrNumber
column_of_type(const GitlabTable *table, const char *name, Oid type)
{
	AttrNumber attnum = get_attnum(table->relid, name);

	return attnum > 0 && (TupleDescAttr(table->desc, attnum - 1)->atttypid == BYTEAOID) ==
							 (type == BYTEAOID)
			   ? attnum
			   : InvalidAttrNumber;
}

/* Bytes of an iv as it is stored: its own, or those that its base64 is of. */
static Size
iv_size(Datum iv, bool binary)
{
	struct varlena *stored = PG_DETOAST_DATUM_PACKED(iv);
	Size size = VARSIZE_ANY_EXHDR(stored);
	const char *text = VARDATA_ANY(stored);

	if (binary)
		return size;
	while (size > 0 && (text[size - 1] == '\n' || text[size - 1] == '='))
		size--;
	return size * 3 / 4;
}

/* The size of the iv of the first value that has one; 0 for none. */
static Size
first_iv_size(Relation rel, AttrNumber value, AttrNumber iv)
{
	bool binary = TupleDescAttr(RelationGetDescr(rel), iv - 1)->atttypid == BYTEAOID;
	TupleTableSlot *row = table_slot_create(rel, NULL);
	TableScanDesc scan = compat_beginscan(rel, GetActiveSnapshot());
	Size size = 0;

	while (size == 0 && table_scan_getnextslot(scan, ForwardScanDirection, row))
	{
		bool isnull;
		Datum stored;

		CHECK_FOR_INTERRUPTS();
		if (slot_attisnull(row, value))
			continue;
		stored = slot_getattr(row, iv, &isnull);
		if (!isnull)
			size = iv_size(stored, binary);
	}
	table_endscan(scan);
	ExecDropSingleTupleTableSlot(row);
	return size;
}

/* The size of the iv of the first value in the table or its partitions; 0 for none. */
static Size
table_iv_size(Oid table, const char *value, const char *iv)
{
	Size size = 0;
	ListCell *cell;

	foreach(cell, column_members(table, AccessShareLock))
	{
		Relation member = relation_open(lfirst_oid(cell), NoLock);
		Oid relid = RelationGetRelid(member);

		if (size == 0 && member->rd_rel->relkind == RELKIND_RELATION)
			size = first_iv_size(member, get_attnum(relid, value), get_attnum(relid, iv));
		relation_close(member, NoLock);
	}
	return size;
}

/* What is known of a column that GitLab does not rotate with db_key_base; NULL for nothing. */
static const char *
other_state(const GitlabTable *table, const char *column)
{
	for (size_t i = 0; i < lengthof(others); i++)
		if (strcmp(others[i].table, table->name) == 0 && strcmp(others[i].column, column) == 0)
			return others[i].state;
	return NULL;
}

/*
 * Adopts a value with its iv and perhaps its salt. An iv of 16 bytes is AES-CBC's. Where
 * there is no value yet, a salt is: GitLab has none with AES-GCM.
 */
static void
adopt_value(const GitlabTable *table, const char *column, Oid type)
{
	char *iv = psprintf("%s_iv", column);
	bool salted = column_of_type(table, psprintf("%s_salt", column), type) > 0;
	const char *known = other_state(table, column);
	TargetColumn target = {.relid = table->relid, .name = pstrdup(column)};
	const char *scheme = "attr_encrypted";
	const char *state;
	Size size = 0;

	if (compat_owns_relation(table->relid, GetUserId()))
		size = table_iv_size(table->relid, column, iv);
	if (size == 16 || (size == 0 && salted))
		scheme = salted ? "attr_encrypted_cbc" : "attr_encrypted_cbc_unsalted";
	target.scheme = scheme_named(scheme);
	state = try_to_adopt(&target);
	put_row(table, column, scheme, known && strcmp(state, "adopted") != 0 ? known : state);
}

/* Adopts a token. */
static void
adopt_token(const GitlabTable *table, const char *column)
{
	TargetColumn target = {
		.relid = table->relid, .name = pstrdup(column), .scheme = scheme_named("gitlab_token")};

	put_row(table, column, "gitlab_token", try_to_adopt(&target));
}

/* Whether a value is one of Active Record Encryption: {"p": payload, "h": headers}. */
static bool
is_active_record(Datum stored, Oid type)
{
	static const char start[] = "{\"p\":\"";

	if (type == JSONBOID)
	{
		Jsonb *json = DatumGetJsonbP(stored);
		JsonbValue found;

		return JB_ROOT_IS_OBJECT(json) &&
			   getKeyJsonValueFromContainer(&json->root, "p", 1, &found) &&
			   getKeyJsonValueFromContainer(&json->root, "h", 1, &found);
	}
	else
	{
		struct varlena *prefix = PG_DETOAST_DATUM_SLICE(stored, 0, sizeof(start) - 1);

		return VARSIZE_ANY_EXHDR(prefix) == sizeof(start) - 1 &&
			   memcmp(VARDATA_ANY(prefix), start, sizeof(start) - 1) == 0;
	}
}

/* Looks for values of Active Record Encryption in the first rows of a relation. */
static void
find_active_record(GitlabTable *table, Relation rel)
{
	MemoryContext context =
		AllocSetContextCreate(CurrentMemoryContext, "dbcrypt rows", ALLOCSET_DEFAULT_SIZES);
	TupleTableSlot *row = table_slot_create(rel, NULL);
	TableScanDesc scan = compat_beginscan(rel, GetActiveSnapshot());

	for (int n = 0; n < SAMPLE_ROWS && table_scan_getnextslot(scan, ForwardScanDirection, row); n++)
	{
		MemoryContext caller = MemoryContextSwitchTo(context);

		CHECK_FOR_INTERRUPTS();
		for (int i = 0; i < table->desc->natts; i++)
		{
			Form_pg_attribute attribute = TupleDescAttr(table->desc, i);
			Oid type = attribute->atttypid;
			bool isnull;
			Datum stored;

			if (attribute->attisdropped || table->active_record[i] ||
				(type != JSONBOID && type != JSONOID && type != TEXTOID && type != VARCHAROID))
				continue;
			stored = slot_getattr(row, i + 1, &isnull);
			table->active_record[i] = !isnull && is_active_record(stored, type);
		}
		MemoryContextSwitchTo(caller);
		MemoryContextReset(context);
	}
	table_endscan(scan);
	ExecDropSingleTupleTableSlot(row);
	MemoryContextDelete(context);
}

/* Whether a name has this ending, and more before it. */
static bool
ends_with(const char *name, const char *ending)
{
	size_t size = strlen(name);
	size_t ending_size = strlen(ending);

	return size > ending_size && strcmp(name + size - ending_size, ending) == 0;
}

/* Sorts one column out: adopts it, reports it, or passes it over. */
static void
consider_column(const GitlabTable *table, Form_pg_attribute attribute)
{
	const char *name = NameStr(attribute->attname);
	Oid type = attribute->atttypid;
	bool is_value = type == TEXTOID || type == VARCHAROID || type == BYTEAOID;

	if (is_value && strncmp(name, VALUE_PREFIX, strlen(VALUE_PREFIX)) == 0 &&
		column_of_type(table, psprintf("%s_iv", name), type) > 0)
		adopt_value(table, name, type);
	else if (is_value && type != BYTEAOID && ends_with(name, TOKEN_SUFFIX))
		adopt_token(table, name);
	else if (other_state(table, name))
		put_row(table, name, NULL, other_state(table, name));
	else if (table->active_record[attribute->attnum - 1] ||
			 (type == JSONBOID && strncmp(name, MOVING_PREFIX, strlen(MOVING_PREFIX)) == 0))
		put_row(table, name, NULL,
				"not adopted: of Active Record Encryption, which has keys of its own");
}

/* Sorts out the columns of one table. */
static void
consider_table(ReturnSetInfo *result, Oid relid)
{
	GitlabTable table = {.result = result, .relid = relid};
	Relation rel = try_relation_open(relid, AccessShareLock);

	if (rel == NULL)
		return;
	table.name = pstrdup(RelationGetRelationName(rel));
	table.desc = CreateTupleDescCopy(RelationGetDescr(rel));
	table.active_record = palloc0(table.desc->natts * sizeof(bool));
	if (rel->rd_rel->relkind == RELKIND_RELATION && compat_owns_relation(relid, GetUserId()))
		find_active_record(&table, rel);
	relation_close(rel, NoLock);
	for (int i = 0; i < table.desc->natts; i++)
		if (!TupleDescAttr(table.desc, i)->attisdropped)
			consider_column(&table, TupleDescAttr(table.desc, i));
}

/* A table and its name. */
typedef struct NamedTable
{
	Oid relid;
	NameData name;
} NamedTable;

/* The order of tables, for list_sort. */
static int
compare_tables(const ListCell *a, const ListCell *b)
{
	return strcmp(NameStr(((NamedTable *) lfirst(a))->name),
				  NameStr(((NamedTable *) lfirst(b))->name));
}

/* The tables of a schema, without partitions: those are worked on with their table. */
static List *
tables_of(Oid schema)
{
	Relation rel = table_open(RelationRelationId, AccessShareLock);
	SysScanDesc scan = systable_beginscan(rel, InvalidOid, false, NULL, 0, NULL);
	List *tables = NIL;
	HeapTuple tuple;

	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_class form = (Form_pg_class) GETSTRUCT(tuple);
		NamedTable *table;

		if (form->relnamespace != schema || form->relispartition ||
			(form->relkind != RELKIND_RELATION && form->relkind != RELKIND_PARTITIONED_TABLE))
			continue;
		table = palloc(sizeof(NamedTable));
		table->relid = form->oid;
		table->name = form->relname;
		tables = lappend(tables, table);
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	list_sort(tables, compare_tables);
	return tables;
}

/*
 * dbcrypt_adopt_gitlab(schema name): adopts what opens; returns a row for each column,
 * with its state. One that cannot be adopted does not stop the others.
 */
Datum
dbcrypt_adopt_gitlab(PG_FUNCTION_ARGS)
{
	Oid schema = get_namespace_oid(NameStr(*PG_GETARG_NAME(0)), false);
	ReturnSetInfo *result;
	ListCell *cell;

	PreventCommandDuringRecovery("dbcrypt_adopt_gitlab()");
	PreventCommandIfReadOnly("dbcrypt_adopt_gitlab()");
	result = result_set(fcinfo, NRESULTS);
	foreach(cell, tables_of(schema))
		consider_table(result, ((NamedTable *) lfirst(cell))->relid);
	return (Datum) 0;
}
