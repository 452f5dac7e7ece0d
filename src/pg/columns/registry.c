/*
 * registry.c
 *		The registered columns: rows of dbcrypt_columns.
 *
 * A row names its column by schema, table and column, which survives dump and restore.
 * The OID and number beside them survive a rename while event triggers are off, and
 * so tell that it happened. Where both are there and differ, nobody knows which column
 * was meant: the row has a problem.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xlog.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
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
#include "support/run_as.h"

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

/* Finds them; unless whole, only those that name the column. */
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

/* Reads the hint, if it is of this database. */
static void
read_hint(HeapTuple tuple, Relation rel, const RegistryColumns *columns, RegistryRow *row)
{
	TupleDesc desc = RelationGetDescr(rel);
	HeapTuple attribute;

	if (heap_attisnull(tuple, columns->bound_to, desc) ||
		heap_attisnull(tuple, columns->relid, desc) || heap_attisnull(tuple, columns->attnum, desc))
		return;
	row->bound = strcmp(TextDatumGetCString(catalog_value(tuple, rel, columns->bound_to)),
						registry_bound_to()) == 0;
	row->hint_relid = DatumGetObjectId(catalog_value(tuple, rel, columns->relid));
	row->hint_attnum = DatumGetInt16(catalog_value(tuple, rel, columns->attnum));
	if (!row->bound || get_attname(row->hint_relid, row->hint_attnum, true) == NULL)
		return;
	attribute = SearchSysCacheAttNum(row->hint_relid, row->hint_attnum);
	row->hint_lives = HeapTupleIsValid(attribute);
	row->hint_dropped = !row->hint_lives;
	if (row->hint_lives)
		ReleaseSysCache(attribute);
}

/* Finds what the row's names lead to. */
static void
find_named(RegistryRow *row)
{
	Oid schema = get_namespace_oid(row->schema, true);

	row->named_relid = OidIsValid(schema) ? get_relname_relid(row->table, schema) : InvalidOid;
	if (OidIsValid(row->named_relid))
		row->named_attnum = Max(get_attnum(row->named_relid, row->name), InvalidAttrNumber);
}

/* A column as a problem names it. */
static char *
describe_column(Oid relid, AttrNumber attnum)
{
	return psprintf("column \"%s\" of table \"%s.%s\"", get_attname(relid, attnum, false),
					get_namespace_name(get_rel_namespace(relid)), get_rel_name(relid));
}

/* Decides which column the row means, and whether there is a problem. */
static void
identify_column(RegistryRow *row)
{
	TargetColumn *column = &row->column;
	bool named = row->named_attnum != InvalidAttrNumber;

	column->relid = row->hint_lives ? row->hint_relid : row->named_relid;
	column->attnum = row->hint_lives ? row->hint_attnum : row->named_attnum;
	column->name = row->name;
	if (!named && row->hint_lives)
		column->problem = psprintf("it is registered by a name that it no longer has: it is %s now",
								   describe_column(row->hint_relid, row->hint_attnum));
	else if (!named)
		column->problem = psprintf("column \"%s\" of table \"%s.%s\" does not exist", row->name,
								   row->schema, row->table);
	else if (row->hint_lives &&
			 (row->named_relid != row->hint_relid || row->named_attnum != row->hint_attnum))
		column->problem = psprintf("another column has the name that it was registered by: it is "
								   "%s now",
								   describe_column(row->hint_relid, row->hint_attnum));
	else if (row->hint_dropped)
		column->problem = psprintf("the registered column was dropped, and %s is another one",
								   describe_column(row->named_relid, row->named_attnum));
}

/* Whether the column has become of a type that holds no values of the registered kind. */
static void
check_type(TargetColumn *column)
{
	Oid type;

	if (column->problem)
		return;
	type = get_atttype(column->relid, column->attnum);
	if (OidIsValid(type) && !column_fits_type(column, type))
		column->problem =
			psprintf("%s is of type %s, which cannot hold its values",
					 describe_column(column->relid, column->attnum), format_type_be(type));
}

