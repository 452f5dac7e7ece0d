/*
 * columns.c
 *		Which columns dbcrypt works on: checks of a relation, and the registry
 *		dbcrypt_columns.
 *
 * A registry row names its column by table and attribute number, so that it
 * survives a rename, and by name, so that it survives a dump. The number is a
 * generated column, never dumped; an event trigger keeps the name.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/relation.h"
#include "access/sysattr.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/catalog.h"
#include "catalog/namespace.h"
#include "catalog/partition.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_inherits.h"
#include "commands/event_trigger.h"
#include "dbcrypt.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "optimizer/optimizer.h"
#include "rewrite/rewriteHandler.h"
#include "storage/lmgr.h"
#include "tcop/deparse_utility.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

PG_FUNCTION_INFO_V1(dbcrypt_register_column);
PG_FUNCTION_INFO_V1(dbcrypt_unregister_column);
PG_FUNCTION_INFO_V1(dbcrypt_column_number);
PG_FUNCTION_INFO_V1(dbcrypt_columns_follow);

/* Columns of dbcrypt_columns, in the order of the script. */
enum
{
	Anum_columns_table = 1,
	Anum_columns_column,
	Anum_columns_scheme,
	Anum_columns_aad,
	Anum_columns_options,
	Anum_columns_attnum,
	Natts_columns = Anum_columns_attnum
};

bool
column_is_native(const TargetColumn *target)
{
	return (target->scheme == NULL || target->scheme == scheme_native()) &&
		   target->options.where == NULL && target->options.json == NULL;
}

void
column_check_owner(Oid relid)
{
	char *name = get_rel_name(relid);

	if (name == NULL)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE),
						errmsg("relation with OID %u does not exist", relid)));
	if (!compat_owns_relation(relid, GetUserId()))
		aclcheck_error(ACLCHECK_NOT_OWNER, get_relkind_objtype(get_rel_relkind(relid)), name);
}

List *
column_lock_ancestors(Oid relid)
{
	List *ancestors = get_partition_ancestors(relid);

	for (int i = list_length(ancestors) - 1; i >= 0; i--)
		LockRelationOid(list_nth_oid(ancestors, i), AccessShareLock);
	return ancestors;
}

List *
column_members(Oid relid, LOCKMODE lockmode)
{
	List *members = list_make1_oid(relid);
	ListCell *cell;

	foreach(cell, members)
		members = list_concat_unique_oid(
			members,
			find_inheritance_children_extended(lfirst_oid(cell), false, lockmode, NULL, NULL));
	return members;
}

List *
column_lock_members(Oid relid, LOCKMODE lockmode)
{
	List *members;
	ListCell *cell;

	(void) column_lock_ancestors(relid);
	LockRelationOid(relid, lockmode);
	if (!SearchSysCacheExists1(RELOID, ObjectIdGetDatum(relid)))
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE),
						errmsg("relation with OID %u does not exist", relid)));
	members = column_members(relid, lockmode);
	foreach(cell, members)
		if (lfirst_oid(cell) != relid && isOtherTempNamespace(get_rel_namespace(lfirst_oid(cell))))
			members = foreach_delete_current(members, cell);
	return members;
}

/* Refuses everything but tables, saying why. */
static void
check_relkind(Relation rel)
{
	const char *name = RelationGetRelationName(rel);
	const char *kind;

	switch (rel->rd_rel->relkind)
	{
		case RELKIND_RELATION:
		case RELKIND_PARTITIONED_TABLE:
			kind = NULL;
			break;
		case RELKIND_VIEW:
			kind = "a view";
			break;
		case RELKIND_MATVIEW:
			kind = "a materialized view";
			break;
		case RELKIND_FOREIGN_TABLE:
			kind = "a foreign table";
			break;
		default:
			kind = "not a table";
			break;
	}
	if (kind)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE), errmsg("dbcrypt cannot work on \"%s\"", name),
				 errdetail("It is %s.", kind)));
	if (IsSystemRelation(rel))
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
						errmsg("dbcrypt cannot work on \"%s\"", name),
						errdetail("It is a system catalog.")));
	if (RELATION_IS_OTHER_TEMP(rel))
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						errmsg("dbcrypt cannot work on \"%s\"", name),
						errdetail("It is a temporary table of another session.")));
	if (RelationGetRelid(rel) == catalog_relation("dbcrypt_keys") ||
		RelationGetRelid(rel) == catalog_relation("dbcrypt_columns"))
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE), errmsg("dbcrypt cannot work on \"%s\"", name),
				 errdetail("It is a table of the extension itself.")));
}

