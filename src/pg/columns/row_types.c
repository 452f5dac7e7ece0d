/*
 * row_types.c
 *		Which columns have rows of a composite type in them.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "columns/row_types.h"

/* Whether values of a type have a row of a composite type in them. */
static bool
holds_row(Oid type, Oid row_type)
{
	Oid element;

	type = getBaseType(type);
	if (type == row_type)
		return true;
	element = get_element_type(type);
	if (OidIsValid(element))
		return holds_row(element, row_type);
	return get_typtype(type) == TYPTYPE_COMPOSITE &&
		   columns_with_row(get_typ_typrelid(type), row_type) != NIL;
}

/* How many columns a relation has, dropped ones included; 0 if it is gone. */
static AttrNumber
count_columns(Oid relid)
{
	HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	AttrNumber count;

	if (!HeapTupleIsValid(tuple))
		return 0;
	count = ((Form_pg_class) GETSTRUCT(tuple))->relnatts;
	ReleaseSysCache(tuple);
	return count;
}

List *
columns_with_row(Oid relid, Oid row_type)
{
	AttrNumber count = count_columns(relid);
	List *names = NIL;

	for (AttrNumber attnum = 1; attnum <= count; attnum++)
	{
		Oid type = get_atttype(relid, attnum);

		/* Not that of a dropped column. */
		if (OidIsValid(type) && holds_row(type, row_type))
			names = lappend(names, get_attname(relid, attnum, false));
	}
	return names;
}
