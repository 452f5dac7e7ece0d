/*
 * registry_binding.c
 *		The trigger that adds to a row of dbcrypt_columns what its names lead to.
 *
 * It fires for whoever writes: this library, a restore, a subscription, a superuser
 * who corrects a name.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "columns/registry_store.h"
#include "support/catalog.h"

PG_FUNCTION_INFO_V1(dbcrypt_columns_bind);

/* One of the names in a row. */
static char *
name_in(HeapTuple tuple, Relation rel, const char *column)
{
	return NameStr(*DatumGetName(catalog_value(tuple, rel, catalog_column(rel, column, NAMEOID))));
}

/* Whether two rows name the same column. */
static bool
same_names(HeapTuple a, HeapTuple b, Relation rel)
{
	static const char *const names[] = {"schema", "table", "column"};

	for (size_t i = 0; i < lengthof(names); i++)
		if (strcmp(name_in(a, rel, names[i]), name_in(b, rel, names[i])) != 0)
			return false;
	return true;
}

/* Whether two rows have the same value, or both none. */
static bool
same_value(HeapTuple a, HeapTuple b, Relation rel, const char *column, Oid type)
{
	TupleDesc desc = RelationGetDescr(rel);
	AttrNumber attnum = catalog_column(rel, column, type);
	Oid output;
	bool varlena;

	if (heap_attisnull(a, attnum, desc) || heap_attisnull(b, attnum, desc))
		return heap_attisnull(a, attnum, desc) && heap_attisnull(b, attnum, desc);
	getTypeOutputInfo(type, &output, &varlena);
	return strcmp(OidOutputFunctionCall(output, catalog_value(a, rel, attnum)),
				  OidOutputFunctionCall(output, catalog_value(b, rel, attnum))) == 0;
}

/*
 * Whether the column is registered: then a row that a restore brings is left out, so
 * that it brings all others. Warns if it says something else.
 */
static bool
is_registered(HeapTuple tuple, Relation rel)
{
	SysScanDesc scan = systable_beginscan(rel, InvalidOid, false, NULL, 0, NULL);
	HeapTuple other;
	bool found = false;

	while (!found && HeapTupleIsValid(other = systable_getnext(scan)))
	{
		found = same_names(tuple, other, rel);
		if (found && !(same_value(tuple, other, rel, "scheme", TEXTOID) &&
					   same_value(tuple, other, rel, "aad", TEXTOID) &&
					   same_value(tuple, other, rel, "options", JSONBOID)))
			ereport(WARNING, (errmsg("column \"%s\" of table \"%s.%s\" is registered with another "
									 "scheme, AAD or options",
									 name_in(tuple, rel, "column"), name_in(tuple, rel, "schema"),
									 name_in(tuple, rel, "table")),
							  errdetail("The registration that was there is kept.")));
	}
	systable_endscan(scan);
	return found;
}

/*
 * Before a row is inserted or its names change: sets the hint, to NULL if the names
 * lead nowhere.
 */
Datum
dbcrypt_columns_bind(PG_FUNCTION_ARGS)
{
	TriggerData *data = (TriggerData *) fcinfo->context;
	Relation rel;
	HeapTuple tuple;
	Oid schema;
	Oid relid;
	AttrNumber attnum;
	int columns[3];
	Datum values[3];
	bool nulls[3];

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_BEFORE(data->tg_event) ||
		!TRIGGER_FIRED_FOR_ROW(data->tg_event))
		ereport(ERROR, (errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
						errmsg("dbcrypt_columns_bind must be called as a trigger before rows")));
	rel = data->tg_relation;
	tuple = TRIGGER_FIRED_BY_UPDATE(data->tg_event) ? data->tg_newtuple : data->tg_trigtuple;
	if (TRIGGER_FIRED_BY_INSERT(data->tg_event) && is_registered(tuple, rel))
		PG_RETURN_POINTER(NULL);

	schema = get_namespace_oid(name_in(tuple, rel, "schema"), true);
	relid =
		OidIsValid(schema) ? get_relname_relid(name_in(tuple, rel, "table"), schema) : InvalidOid;
	attnum = OidIsValid(relid) ? get_attnum(relid, name_in(tuple, rel, "column")) : 0;
	columns[0] = catalog_column(rel, "bound_to", TEXTOID);
	values[0] = CStringGetTextDatum(registry_bound_to());
	columns[1] = catalog_column(rel, "relid", OIDOID);
	values[1] = ObjectIdGetDatum(relid);
	columns[2] = catalog_column(rel, "attnum", INT2OID);
	values[2] = Int16GetDatum(attnum);
	nulls[0] = nulls[1] = nulls[2] = attnum <= 0;
	PG_RETURN_POINTER(
		heap_modify_tuple_by_cols(tuple, RelationGetDescr(rel), 3, columns, values, nulls));
}