Bitmapset *
column_dependents(Relation rel, AttrNumber attnum)
{
	TupleDesc desc = RelationGetDescr(rel);
	int self = attnum - FirstLowInvalidHeapAttributeNumber;
	Bitmapset *changed = bms_make_singleton(self);

	for (int i = 0; i < desc->natts; i++)
	{
		Bitmapset *sources = NULL;

		if (TupleDescAttr(desc, i)->attgenerated != ATTRIBUTE_GENERATED_STORED)
			continue;
		pull_varattnos(build_column_default(rel, i + 1), 1, &sources);
		if (bms_is_member(self, sources))
			changed = bms_add_member(changed, i + 1 - FirstLowInvalidHeapAttributeNumber);
	}
	return changed;
}

/*
 * Name of a foreign key, on either side, that a change of the column would
 * touch, or NULL. Values of such a column must equal values elsewhere: no
 * rewrite may skip the foreign key's triggers.
 */
static char *
foreign_key_of(Relation rel, AttrNumber attnum)
{
	Bitmapset *changed = column_dependents(rel, attnum);
	Relation constraints = table_open(ConstraintRelationId, AccessShareLock);
	SysScanDesc scan = systable_beginscan(constraints, InvalidOid, false, NULL, 0, NULL);
	HeapTuple tuple;
	char *name = NULL;

	while (name == NULL && HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_constraint constraint = (Form_pg_constraint) GETSTRUCT(tuple);
		int sides[] = {Anum_pg_constraint_conkey, Anum_pg_constraint_confkey};
		Oid relids[] = {constraint->conrelid, constraint->confrelid};

		if (constraint->contype != CONSTRAINT_FOREIGN)
			continue;
		for (size_t i = 0; i < lengthof(sides); i++)
		{
			bool isnull;
			Datum keys;
			ArrayType *array;

			if (relids[i] != RelationGetRelid(rel))
				continue;
			keys = heap_getattr(tuple, sides[i], RelationGetDescr(constraints), &isnull);
			if (isnull)
				continue;
			array = DatumGetArrayTypeP(keys);
			for (int j = 0; j < ARR_DIMS(array)[0]; j++)
				if (bms_is_member(((int16 *) ARR_DATA_PTR(array))[j] -
									  FirstLowInvalidHeapAttributeNumber,
								  changed))
					name = pstrdup(NameStr(constraint->conname));
		}
	}
	systable_endscan(scan);
	table_close(constraints, AccessShareLock);
	return name;
}

dbcrypt_encoding
column_form(Relation rel, AttrNumber attnum)
{
	Form_pg_attribute attribute = TupleDescAttr(RelationGetDescr(rel), attnum - 1);

	switch (getBaseType(attribute->atttypid))
	{
		case TEXTOID:
		case VARCHAROID:
		case JSONOID:
		case JSONBOID:
			return DBCRYPT_ENCODING_TEXT;
		case BYTEAOID:
			return DBCRYPT_ENCODING_BINARY;
		default:
			ereport(ERROR, (errcode(ERRCODE_DATATYPE_MISMATCH),
							errmsg("column \"%s\" of table \"%s\" is of type %s",
								   NameStr(attribute->attname), RelationGetRelationName(rel),
								   format_type_be(attribute->atttypid)),
							errhint("Encrypted columns are of type text, varchar or bytea.")));
	}
}

