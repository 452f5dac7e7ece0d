/*
 * registry_store.c
 *		The rows of dbcrypt_columns as they are stored, kept until the table changes.
 *
 * What the rows' names and hints lead to is not kept: that is looked up in PostgreSQL's
 * own caches each time (registry.c).
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/reltrigger.h"
#include "utils/syscache.h"

#include "columns/options.h"
#include "columns/registry_store.h"
#include "support/catalog.h"

/* The numbers of the columns of dbcrypt_columns that are read; the last four may be 0. */
typedef struct RegistryColumns
{
	AttrNumber schema;
	AttrNumber table;
	AttrNumber column;
	AttrNumber bound_to;
	AttrNumber relid;
	AttrNumber attnum;
	AttrNumber scheme;
	AttrNumber aad;
	AttrNumber options;
	AttrNumber registered_by;
} RegistryColumns;

/* The names of a table, as a hash key: zero-padded. */
typedef struct TableNames
{
	NameData schema;
	NameData table;
} TableNames;

/* The rows under one key of a hash. */
typedef struct RowsByHint
{
	Oid relid;
	List *rows;
} RowsByHint;

typedef struct RowsByNames
{
	TableNames names;
	List *rows;
} RowsByNames;

/* The rows that were read, in a memory context of their own. */
typedef struct Store
{
	MemoryContext context;
	uint64 changes; /* number of the change that they reflect */
	bool whole;
	List *rows;
	HTAB *by_hint;
	HTAB *by_names;
} Store;

static Store *store = NULL;

/*
 * dbcrypt_columns, InvalidOid if it is not known; how often it changed, and what its rows
 * mean, as far as this session has heard.
 */
static Oid columns_relid = InvalidOid;
static uint64 rows_changes = 1;
static uint64 meaning_changes = 1;

/* Relation cache callback: dbcrypt_columns changed, or a table that a hint leads to. */
static void
relation_changed(Datum arg, Oid relid)
{
	if (relid == InvalidOid || columns_relid == InvalidOid || relid == columns_relid)
	{
		rows_changes++;
		meaning_changes++;
	}
	else if (store && hash_search(store->by_hint, &relid, HASH_FIND, NULL))
		meaning_changes++;
}

/* System cache callback: a schema has another name, perhaps. */
static void
schema_changed(Datum arg, int cache, uint32 hash)
{
	meaning_changes++;
}

void
registry_store_init(void)
{
	CacheRegisterRelcacheCallback(relation_changed, (Datum) 0);
	CacheRegisterSyscacheCallback(NAMESPACEOID, schema_changed, (Datum) 0);
}

/* Finds the columns; unless whole, only those that name the column. */
static RegistryColumns
find_columns(Relation rel, bool whole)
{
	RegistryColumns columns = {.schema = catalog_column(rel, "schema", NAMEOID),
							   .table = catalog_column(rel, "table", NAMEOID),
							   .column = catalog_column(rel, "column", NAMEOID),
							   .bound_to = catalog_column(rel, "bound_to", TEXTOID),
							   .relid = catalog_column(rel, "relid", OIDOID),
							   .attnum = catalog_column(rel, "attnum", INT2OID)};

	if (whole)
	{
		columns.scheme = catalog_column(rel, "scheme", TEXTOID);
		columns.aad = catalog_column(rel, "aad", TEXTOID);
		columns.options = catalog_column(rel, "options", JSONBOID);
		columns.registered_by = catalog_column(rel, "registered_by", NAMEOID);
	}
	return columns;
}

char *
registry_bound_to(void)
{
	return psprintf(UINT64_FORMAT "/%u", GetSystemIdentifier(), MyDatabaseId);
}

/* A name of a row. */
static char *
read_name(HeapTuple tuple, Relation rel, AttrNumber attnum)
{
	return pstrdup(NameStr(*DatumGetName(catalog_value(tuple, rel, attnum))));
}

/* Reads the hint. */
static void
read_hint(HeapTuple tuple, Relation rel, const RegistryColumns *columns, StoredRow *row)
{
	TupleDesc desc = RelationGetDescr(rel);

	if (heap_attisnull(tuple, columns->bound_to, desc) ||
		heap_attisnull(tuple, columns->relid, desc) || heap_attisnull(tuple, columns->attnum, desc))
		return;
	row->bound = strcmp(TextDatumGetCString(catalog_value(tuple, rel, columns->bound_to)),
						registry_bound_to()) == 0;
	row->hint_relid = DatumGetObjectId(catalog_value(tuple, rel, columns->relid));
	row->hint_attnum = DatumGetInt16(catalog_value(tuple, rel, columns->attnum));
}

