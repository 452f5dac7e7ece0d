/*
 * codec.c
 *		The codec of one column of one relation: its setup.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "parser/parse_coerce.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "columns/expression.h"
#include "columns/expression_trust.h"
#include "columns/options.h"
#include "columns/target.h"
#include "core/api/scheme.h"
#include "support/run_as.h"
#include "values/codec.h"

/* Whether a type is a domain that forbids NULL, itself or a domain that it is made of. */
static bool
domain_not_null(Oid type)
{
	bool not_null = false;

	while (!not_null && get_typtype(type) == TYPTYPE_DOMAIN)
	{
		HeapTuple tuple = SearchSysCache1(TYPEOID, ObjectIdGetDatum(type));
		Form_pg_type domain;

		if (!HeapTupleIsValid(tuple))
			elog(ERROR, "cache lookup failed for type %u", type);
		domain = (Form_pg_type) GETSTRUCT(tuple);
		not_null = domain->typnotnull;
		type = domain->typbasetype;
		ReleaseSysCache(tuple);
	}
	return not_null;
}

/* Refuses parsed expressions that may not run as who they would run as. */
static void
refuse_foreign(const ColumnCodec *codec, const TargetColumn *target)
{
	if (codec->aad)
		expression_refuse_foreign(target, codec->aad->parsed, "AAD");
	if (codec->attribute)
		expression_refuse_foreign(target, codec->attribute->parsed, "attribute");
	if (codec->where)
		expression_refuse_foreign(target, codec->where->parsed, "where");
}

/*
 * Parses the target's expressions; what the parser leaves is freed. They belong to the
 * owner of the table they were given for, or to target->runs_as: the owner of a child
 * must not run them.
 */
static void
prepare_expressions(ColumnCodec *codec, const TargetColumn *target, EState *estate)
{
	const ColumnOptions *options = &target->options;
	MemoryContext scratch;
	MemoryContext caller;
	Oid userid;
	int security;

	if (target->aad == NULL && target->native_aad == NULL &&
		options->attribute_expression == NULL && options->where == NULL)
		return;
	codec->runs_as = column_runs_as(target);
	scratch = AllocSetContextCreate(CurrentMemoryContext, "dbcrypt parser", ALLOCSET_DEFAULT_SIZES);
	caller = MemoryContextSwitchTo(scratch);
	expressions_refuse_foreign(RelationGetRelid(codec->rel), target);

	GetUserIdAndSecContext(&userid, &security);
	SetUserIdAndSecContext(codec->runs_as, security);
	/* The AAD of dbcrypt_encrypt() is text. */
	if (target->aad)
		codec->aad = aad_prepare(
			aad_parse(codec->rel, codec->attnum, target->aad, codec->scheme == scheme_native()),
			estate);
	if (target->native_aad)
		codec->native_aad =
			aad_prepare(aad_parse(codec->rel, codec->attnum, target->native_aad, true), estate);
	if (options->attribute_expression)
		codec->attribute = expression_prepare(
			codec->rel, codec->attnum, options->attribute_expression, "attribute", TEXTOID, estate);
	if (options->where)
		codec->where =
			expression_prepare(codec->rel, codec->attnum, options->where, "where", BOOLOID, estate);
	refuse_foreign(codec, target);
	SetUserIdAndSecContext(userid, security);
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(scratch);
}

/*
 * The number of a companion column. Refuses one that is missing or that is not text or
 * bytea as the value's column is.
 */
static AttrNumber
companion_column(Relation rel, const TargetColumn *target, const char *name,
				 dbcrypt_encoding encoding)
{
	AttrNumber attnum = name ? get_attnum(RelationGetRelid(rel), name) : InvalidAttrNumber;

	if (attnum <= 0)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_COLUMN),
						errmsg("column \"%s\" of relation \"%s\" does not exist", name ? name : "",
							   RelationGetRelationName(rel)),
						errdetail("Scheme %s keeps a part of each value in it.",
								  dbcrypt_scheme_traits_of(target->scheme)->name),
						errhint("Undo its renaming, or call dbcrypt_unregister_column() and adopt "
								"the column again.")));
	if (column_encoding(rel, attnum) != encoding)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("columns \"%s\" and \"%s\" of table \"%s\" must both be text or both "
						"bytea",
						target->name, name, RelationGetRelationName(rel))));
	return attnum;
}

/* Finds the scheme's companion columns. */
static void
prepare_companions(ColumnCodec *codec, const TargetColumn *target)
{
	const dbcrypt_scheme_traits *traits = dbcrypt_scheme_traits_of(codec->scheme);

	if (traits->companion != DBCRYPT_COMPANION_NONE)
		codec->companion_attnum =
			companion_column(codec->rel, target, target->options.companion, codec->encoding);
	if (traits->salt)
		codec->salt_attnum =
			companion_column(codec->rel, target, target->options.salt, codec->encoding);
}

/* The UTF-8 of a name that a key is derived with; NULL for NULL. */
static const uint8_t *
utf8_of_name(const char *name, size_t *size)
{
	char *utf8 = name ? pg_server_to_any(name, (int) strlen(name), PG_UTF8) : NULL;

	*size = utf8 ? strlen(utf8) : 0;
	return (const uint8_t *) utf8;
}

void
codec_set_attribute(ColumnCodec *codec, const char *name)
{
	dbcrypt_context *context = &codec->context;

	context->attribute = utf8_of_name(options_attribute(name), &context->attribute_size);
}

/* Takes over the options that are the same for every row. */
static void
prepare_options(ColumnCodec *codec, const ColumnOptions *options)
{
	dbcrypt_context *context = &codec->context;

	context->table = utf8_of_name(options->table, &context->table_size);
	context->attribute = utf8_of_name(options->attribute, &context->attribute_size);
	context->recorded_key = options->key;
	context->plaintext_is_text = options_plaintext_is_text(options, codec->encoding);
	codec->json = options->json;
	codec->attribute_per_field =
		options->json && options->attribute == NULL && options->attribute_expression == NULL;
}

/* Takes over what the column's type demands of a new value. */
static void
prepare_type(ColumnCodec *codec, Form_pg_attribute attribute)
{
	Oid type = attribute->atttypid;
	int32 typmod = attribute->atttypmod;

	codec->type = getBaseTypeAndTypmod(type, &typmod);
	codec->domain = get_typtype(type) == TYPTYPE_DOMAIN ? type : InvalidOid;
	codec->domain_name = OidIsValid(codec->domain) ? format_type_be_qualified(type) : NULL;
	codec->not_null = attribute->attnotnull || domain_not_null(type);
	codec->max_characters = -1;
	if (codec->encoding == DBCRYPT_ENCODING_TEXT && typmod >= (int32) VARHDRSZ)
		codec->max_characters = typmod - VARHDRSZ;
}

void
codec_init(ColumnCodec *codec, Relation rel, const TargetColumn *target, EState *estate)
{
	memset(codec, 0, sizeof(*codec));
	codec->rel = rel;
	codec->attnum = get_attnum(RelationGetRelid(rel), target->name);
	codec->encoding = column_encoding(rel, codec->attnum);
	codec->context.encoding = codec->encoding;
	codec->scheme = target->scheme ? target->scheme : scheme_native();
	codec->econtext = GetPerTupleExprContext(estate);
	codec->query_context = estate->es_query_cxt;
	prepare_type(codec, TupleDescAttr(RelationGetDescr(rel), codec->attnum - 1));
	prepare_companions(codec, target);
	prepare_options(codec, &target->options);
	prepare_expressions(codec, target, estate);
}