/* Refuses JSON without the option that says which of its fields are values, and the reverse. */
static void
check_json(Relation rel, AttrNumber attnum, const TargetColumn *target)
{
	Form_pg_attribute attribute = TupleDescAttr(RelationGetDescr(rel), attnum - 1);
	Oid type = getBaseType(attribute->atttypid);
	bool is_json = type == JSONOID || type == JSONBOID;

	if (is_json == (target->options.json != NULL))
		return;
	ereport(ERROR, (errcode(ERRCODE_DATATYPE_MISMATCH),
					errmsg("column \"%s\" of table \"%s\" is of type %s", target->name,
						   RelationGetRelationName(rel), format_type_be(attribute->atttypid)),
					errhint("Encrypted columns are of type text, varchar or bytea; fields of json "
							"and jsonb are adopted with dbcrypt_adopt().")));
}

/* Refuses a column that decides in which partition a row lies. */
static void
check_partition_key(Relation rel, const char *column)
{
	AttrNumber attnum = get_attnum(RelationGetRelid(rel), column);

	if (rel->rd_rel->relkind == RELKIND_PARTITIONED_TABLE &&
		has_partition_attrs(rel, bms_make_singleton(attnum - FirstLowInvalidHeapAttributeNumber),
							NULL))
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						errmsg("column \"%s\" is part of the partition key of table \"%s\"", column,
							   RelationGetRelationName(rel))));
}

/* The columns that an expression of a registered column reads, as its owner sees them. */
static Bitmapset *
inputs_of_column(Relation rel, AttrNumber attnum, const TargetColumn *target)
{
	const ColumnOptions *options = &target->options;
	Bitmapset *inputs = NULL;
	OwnerContext saved;

	owner_enter(owner_of(target->relid), &saved);
	if (target->aad)
		inputs = expression_inputs(rel, attnum, target->aad, "AAD", TEXTOID);
	if (options->attribute_expression)
		inputs =
			bms_add_members(inputs, expression_inputs(rel, attnum, options->attribute_expression,
													  "attribute", TEXTOID));
	if (options->where)
		inputs = bms_add_members(inputs,
								 expression_inputs(rel, attnum, options->where, "where", BOOLOID));
	owner_leave(&saved);
	return inputs;
}

/*
 * Refuses a column that the AAD or another expression of a registered column
 * reads, of this table or of a parent: after a change of it nobody could open the
 * other's values.
 */
static void
check_not_read(Relation rel, AttrNumber attnum, AttrNumber companion)
{
	Bitmapset *changed = column_dependents(rel, attnum);
	ListCell *cell;

	if (companion != InvalidAttrNumber)
		changed = bms_add_members(changed, column_dependents(rel, companion));
	foreach(cell, columns_registered())
	{
		TargetColumn *other = lfirst(cell);
		AttrNumber other_attnum = get_attnum(RelationGetRelid(rel), other->name);

		if (other_attnum <= 0 || other_attnum == attnum ||
			!list_member_oid(column_members(other->relid, NoLock), RelationGetRelid(rel)))
			continue;
		if (other->options.companion &&
			get_attnum(RelationGetRelid(rel), other->options.companion) == attnum)
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("column \"%s\" of table \"%s\" is the companion of column \"%s\"",
							other->options.companion, RelationGetRelationName(rel), other->name)));
		if (bms_overlap(inputs_of_column(rel, other_attnum, other), changed))
			ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
							errmsg("column \"%s\" of table \"%s\" is part of the AAD of column "
								   "\"%s\"",
								   get_attname(RelationGetRelid(rel), attnum, false),
								   RelationGetRelationName(rel), other->name),
							errdetail("After a change of it the other's values would not "
									  "decrypt.")));
	}
}

