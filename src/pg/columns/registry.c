/*
 * registry.c
 *		The registered columns: rows of dbcrypt_columns.
 *
 * A row names its column twice. The number survives a rename of the column; the name
 * survives dump and restore. The number is a generated column, which pg_dump leaves
 * out; an event trigger updates the name.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "columns/members.h"
#include "columns/options.h"
#include "columns/registry.h"
#include "columns/target.h"
#include "core/api/scheme.h"
#include "support/arguments.h"
#include "support/catalog.h"

/* The numbers of the columns of dbcrypt_columns that are read; the last three may be 0. */
typedef struct RegistryColumns
{
	AttrNumber table;
	AttrNumber column;
	AttrNumber attnum;
	AttrNumber scheme;
	AttrNumber aad;
	AttrNumber options;
} RegistryColumns;

/* Finds them; unless whole, only those that name the column. */
static RegistryColumns
find_columns(Relation rel, bool whole)
{
	RegistryColumns columns = {.table = catalog_column(rel, "table", REGCLASSOID),
							   .column = catalog_column(rel, "column", NAMEOID),
							   .attnum = catalog_column(rel, "attnum", INT2OID)};

	if (whole)
	{
		columns.scheme = catalog_column(rel, "scheme", TEXTOID);
		columns.aad = catalog_column(rel, "aad", TEXTOID);
		columns.options = catalog_column(rel, "options", JSONBOID);
	}
	return columns;
}

/* One row of dbcrypt_columns; its name is NULL if its table or column is gone. */
static TargetColumn *
read_row(HeapTuple row, Relation rel, const RegistryColumns *columns)
{
	TargetColumn *target = palloc0(sizeof(TargetColumn));
	HeapTuple attribute;

	target->relid = DatumGetObjectId(catalog_value(row, rel, columns->table));
	target->attnum = DatumGetInt16(catalog_value(row, rel, columns->attnum));
	attribute = SearchSysCacheAttNum(target->relid, target->attnum);
	if (HeapTupleIsValid(attribute))
	{
		target->name = pstrdup(NameStr(((Form_pg_attribute) GETSTRUCT(attribute))->attname));
		ReleaseSysCache(attribute);
	}
	target->registered_name =
		pstrdup(NameStr(*DatumGetName(catalog_value(row, rel, columns->column))));
	if (columns->scheme == InvalidAttrNumber)
		return target;
	target->scheme = scheme_named(TextDatumGetCString(catalog_value(row, rel, columns->scheme)));
	if (!heap_attisnull(row, columns->aad, RelationGetDescr(rel)))
		target->aad = TextDatumGetCString(catalog_value(row, rel, columns->aad));
	options_read(DatumGetJsonbP(catalog_value(row, rel, columns->options)), &target->options);
	return target;
}

/* Orders rows by table and column number. */
static int
compare_targets(const ListCell *a, const ListCell *b)
{
	const TargetColumn *left = lfirst(a);
	const TargetColumn *right = lfirst(b);

	if (left->relid != right->relid)
		return left->relid < right->relid ? -1 : 1;
	return left->attnum - right->attnum;
}

List *
registry_rows(bool whole)
{
	Oid relid = catalog_relation("dbcrypt_columns");
	List *targets = NIL;
	Relation rel;
	RegistryColumns columns;
	SysScanDesc scan;
	HeapTuple row;

	if (!OidIsValid(relid))
		return NIL;
	rel = table_open(relid, AccessShareLock);
	columns = find_columns(rel, whole);
	scan = systable_beginscan(rel, InvalidOid, false, NULL, 0, NULL);
	while (HeapTupleIsValid(row = systable_getnext(scan)))
		targets = lappend(targets, read_row(row, rel, &columns));
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	list_sort(targets, compare_targets);
	return targets;
}

List *
columns_registered(void)
{
	List *targets = registry_rows(true);
	ListCell *cell;

	foreach(cell, targets)
		if (((TargetColumn *) lfirst(cell))->name == NULL)
			targets = foreach_delete_current(targets, cell);
	return targets;
}

TargetColumn *
column_registered(Oid relid, AttrNumber attnum)
{
	ListCell *cell;

	foreach(cell, columns_registered())
	{
		TargetColumn *target = lfirst(cell);

		if (target->relid == relid && target->attnum == attnum)
			return target;
	}
	return NULL;
}

TargetColumn *
column_covering(Oid relid, const char *name)
{
	TargetColumn *own = column_registered(relid, get_attnum(relid, name));
	ListCell *cell;

	if (own)
		return own;
	foreach(cell, columns_registered())
	{
		TargetColumn *above = lfirst(cell);

		if (strcmp(above->name, name) == 0 &&
			list_member_oid(column_members(above->relid, NoLock), relid))
			return above;
	}
	return NULL;
}

void
column_register(const TargetColumn *target)
{
	Oid types[] = {REGCLASSOID, NAMEOID, TEXTOID, TEXTOID, JSONBOID};
	Datum values[5];
	char nulls[] = "     ";

	if (get_rel_persistence(target->relid) == RELPERSISTENCE_TEMP || OidIsValid(target->runs_as))
		return;
	values[0] = ObjectIdGetDatum(target->relid);
	values[1] = name_datum(target->name);
	values[2] = target->aad ? CStringGetTextDatum(target->aad) : (Datum) 0;
	if (target->aad == NULL)
		nulls[2] = 'n';
	values[3] = CStringGetTextDatum(
		dbcrypt_scheme_traits_of(target->scheme ? target->scheme : scheme_native())->name);
	values[4] = options_write(&target->options);
	(void) catalog_execute(psprintf("INSERT INTO %s (\"table\", \"column\", aad, scheme, options) "
									"VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING",
									catalog_relation_name("dbcrypt_columns")),
						   lengthof(types), types, values, nulls, SPI_OK_INSERT);
}

bool
column_unregister(Oid relid, AttrNumber attnum)
{
	Oid types[] = {REGCLASSOID, INT2OID};
	Datum values[2];

	values[0] = ObjectIdGetDatum(relid);
	values[1] = Int16GetDatum(attnum);
	return catalog_execute(psprintf("DELETE FROM %s WHERE \"table\" = $1 AND attnum = $2",
									catalog_relation_name("dbcrypt_columns")),
						   lengthof(types), types, values, NULL, SPI_OK_DELETE) > 0;
}

void
column_set_options(const TargetColumn *target, const ColumnOptions *options)
{
	Oid types[] = {REGCLASSOID, INT2OID, JSONBOID};
	Datum values[3];

	values[0] = ObjectIdGetDatum(target->relid);
	values[1] = Int16GetDatum(target->attnum);
	values[2] = options_write(options);
	(void) catalog_execute(psprintf("UPDATE %s SET options = $3 "
									"WHERE \"table\" = $1 AND attnum = $2",
									catalog_relation_name("dbcrypt_columns")),
						   lengthof(types), types, values, NULL, SPI_OK_UPDATE);
}
