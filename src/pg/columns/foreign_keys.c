/*
 * foreign_keys.c
 *		The foreign keys of a table, on both sides.
 *
 * pg_constraint has no index on the referenced table. But a constraint depends on
 * the columns of both its tables, and pg_depend has an index for that question. The
 * triggers of a foreign key would not do: one that is NOT ENFORCED has none.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/indexing.h"
#include "catalog/pg_class.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_depend.h"
#include "utils/array.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "columns/foreign_keys.h"

/* OIDs of the constraints that depend on a table or its columns, in order. */
static List *
dependent_constraints(Oid relid)
{
	Relation rel = table_open(DependRelationId, AccessShareLock);
	List *constraints = NIL;
	ScanKeyData key[2];
	SysScanDesc scan;
	HeapTuple tuple;

	ScanKeyInit(&key[0], Anum_pg_depend_refclassid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(RelationRelationId));
	ScanKeyInit(&key[1], Anum_pg_depend_refobjid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(relid));
	scan = systable_beginscan(rel, DependReferenceIndexId, true, NULL, lengthof(key), key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_depend depend = (Form_pg_depend) GETSTRUCT(tuple);

		if (depend->classid == ConstraintRelationId)
			constraints = lappend_oid(constraints, depend->objid);
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	list_sort(constraints, list_oid_cmp);
	list_deduplicate_oid(constraints);
	return constraints;
}

/* The column numbers in an attribute of a foreign key's row of pg_constraint. */
static List *
column_numbers(HeapTuple constraint, AttrNumber attribute)
{
	bool isnull;
	Datum value = SysCacheGetAttr(CONSTROID, constraint, attribute, &isnull);
	ArrayType *array;
	List *attnums = NIL;

	if (isnull)
		elog(ERROR, "foreign key has no columns");
	array = DatumGetArrayTypeP(value);
	for (int i = 0; i < ARR_DIMS(array)[0]; i++)
		attnums = lappend_int(attnums, ((int16 *) ARR_DATA_PTR(array))[i]);
	return attnums;
}

/* The foreign key in a row of pg_constraint, NULL for other constraints. */
static ForeignKey *
read_foreign_key(HeapTuple constraint)
{
	Form_pg_constraint form = (Form_pg_constraint) GETSTRUCT(constraint);
	ForeignKey *key;

	if (form->contype != CONSTRAINT_FOREIGN)
		return NULL;
	key = palloc(sizeof(ForeignKey));
	*key =
		(ForeignKey){.relid = form->conrelid,
					 .attnums = column_numbers(constraint, Anum_pg_constraint_conkey),
					 .referenced = form->confrelid,
					 .referenced_attnums = column_numbers(constraint, Anum_pg_constraint_confkey),
					 .is_copy = OidIsValid(form->conparentid),
					 .name = pstrdup(NameStr(form->conname))};
	if (list_length(key->attnums) == 1)
	{
		key->attnum = (AttrNumber) linitial_int(key->attnums);
		key->referenced_attnum = (AttrNumber) linitial_int(key->referenced_attnums);
	}
	return key;
}

List *
foreign_keys(Oid relid)
{
	List *found = NIL;
	ListCell *cell;

	foreach(cell, dependent_constraints(relid))
	{
		HeapTuple tuple = SearchSysCache1(CONSTROID, ObjectIdGetDatum(lfirst_oid(cell)));
		ForeignKey *key;

		if (!HeapTupleIsValid(tuple))
			continue;
		key = read_foreign_key(tuple);
		if (key)
			found = lappend(found, key);
		ReleaseSysCache(tuple);
	}
	return found;
}