/* The same for the ancestors of a partition. */
static void
check_partition_keys(Relation rel, const char *column)
{
	ListCell *cell;

	check_partition_key(rel, column);
	if (!rel->rd_rel->relispartition)
		return;
	foreach(cell, get_partition_ancestors(RelationGetRelid(rel)))
	{
		Relation ancestor = relation_open(lfirst_oid(cell), AccessShareLock);

		check_partition_key(ancestor, column);
		relation_close(ancestor, AccessShareLock);
	}
}

/* Number of the target's companion column, 0 for none; refuses one that cannot be written. */
static AttrNumber
check_companion(Relation rel, AttrNumber attnum, const TargetColumn *target)
{
	const char *companion = target->options.companion;
	AttrNumber companion_attnum;
	Form_pg_attribute attribute;
	const char *reason = NULL;

	if (companion == NULL)
		return InvalidAttrNumber;
	companion_attnum = get_attnum(RelationGetRelid(rel), companion);
	if (companion_attnum <= 0)
		return InvalidAttrNumber; /* cipher_init says more */
	attribute = TupleDescAttr(RelationGetDescr(rel), companion_attnum - 1);
	if (companion_attnum == attnum)
		reason = "It is the encrypted column itself.";
	else if (attribute->atttypid != TEXTOID && attribute->atttypid != VARCHAROID &&
			 attribute->atttypid != BYTEAOID)
		reason = "It is not of type text, varchar or bytea.";
	else if (attribute->attgenerated != '\0')
		reason = "It is a generated column.";
	else if (column_registered(RelationGetRelid(rel), companion_attnum))
		reason = "It is an encrypted column.";
	if (reason)
		ereport(ERROR, (errcode(ERRCODE_DATATYPE_MISMATCH),
						errmsg("column \"%s\" of table \"%s\" cannot be the companion of column "
							   "\"%s\"",
							   companion, RelationGetRelationName(rel), target->name),
						errdetail("%s", reason)));
	check_partition_keys(rel, companion);
	appkeys_check(rel, companion_attnum);
	return companion_attnum;
}

AttrNumber
column_check_relation(Relation rel, const TargetColumn *target)
{
	const char *column = target->name;
	AttrNumber attnum;
	char *foreign_key;

	check_relkind(rel);
	attnum = get_attnum(RelationGetRelid(rel), column);
	if (attnum == InvalidAttrNumber)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_COLUMN),
						errmsg("column \"%s\" of relation \"%s\" does not exist", column,
							   RelationGetRelationName(rel))));
	if (attnum < 0)
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						errmsg("column \"%s\" is a system column", column)));
	(void) column_form(rel, attnum);
	check_json(rel, attnum, target);
	if (TupleDescAttr(RelationGetDescr(rel), attnum - 1)->attgenerated != '\0')
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						errmsg("column \"%s\" of table \"%s\" is a generated column", column,
							   RelationGetRelationName(rel))));

	check_partition_keys(rel, column);
	foreign_key = foreign_key_of(rel, attnum);
	if (foreign_key)
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						errmsg("column \"%s\" of table \"%s\" is part of foreign key \"%s\"",
							   column, RelationGetRelationName(rel), foreign_key)));
	check_not_read(rel, attnum, check_companion(rel, attnum, target));
	return attnum;
}

/*
 * One row of dbcrypt_columns; its name is NULL if its table or column is gone.
 * Unless whole, only what names the column is read.
 */
