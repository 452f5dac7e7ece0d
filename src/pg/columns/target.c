/*
 * target.c
 *		The column that dbcrypt works on: its table, scheme, type and owner.
 */
#include "postgres.h"

#include "access/sysattr.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "optimizer/optimizer.h"
#include "rewrite/rewriteHandler.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "columns/options.h"
#include "columns/target.h"
#include "core/api/scheme.h"
#include "support/catalog.h"
#include "support/compat.h"
#include "support/errors.h"
#include "support/run_as.h"
#include "support/subtransaction.h"

TargetColumn
target_from_arguments(FunctionCallInfo fcinfo)
{
	return (TargetColumn){.relid = PG_GETARG_OID(0), .name = pstrdup(NameStr(*PG_GETARG_NAME(1)))};
}

bool
column_has_envelopes(const TargetColumn *target)
{
	return target->scheme == NULL || target->scheme == scheme_native();
}

bool
column_is_native(const TargetColumn *target)
{
	return column_has_envelopes(target) && target->options.where == NULL &&
		   target->options.json == NULL;
}

Oid
column_runs_as(const TargetColumn *target)
{
	return OidIsValid(target->runs_as) ? target->runs_as : owner_of(target->relid);
}

bool
column_names_key(const TargetColumn *target)
{
	return target->scheme == NULL || dbcrypt_scheme_traits_of(target->scheme)->names_key;
}

bool
column_fits_type(const TargetColumn *target, Oid type)
{
	const dbcrypt_scheme *scheme = target->scheme ? target->scheme : scheme_native();

	switch (getBaseType(type))
	{
		case JSONOID:
		case JSONBOID:
			return target->options.json != NULL;
		case TEXTOID:
		case VARCHAROID:
			return target->options.json == NULL && dbcrypt_scheme_traits_of(scheme)->text;
		case BYTEAOID:
			return target->options.json == NULL && dbcrypt_scheme_traits_of(scheme)->binary;
		default:
			return false;
	}
}

bool
column_is_authenticated(const TargetColumn *target)
{
	return target->scheme == NULL || dbcrypt_scheme_traits_of(target->scheme)->authenticated;
}

bool
column_take_refusal(TargetColumn *target, ErrorData *error)
{
	if (error == NULL)
		return false;
	if (!error_is_refusal(error))
		ReThrowError(error);
	target->problem = error_line(error);
	FreeErrorData(error);
	return true;
}

bool
column_may_decrypt(Relation rel, const char *column)
{
	AttrNumber attnum = get_attnum(RelationGetRelid(rel), column);
	Oid type = column_encoding(rel, attnum) == DBCRYPT_ENCODING_BINARY ? BYTEAOID : TEXTOID;

	return compat_may_execute(catalog_function("dbcrypt_decrypt", type, TEXTOID), GetUserId());
}

void
column_refresh_name(TargetColumn *target)
{
	HeapTuple attribute = SearchSysCacheAttNum(target->relid, target->attnum);
	char *table = get_rel_name(target->relid);

	if (!HeapTupleIsValid(attribute))
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_COLUMN),
						errmsg("column \"%s\" of relation \"%s\" does not exist", target->name,
							   table ? table : "?")));
	target->name = pstrdup(NameStr(((Form_pg_attribute) GETSTRUCT(attribute))->attname));
	ReleaseSysCache(attribute);
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

dbcrypt_encoding
column_encoding(Relation rel, AttrNumber attnum)
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