/* One row of dbcrypt_columns. */
static RegistryRow *
read_row(HeapTuple tuple, Relation rel, const RegistryColumns *columns)
{
	RegistryRow *row = palloc0(sizeof(RegistryRow));
	TargetColumn *column = &row->column;
	char *scheme;

	row->schema = read_name(tuple, rel, columns->schema);
	row->table = read_name(tuple, rel, columns->table);
	row->name = read_name(tuple, rel, columns->column);
	read_hint(tuple, rel, columns, row);
	find_named(row);
	identify_column(row);
	if (columns->scheme == InvalidAttrNumber)
		return row;
	scheme = TextDatumGetCString(catalog_value(tuple, rel, columns->scheme));
	column->scheme = dbcrypt_scheme_find(scheme);
	if (column->scheme == NULL && column->problem == NULL)
		column->problem = psprintf("this version of dbcrypt does not know scheme \"%s\"", scheme);
	if (!heap_attisnull(tuple, columns->aad, RelationGetDescr(rel)))
		column->aad = TextDatumGetCString(catalog_value(tuple, rel, columns->aad));
	column->registered_by = heap_attisnull(tuple, columns->registered_by, RelationGetDescr(rel))
								? ""
								: read_name(tuple, rel, columns->registered_by);
	options_read(DatumGetJsonbP(catalog_value(tuple, rel, columns->options)), &column->options);
	check_type(column);
	return row;
}

/* Orders rows by table and column number, then by the names they hold. */
static int
compare_rows(const ListCell *a, const ListCell *b)
{
	const RegistryRow *left = lfirst(a);
	const RegistryRow *right = lfirst(b);
	int order;

	if (left->column.relid != right->column.relid)
		return left->column.relid < right->column.relid ? -1 : 1;
	if (left->column.attnum != right->column.attnum)
		return left->column.attnum - right->column.attnum;
	order = strcmp(left->schema, right->schema);
	if (order == 0)
		order = strcmp(left->table, right->table);
	return order ? order : strcmp(left->name, right->name);
}

/*
 * Finds columns of one table with one companion column, as a restored registry may have
 * them: a rotation of one would make the other's values unreadable.
 */
static void
find_shared_companions(const List *rows)
{
	ListCell *a;
	ListCell *b;

	foreach(a, rows)
		foreach(b, rows)
		{
			TargetColumn *column = &((RegistryRow *) lfirst(a))->column;
			const TargetColumn *other = &((RegistryRow *) lfirst(b))->column;

			if (column != other && column->problem == NULL && OidIsValid(column->relid) &&
				column->relid == other->relid && column->attnum != other->attnum &&
				column->options.companion && other->options.companion &&
				strcmp(column->options.companion, other->options.companion) == 0)
				column->problem =
					psprintf("column \"%s\" is registered with the same companion column \"%s\"",
							 other->name, other->options.companion);
		}
}

List *
registry_rows(bool whole)
{
	Oid relid = catalog_relation("dbcrypt_columns");
	List *rows = NIL;
	Relation rel;
	RegistryColumns columns;
	SysScanDesc scan;
	HeapTuple tuple;

	if (!OidIsValid(relid))
		return NIL;
	rel = table_open(relid, AccessShareLock);
	columns = find_columns(rel, whole);
	scan = systable_beginscan(rel, InvalidOid, false, NULL, 0, NULL);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
		rows = lappend(rows, read_row(tuple, rel, &columns));
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	list_sort(rows, compare_rows);
	if (whole)
		find_shared_companions(rows);
	return rows;
}

List *
columns_registered(void)
{
	List *columns = NIL;
	ListCell *cell;

	foreach(cell, registry_rows(true))
		columns = lappend(columns, &((RegistryRow *) lfirst(cell))->column);
	return columns;
}

/* The row whose names or hint lead to the column: with a problem, either may. */
static RegistryRow *
row_of(Oid relid, AttrNumber attnum)
{
	ListCell *cell;

	if (attnum == InvalidAttrNumber)
		return NULL;
	foreach(cell, registry_rows(true))
	{
		RegistryRow *row = lfirst(cell);

		if ((row->column.relid == relid && row->column.attnum == attnum) ||
			(row->named_relid == relid && row->named_attnum == attnum))
			return row;
	}
	return NULL;
}