static TargetColumn *
read_row(HeapTuple tuple, TupleDesc desc, bool whole)
{
	TargetColumn *target = palloc0(sizeof(TargetColumn));
	Datum values[Natts_columns];
	bool nulls[Natts_columns];
	HeapTuple attribute;

	heap_deform_tuple(tuple, desc, values, nulls);
	target->relid = DatumGetObjectId(values[Anum_columns_table - 1]);
	target->attnum = DatumGetInt16(values[Anum_columns_attnum - 1]);
	attribute = SearchSysCacheAttNum(target->relid, target->attnum);
	if (HeapTupleIsValid(attribute))
	{
		target->name = pstrdup(NameStr(((Form_pg_attribute) GETSTRUCT(attribute))->attname));
		ReleaseSysCache(attribute);
	}
	target->registered_name = pstrdup(NameStr(*DatumGetName(values[Anum_columns_column - 1])));
	if (whole)
	{
		target->aad =
			nulls[Anum_columns_aad - 1] ? NULL : TextDatumGetCString(values[Anum_columns_aad - 1]);
		target->scheme = scheme_named(TextDatumGetCString(values[Anum_columns_scheme - 1]));
		options_read(DatumGetJsonbP(values[Anum_columns_options - 1]), &target->options);
	}
	return target;
}

static int
compare_targets(const ListCell *a, const ListCell *b)
{
	const TargetColumn *left = lfirst(a);
	const TargetColumn *right = lfirst(b);

	if (left->relid != right->relid)
		return left->relid < right->relid ? -1 : 1;
	return left->attnum - right->attnum;
}

/* Every row of dbcrypt_columns, as read_row reads it. */
static List *
read_registry(bool whole)
{
	Oid relid = catalog_relation("dbcrypt_columns");
	List *targets = NIL;
	Relation rel;
	SysScanDesc scan;
	HeapTuple tuple;

	if (!OidIsValid(relid))
		return NIL;
	rel = table_open(relid, AccessShareLock);
	scan = systable_beginscan(rel, InvalidOid, false, NULL, 0, NULL);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
		targets = lappend(targets, read_row(tuple, RelationGetDescr(rel), whole));
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	list_sort(targets, compare_targets);
	return targets;
}

List *
columns_registered(void)
{
	List *targets = read_registry(true);
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
	values[1] = DirectFunctionCall1(namein, CStringGetDatum(target->name));
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
column_resolve(TargetColumn *target)
{
	TargetColumn *registered = column_covering(target->relid, target->name);

	if (registered == NULL)
		return;
	if (registered->relid != target->relid)
		target->runs_as = owner_of(registered->relid);
	target->scheme = registered->scheme;
	target->options = registered->options;
	if (target->aad == NULL)
		target->aad = registered->aad;
	else if (registered->aad == NULL || strcmp(target->aad, registered->aad) != 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("column \"%s\" of table \"%s\" is registered with another AAD "
							   "expression",
							   target->name, get_rel_name(target->relid)),
						errdetail("Registered: %s.", registered->aad ? registered->aad : "none"),
						errhint("Omit aad, or call dbcrypt_unregister_column() first.")));
}

/* dbcrypt_register_column("table" regclass, "column" name, aad text) */
Datum
dbcrypt_register_column(PG_FUNCTION_ARGS)
{
	TargetColumn target = {.relid = PG_GETARG_OID(0)};
	Relation rel;
	OwnerContext saved;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
						errmsg("table and column must not be null")));
	target.name = NameStr(*PG_GETARG_NAME(1));
	target.aad = PG_ARGISNULL(2) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(2));

	column_check_owner(target.relid);
	rel = relation_open(target.relid, AccessShareLock);
	column_check_owner(target.relid);
	target.attnum = column_check_relation(rel, &target);
	if (rel->rd_rel->relpersistence == RELPERSISTENCE_TEMP)
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						errmsg("columns of temporary tables cannot be registered")));
	owner_enter(rel->rd_rel->relowner, &saved);
	(void) aad_parse(rel, target.attnum, target.aad);
	owner_leave(&saved);
	column_resolve(&target);
	target.runs_as = InvalidOid;

	SPI_connect();
	column_register(&target);
	SPI_finish();
	relation_close(rel, NoLock);
	PG_RETURN_VOID();
}

