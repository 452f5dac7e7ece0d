/*
 * eligibility.c
 *		Which columns dbcrypt can work on, and why not the others.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/relation.h"
#include "access/sysattr.h"
#include "catalog/catalog.h"
#include "catalog/partition.h"
#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "columns/application_catalog.h"
#include "columns/eligibility.h"
#include "columns/expression.h"
#include "columns/expression_trust.h"
#include "columns/foreign_keys.h"
#include "columns/members.h"
#include "columns/options.h"
#include "columns/registry.h"
#include "columns/target.h"
#include "support/catalog.h"
#include "support/remote_members.h"
#include "support/run_as.h"

/* Refuses everything but tables with rows that this session can see. */
static void
check_relkind(Relation rel)
{
	const char *name = RelationGetRelationName(rel);
	const char *kind;
	char *remote;

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
	remote = remote_member_reason(RelationGetRelid(rel));
	if (remote)
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						errmsg("dbcrypt cannot work on \"%s\"", name),
						errdetail("Its values are elsewhere: %s.", remote)));
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

/* Whether any of some columns of a foreign key is in a set, offset as in pull_varattnos. */
static bool
any_in_set(const List *attnums, const Bitmapset *set)
{
	ListCell *cell;

	foreach(cell, attnums)
		if (bms_is_member(lfirst_int(cell) - FirstLowInvalidHeapAttributeNumber, set))
			return true;
	return false;
}

/*
 * Refuses a column of a foreign key, on either side, and one from which such a
 * column is generated: its values must equal values elsewhere, and a rewrite of the
 * table would skip the foreign key's triggers.
 */
static void
check_foreign_keys(Relation rel, AttrNumber attnum)
{
	Oid relid = RelationGetRelid(rel);
	Bitmapset *changed = column_dependents(rel, attnum);
	ListCell *cell;

	foreach(cell, foreign_keys(relid))
	{
		const ForeignKey *key = lfirst(cell);

		if ((key->relid == relid && any_in_set(key->attnums, changed)) ||
			(key->referenced == relid && any_in_set(key->referenced_attnums, changed)))
			ereport(
				ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("column \"%s\" of table \"%s\" is part of foreign key \"%s\"",
						get_attname(relid, attnum, false), RelationGetRelationName(rel), key->name),
				 errdetail("The values on both sides of a foreign key must stay equal.")));
	}
}

/* The option json, which says which fields are values, is for JSON types and only for them. */
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
							   RelationGetRelationName(rel)),
						errdetail("Another value may belong in another partition.")));
}

/* Refuses it in the relation and in the partitioned tables above it. */
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

/* The columns that the expressions of a registered column read, as its owner sees them. */
static Bitmapset *
inputs_of_column(Relation rel, AttrNumber attnum, const TargetColumn *target)
{
	const ColumnOptions *options = &target->options;
	Bitmapset *inputs = NULL;
	RunAsContext saved;

	expressions_refuse_foreign(RelationGetRelid(rel), target);
	run_as_owner(owner_of(target->relid), &saved);
	if (target->aad)
		inputs = expression_inputs(rel, attnum, target->aad, "AAD", TEXTOID);
	if (options->attribute_expression)
		inputs =
			bms_add_members(inputs, expression_inputs(rel, attnum, options->attribute_expression,
													  "attribute", TEXTOID));
	if (options->where)
		inputs = bms_add_members(inputs,
								 expression_inputs(rel, attnum, options->where, "where", BOOLOID));
	run_as_restore(&saved);
	return inputs;
}

/*
 * Refuses a column, or its companion, that is the companion of another column: a rotation
 * of one would change what the other's values are opened with.
 */
