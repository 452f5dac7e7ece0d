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
#include "columns/registry_store.h"
#include "columns/target.h"
#include "core/api/scheme.h"
#include "support/arguments.h"
#include "support/catalog.h"
#include "support/run_as.h"

/* A copy of a string, NULL for NULL. */
static char *
copy_string(const char *string)
{
	return string ? pstrdup(string) : NULL;
}

/* Finds what the row's hint leads to, if it is of this database. */
static void
find_hinted(RegistryRow *row)
{
	HeapTuple attribute;

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

/* What a stored row means now; a copy in the current memory context, unless whole of its names. */
static RegistryRow *
resolve_row(const StoredRow *stored, bool whole)
{
	RegistryRow *row = palloc0(sizeof(RegistryRow));
	TargetColumn *column = &row->column;

	row->schema = pstrdup(stored->schema);
	row->table = pstrdup(stored->table);
	row->name = pstrdup(stored->name);
	row->bound = stored->bound;
	row->hint_relid = stored->hint_relid;
	row->hint_attnum = stored->hint_attnum;
	find_hinted(row);
	find_named(row);
	identify_column(row);
	if (!whole)
		return row;
	column->scheme = dbcrypt_scheme_find(stored->scheme);
	if (column->scheme == NULL && column->problem == NULL)
		column->problem =
			psprintf("this version of dbcrypt does not know scheme \"%s\"", stored->scheme);
	column->aad = copy_string(stored->aad);
	column->registered_by = pstrdup(stored->registered_by);
	column->options = options_copy(&stored->options);
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

/* Notes that another column of the same table has the same companion column. */
static void
note_shared_companion(TargetColumn *column, const TargetColumn *other)
{
	if (column->problem == NULL && column->attnum != other->attnum && column->options.companion &&
		other->options.companion &&
		strcmp(column->options.companion, other->options.companion) == 0)
		column->problem = psprintf("column \"%s\" is registered with the same companion column "
								   "\"%s\"",
								   other->name, other->options.companion);
}

/*
 * Finds columns of one table with one companion column, as a restored registry may have
 * them: a rotation of one would make the other's values unreadable. rows: in order.
 */
static void
find_shared_companions(const List *rows)
{
	for (int i = 0; i < list_length(rows); i++)
	{
		TargetColumn *column = list_nth(rows, i);

		for (int j = i + 1; j < list_length(rows) && OidIsValid(column->relid); j++)
		{
			TargetColumn *other = list_nth(rows, j);

			if (other->relid != column->relid)
				break;
			note_shared_companion(column, other);
			note_shared_companion(other, column);
		}
	}
}

/* What stored rows mean now, in the order of columns_registered. */
static List *
resolve_rows(const List *stored, bool whole)
{
	List *rows = NIL;
	ListCell *cell;

	foreach(cell, stored)
		rows = lappend(rows, resolve_row(lfirst(cell), whole));
	list_sort(rows, compare_rows);
	if (whole)
		find_shared_companions(rows);
	return rows;
}

List *
registry_rows(bool whole)
{
	return resolve_rows(registry_stored(whole), whole);
}

/* The columns of rows. */
static List *
columns_of(const List *rows)
{
	List *columns = NIL;
	ListCell *cell;

	foreach(cell, rows)
		columns = lappend(columns, &((RegistryRow *) lfirst(cell))->column);
	return columns;
}

List *
columns_registered(void)
{
	return columns_of(registry_rows(true));
}

/* The row whose names or hint lead to the column: with a problem, either may. */
static RegistryRow *
row_of(Oid relid, AttrNumber attnum)
{
	ListCell *cell;

	if (attnum == InvalidAttrNumber)
		return NULL;
	foreach(cell, resolve_rows(registry_stored_of(relid), true))
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

List *
columns_over(Oid relid)
{
	List *rows = NIL;
	ListCell *table;
	ListCell *cell;

	foreach(table, column_ancestors(relid))
		foreach(cell, resolve_rows(registry_stored_of(lfirst_oid(table)), true))
			if (((RegistryRow *) lfirst(cell))->column.relid == lfirst_oid(table))
				rows = lappend(rows, lfirst(cell));
	list_sort(rows, compare_rows);
	return columns_of(rows);
}

TargetColumn *
column_covering(Oid relid, const char *name)
{
	TargetColumn *own = column_registered(relid, get_attnum(relid, name));
	ListCell *cell;

	if (own)
		return own;
	foreach(cell, columns_over(relid))
	{
		TargetColumn *above = lfirst(cell);

		if (strcmp(above->name, name) == 0)
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