/* dbcrypt_unregister_column("table" regclass, "column" name) */
Datum
dbcrypt_unregister_column(PG_FUNCTION_ARGS)
{
	Oid relid = PG_GETARG_OID(0);
	char *column = NameStr(*PG_GETARG_NAME(1));
	bool unregistered;

	column_check_owner(relid);
	SPI_connect();
	unregistered = column_unregister(relid, get_attnum(relid, column));
	SPI_finish();
	if (!unregistered)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
						errmsg("column \"%s\" of table \"%s\" is not registered", column,
							   get_rel_name(relid))));
	PG_RETURN_VOID();
}

/* dbcrypt_column_number("table" regclass, "column" name): what dbcrypt_columns keeps. */
Datum
dbcrypt_column_number(PG_FUNCTION_ARGS)
{
	Oid relid = PG_GETARG_OID(0);
	char *column = NameStr(*PG_GETARG_NAME(1));
	AttrNumber attnum = get_attnum(relid, column);

	if (attnum <= 0)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_COLUMN),
						errmsg("column \"%s\" of relation \"%s\" does not exist", column,
							   get_rel_name(relid) ? get_rel_name(relid) : "?")));
	PG_RETURN_INT16(attnum);
}

/* Whether the registry has a row for the column. */
static bool
is_listed(const List *registry, Oid relid, AttrNumber attnum)
{
	ListCell *cell;

	foreach(cell, registry)
	{
		const TargetColumn *target = lfirst(cell);

		if (target->relid == relid && target->attnum == attnum)
			return true;
	}
	return false;
}

/*
 * Registers for itself the column of a relation that was registered through
 * another, its parent. Refuses to hand an expression to another owner, in whose
 * name it would run.
 */
static void
copy_registration(const List *registry, const TargetColumn *target, Oid relid)
{
	Oid types[] = {REGCLASSOID, INT2OID, REGCLASSOID};
	Datum values[3];
	char relkind = get_rel_relkind(relid);
	const char *columns = catalog_relation_name("dbcrypt_columns");

	if ((relkind != RELKIND_RELATION && relkind != RELKIND_PARTITIONED_TABLE) ||
		get_rel_persistence(relid) == RELPERSISTENCE_TEMP ||
		is_listed(registry, relid, get_attnum(relid, target->registered_name)))
		return;
	values[0] = ObjectIdGetDatum(target->relid);
	values[1] = Int16GetDatum(target->attnum);
	values[2] = ObjectIdGetDatum(relid);
	if (owner_of(relid) != owner_of(target->relid) &&
		catalog_execute(psprintf("SELECT FROM %s WHERE \"table\" = $1 AND attnum = $2 "
								 "AND (aad IS NOT NULL OR options <> '{}')",
								 columns),
						2, types, values, NULL, SPI_OK_SELECT) > 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table \"%s\" leaves table \"%s\", which has another owner and "
						"with which its column \"%s\" is registered",
						get_rel_name(relid), get_rel_name(target->relid), target->registered_name),
				 errdetail("The column's AAD expression would run as the owner of \"%s\".",
						   get_rel_name(relid)),
				 errhint("Have that owner call dbcrypt_register_column() first, or give "
						 "both tables one owner.")));
	(void) catalog_execute(
		psprintf("INSERT INTO %1$s (\"table\", \"column\", aad, scheme, options) "
				 "SELECT $3, \"column\", aad, scheme, options FROM %1$s "
				 "WHERE \"table\" = $1 AND attnum = $2 ON CONFLICT DO NOTHING",
				 columns),
		3, types, values, NULL, SPI_OK_INSERT);
}

/*
 * A child has left its parent: what was registered for it through the parent is
 * now registered for itself, so that a revocation still looks at its values.
 * Refuses if the child is not known (InvalidOid).
 */