static void
check_companions_differ(Relation rel, AttrNumber attnum, AttrNumber companion,
						const TargetColumn *other)
{
	const char *const others[] = {other->options.companion, other->options.salt};
	const char *name = RelationGetRelationName(rel);

	for (int i = 0; i < lengthof(others); i++)
	{
		AttrNumber taken =
			others[i] ? get_attnum(RelationGetRelid(rel), others[i]) : InvalidAttrNumber;

		if (taken == attnum)
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("column \"%s\" of table \"%s\" is the companion column of column "
							"\"%s\"",
							others[i], name, other->name)));
		if (taken == companion && taken != InvalidAttrNumber)
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("columns \"%s\" and \"%s\" of table \"%s\" have the same companion "
							"column \"%s\"",
							get_attname(RelationGetRelid(rel), attnum, false), other->name, name,
							others[i]),
					 errdetail("It belongs to the values of one column: a rotation of the other "
							   "would make these unreadable."),
					 errhint("Name the companion column that each has in its option, or call "
							 "dbcrypt_unregister_column() for the one that was registered by "
							 "mistake.")));
	}
}

/*
 * Refuses a column that an expression of another registered column reads, its AAD for
 * one: after a change the other's values could not be decrypted. Looks at the columns
 * of this table and of its parents. companion and salt are the column's companion
 * columns, or 0.
 */
static void
check_not_read(Relation rel, AttrNumber attnum, AttrNumber companion, AttrNumber salt)
{
	Bitmapset *changed = column_dependents(rel, attnum);
	ListCell *cell;

	if (companion != InvalidAttrNumber)
		changed = bms_add_members(changed, column_dependents(rel, companion));
	if (salt != InvalidAttrNumber)
		changed = bms_add_members(changed, column_dependents(rel, salt));
	foreach(cell, columns_over(RelationGetRelid(rel)))
	{
		TargetColumn *other = lfirst(cell);
		AttrNumber other_attnum = get_attnum(RelationGetRelid(rel), other->name);

		if (other_attnum <= 0 || other_attnum == attnum)
			continue;
		check_companions_differ(rel, attnum, companion, other);
		check_companions_differ(rel, attnum, salt, other);
		if (bms_overlap(inputs_of_column(rel, other_attnum, other), changed))
			ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
							errmsg("column \"%s\" of table \"%s\" is read by an expression of "
								   "column \"%s\"",
								   get_attname(RelationGetRelid(rel), attnum, false),
								   RelationGetRelationName(rel), other->name),
							errdetail("After a change, the values of column \"%s\" could not be "
									  "decrypted.",
									  other->name)));
	}
}

/* Number of a companion column of the target, 0 for none; refuses one that cannot be written. */
static AttrNumber
check_companion(Relation rel, AttrNumber attnum, const TargetColumn *target, const char *companion)
{
	AttrNumber companion_attnum;
	Form_pg_attribute attribute;
	const char *reason = NULL;

	if (companion == NULL)
		return InvalidAttrNumber;
	companion_attnum = get_attnum(RelationGetRelid(rel), companion);
	if (companion_attnum <= 0)
		return InvalidAttrNumber; /* reported by codec_init */
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
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("column \"%s\" of table \"%s\" cannot be the companion column of column "
						"\"%s\"",
						companion, RelationGetRelationName(rel), target->name),
				 errdetail("%s", reason)));
	check_partition_keys(rel, companion);
	(void) application_catalog_of(RelationGetRelid(rel), companion_attnum);
	return companion_attnum;
}

AttrNumber
column_check_relation(Relation rel, const TargetColumn *target)
{
	const char *column = target->name;
	AttrNumber attnum;

	check_relkind(rel);
	attnum = get_attnum(RelationGetRelid(rel), column);
	if (attnum == InvalidAttrNumber)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_COLUMN),
						errmsg("column \"%s\" of relation \"%s\" does not exist", column,
							   RelationGetRelationName(rel))));
	if (attnum < 0)
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						errmsg("column \"%s\" is a system column", column)));
	(void) column_encoding(rel, attnum);
	check_json(rel, attnum, target);
	if (TupleDescAttr(RelationGetDescr(rel), attnum - 1)->attgenerated != '\0')
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						errmsg("column \"%s\" of table \"%s\" is a generated column", column,
							   RelationGetRelationName(rel))));

	check_partition_keys(rel, column);
	check_foreign_keys(rel, attnum);
	check_not_read(rel, attnum, check_companion(rel, attnum, target, target->options.companion),
				   check_companion(rel, attnum, target, target->options.salt));
	return attnum;
}