TargetColumn *
column_registered(Oid relid, AttrNumber attnum)
{
	RegistryRow *row = row_of(relid, attnum);

	return row ? &row->column : NULL;
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

		if (strcmp(above->name, name) == 0 && OidIsValid(above->relid) &&
			list_member_oid(column_members(above->relid, NoLock), relid))
			return above;
	}
	return NULL;
}

void
registry_refuse_problem(const TargetColumn *registered)
{
	if (registered->problem)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("cannot tell how column \"%s\" is registered", registered->name),
						errdetail("In its row of dbcrypt_columns: %s.", registered->problem),
						errhint(REGISTRY_PROBLEM_HINT)));
}

/* Gives a row the hint of this database, by the table's trigger. */
static void
rebind(const RegistryRow *row)
{
	Oid types[] = {NAMEOID, NAMEOID, NAMEOID};
	Datum values[] = {name_datum(row->schema), name_datum(row->table), name_datum(row->name)};

	(void) catalog_execute(psprintf("UPDATE %s SET \"column\" = $3 WHERE \"schema\" = $1 "
									"AND \"table\" = $2 AND \"column\" = $3",
									catalog_relation_name("dbcrypt_columns")),
						   lengthof(types), types, values, NULL, SPI_OK_UPDATE);
}

void
column_register(const TargetColumn *target)
{
	Oid types[] = {NAMEOID, NAMEOID, NAMEOID, TEXTOID, TEXTOID, JSONBOID, NAMEOID};
	Datum values[7];
	char nulls[] = "       ";
	RegistryRow *row;

	if (get_rel_persistence(target->relid) == RELPERSISTENCE_TEMP || OidIsValid(target->runs_as))
		return;
	row = row_of(target->relid, get_attnum(target->relid, target->name));
	if (row)
	{
		if (!row->hint_lives)
			rebind(row);
		return;
	}
	values[0] = name_datum(get_namespace_name(get_rel_namespace(target->relid)));
	values[1] = name_datum(get_rel_name(target->relid));
	values[2] = name_datum(target->name);
	values[3] = target->aad ? CStringGetTextDatum(target->aad) : (Datum) 0;
	if (target->aad == NULL)
		nulls[3] = 'n';
	values[4] = CStringGetTextDatum(
		dbcrypt_scheme_traits_of(target->scheme ? target->scheme : scheme_native())->name);
	values[5] = options_write(&target->options);
	values[6] = name_datum(GetUserNameFromId(owner_of(target->relid), false));
	(void) catalog_execute(
		psprintf("INSERT INTO %s (\"schema\", \"table\", \"column\", aad, scheme, options, "
				 "registered_by) VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING",
				 catalog_relation_name("dbcrypt_columns")),
		lengthof(types), types, values, nulls, SPI_OK_INSERT);
}

void
registry_delete(const RegistryRow *row)
{
	Oid types[] = {NAMEOID, NAMEOID, NAMEOID};
	Datum values[] = {name_datum(row->schema), name_datum(row->table), name_datum(row->name)};

	(void) catalog_execute(psprintf("DELETE FROM %s WHERE \"schema\" = $1 AND \"table\" = $2 "
									"AND \"column\" = $3",
									catalog_relation_name("dbcrypt_columns")),
						   lengthof(types), types, values, NULL, SPI_OK_DELETE);
}

bool
column_unregister(Oid relid, AttrNumber attnum)
{
	RegistryRow *row = row_of(relid, attnum);

	if (row)
		registry_delete(row);
	return row != NULL;
}

void
column_set_options(const TargetColumn *target, const ColumnOptions *options)
{
	RegistryRow *row = row_of(target->relid, target->attnum);
	Oid types[] = {NAMEOID, NAMEOID, NAMEOID, JSONBOID};
	Datum values[4];

	if (row == NULL)
		return;
	values[0] = name_datum(row->schema);
	values[1] = name_datum(row->table);
	values[2] = name_datum(row->name);
	values[3] = options_write(options);
	(void) catalog_execute(psprintf("UPDATE %s SET options = $4 WHERE \"schema\" = $1 "
									"AND \"table\" = $2 AND \"column\" = $3",
									catalog_relation_name("dbcrypt_columns")),
						   lengthof(types), types, values, NULL, SPI_OK_UPDATE);
}