static void
register_detached(Oid parent, Oid child)
{
	List *registry = read_registry(false);
	ListCell *cell;

	foreach(cell, registry)
	{
		TargetColumn *target = lfirst(cell);

		if (target->name == NULL || !list_member_oid(column_members(target->relid, NoLock), parent))
			continue;
		if (!OidIsValid(child))
			ereport(ERROR, (errcode(ERRCODE_OBJECT_IN_USE),
							errmsg("a partition of table \"%s\" was renamed while it was detached",
								   get_rel_name(parent)),
							errhint("Run ALTER TABLE ... DETACH PARTITION ... FINALIZE.")));
		copy_registration(registry, target, child);
	}
}

/* Registers what the command has taken out of a partitioned or parent table. */
static void
follow_detached(void)
{
	SPITupleTable *commands;

	if (SPI_execute("SELECT command FROM pg_catalog.pg_event_trigger_ddl_commands()", false, 0) !=
		SPI_OK_SELECT)
		elog(ERROR, "the commands of an event trigger could not be read");
	commands = SPI_tuptable;
	for (uint64 i = 0; i < commands->numvals; i++)
	{
		bool isnull;
		CollectedCommand *command = (CollectedCommand *) DatumGetPointer(
			SPI_getbinval(commands->vals[i], commands->tupdesc, 1, &isnull));
		Oid altered;
		ListCell *cell;

		if (command->type != SCT_AlterTable)
			continue;
		altered = command->d.alterTable.objectId;
		foreach(cell, command->d.alterTable.subcmds)
		{
			CollectedATSubcmd *collected = lfirst(cell);
			AlterTableCmd *subcommand = castNode(AlterTableCmd, collected->parsetree);

			switch (subcommand->subtype)
			{
				case AT_DetachPartition:
				case AT_DetachPartitionFinalize:
					/* PostgreSQL collects no OID of it. */
					register_detached(
						altered, RangeVarGetRelid(castNode(PartitionCmd, subcommand->def)->name,
												  NoLock, true));
					break;
				case AT_DropInherit:
					register_detached(collected->address.objectId, altered);
					break;
				default:
					break;
			}
		}
	}
}

/* A column was dropped of its table alone (ALTER TABLE ONLY): its children's are registered. */
static void
keep_children(const List *registry, const TargetColumn *target)
{
	ListCell *cell;

	if (!SearchSysCacheExists1(RELOID, ObjectIdGetDatum(target->relid)))
		return;
	foreach(cell, column_members(target->relid, NoLock))
		if (get_attnum(lfirst_oid(cell), target->registered_name) > 0)
			copy_registration(registry, target, lfirst_oid(cell));
}

/*
 * Event trigger after DDL: dbcrypt_columns follows renames, drops, and children that
 * leave their parents.
 */
Datum
dbcrypt_columns_follow(PG_FUNCTION_ARGS)
{
	List *registry;
	ListCell *cell;

	if (!CALLED_AS_EVENT_TRIGGER(fcinfo))
		ereport(ERROR, (errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
						errmsg("dbcrypt_columns_follow must be called as an event trigger")));

	SPI_connect();
	registry = read_registry(false);
	foreach(cell, registry)
	{
		TargetColumn *target = lfirst(cell);
		Oid types[] = {REGCLASSOID, INT2OID, NAMEOID};
		Datum values[3];

		values[0] = ObjectIdGetDatum(target->relid);
		values[1] = Int16GetDatum(target->attnum);
		if (target->name == NULL)
		{
			keep_children(registry, target);
			(void) column_unregister(target->relid, target->attnum);
		}
		else if (strcmp(target->name, target->registered_name) != 0)
		{
			values[2] = DirectFunctionCall1(namein, CStringGetDatum(target->name));
			(void) catalog_execute(psprintf("UPDATE %s SET \"column\" = $3 "
											"WHERE \"table\" = $1 AND attnum = $2",
											catalog_relation_name("dbcrypt_columns")),
								   3, types, values, NULL, SPI_OK_UPDATE);
		}
	}
	if (strcmp(castNode(EventTriggerData, fcinfo->context)->event, "ddl_command_end") == 0)
		follow_detached();
	SPI_finish();
	PG_RETURN_NULL();
}