/* One row of dbcrypt_columns. */
static StoredRow *
read_row(HeapTuple tuple, Relation rel, const RegistryColumns *columns)
{
	StoredRow *row = palloc0(sizeof(StoredRow));

	row->schema = read_name(tuple, rel, columns->schema);
	row->table = read_name(tuple, rel, columns->table);
	row->name = read_name(tuple, rel, columns->column);
	read_hint(tuple, rel, columns, row);
	if (columns->scheme == InvalidAttrNumber)
		return row;
	row->scheme = TextDatumGetCString(catalog_value(tuple, rel, columns->scheme));
	if (!heap_attisnull(tuple, columns->aad, RelationGetDescr(rel)))
		row->aad = TextDatumGetCString(catalog_value(tuple, rel, columns->aad));
	row->registered_by = heap_attisnull(tuple, columns->registered_by, RelationGetDescr(rel))
							 ? ""
							 : read_name(tuple, rel, columns->registered_by);
	options_read(DatumGetJsonbP(catalog_value(tuple, rel, columns->options)), &row->options);
	return row;
}

/*
 * Whether every session hears of a change of the table. A script of another version may
 * have made it without that trigger, and a superuser may have disabled it.
 */
static bool
announces_changes(Relation rel)
{
	for (int i = 0; rel->trigdesc && i < rel->trigdesc->numtriggers; i++)
	{
		const Trigger *trigger = &rel->trigdesc->triggers[i];

		if (strcmp(trigger->tgname, "dbcrypt_columns_changed") == 0)
			return trigger->tgenabled == TRIGGER_FIRES_ALWAYS;
	}
	return false;
}

/* A hash of this kind in the current memory context. */
static HTAB *
make_hash(const char *name, Size key, Size entry)
{
	HASHCTL control = {.keysize = key, .entrysize = entry, .hcxt = CurrentMemoryContext};

	return hash_create(name, 64, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

static TableNames
table_names(const char *schema, const char *table)
{
	TableNames names = {0};

	namestrcpy(&names.schema, schema);
	namestrcpy(&names.table, table);
	return names;
}

/* Adds a row to the store. */
static void
add_row(Store *self, StoredRow *row)
{
	TableNames names = table_names(row->schema, row->table);
	RowsByNames *by_names;
	bool found;

	self->rows = lappend(self->rows, row);
	by_names = hash_search(self->by_names, &names, HASH_ENTER, &found);
	by_names->rows = lappend(found ? by_names->rows : NIL, row);
	if (row->bound)
	{
		RowsByHint *by_hint = hash_search(self->by_hint, &row->hint_relid, HASH_ENTER, &found);

		by_hint->rows = lappend(found ? by_hint->rows : NIL, row);
	}
}

/* Reads dbcrypt_columns into a new store. */
static Store *
read_store(bool whole)
{
	Store *self = palloc0(sizeof(Store));
	Relation rel;
	RegistryColumns columns;
	SysScanDesc scan;
	HeapTuple tuple;

	self->context = CurrentMemoryContext;
	self->whole = whole;
	self->by_hint = make_hash("dbcrypt columns by table", sizeof(Oid), sizeof(RowsByHint));
	self->by_names = make_hash("dbcrypt columns by name", sizeof(TableNames), sizeof(RowsByNames));
	columns_relid = catalog_relation("dbcrypt_columns");
	self->changes = rows_changes;
	if (!OidIsValid(columns_relid))
		return self;
	rel = table_open(columns_relid, AccessShareLock);
	/* Taken before the scan: more may come meanwhile. */
	self->changes = announces_changes(rel) ? rows_changes : 0;
	columns = find_columns(rel, whole);
	scan = systable_beginscan(rel, InvalidOid, false, NULL, 0, NULL);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
		add_row(self, read_row(tuple, rel, &columns));
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return self;
}

/*
 * The store, as new as what other transactions have committed before this call. After an
 * error, the one that was there stays, and is out of date.
 */
static const Store *
current_store(bool whole)
{
	MemoryContext context;
	MemoryContext caller;
	Store *old;

	AcceptInvalidationMessages();
	if (store && store->changes == rows_changes && (store->whole || !whole))
		return store;
	context =
		AllocSetContextCreate(CurrentMemoryContext, "dbcrypt columns", ALLOCSET_DEFAULT_SIZES);
	caller = MemoryContextSwitchTo(context);
	old = store;
	store = read_store(whole);
	MemoryContextSetParent(context, TopMemoryContext);
	MemoryContextSwitchTo(caller);
	if (old)
		MemoryContextDelete(old->context);
	return store;
}

List *
registry_stored(bool whole)
{
	return current_store(whole)->rows;
}

List *
registry_stored_of(Oid relid)
{
	const Store *self = current_store(true);
	char *table = get_rel_name(relid);
	char *schema = table ? get_namespace_name(get_rel_namespace(relid)) : NULL;
	RowsByHint *by_hint = hash_search(self->by_hint, &relid, HASH_FIND, NULL);
	List *rows = by_hint ? list_copy(by_hint->rows) : NIL;

	if (schema)
	{
		TableNames names = table_names(schema, table);
		RowsByNames *by_names = hash_search(self->by_names, &names, HASH_FIND, NULL);

		if (by_names)
			rows = list_concat_unique_ptr(rows, by_names->rows);
	}
	return rows;
}

uint64
registry_changes(void)
{
	if (store && store->changes == 0)
		meaning_changes++; /* nobody announces them */
	return meaning_changes;
}
