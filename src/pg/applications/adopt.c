/*
 * adopt.c
 *		dbcrypt_adopt: a column of another application's scheme is registered as
 *		it is.
 */
#include "postgres.h"

#include "access/relation.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "nodes/execnodes.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
#include "utils/tuplestore.h"

#include "applications/adopt.h"
#include "columns/opening.h"
#include "columns/options.h"
#include "columns/registry.h"
#include "columns/target.h"
#include "core/api/scheme.h"
#include "keys/session_keyring.h"
#include "rows/column_scan.h"
#include "support/arguments.h"
#include "support/catalog.h"
#include "support/compat.h"
#include "support/errors.h"
#include "values/codec_inspect.h"

PG_FUNCTION_INFO_V1(dbcrypt_adopt);

/* How many values must decrypt before a column is adopted. */
#define SAMPLE_VALUES 1000

/* The option that names the companion column, and that column's default name. */
static const struct
{
	const char *option;
	const char *suffix; /* the default is the value's column and this; NULL: it is … */
	const char *name;	/* … this name */
} companions[] = {
	[DBCRYPT_COMPANION_NONE] = {NULL, NULL, NULL},
	[DBCRYPT_COMPANION_KEY_ID] = {"key_id", "_key_id", NULL},
	[DBCRYPT_COMPANION_IV] = {"iv", "_iv", NULL},
	[DBCRYPT_COMPANION_NONCE] = {"nonce", NULL, "nonce"},
};

/* Sets one option; false for a name that the scheme does not know. */
static bool
set_option(const dbcrypt_scheme_traits *traits, const char *name, char *value, TargetColumn *target)
{
	ColumnOptions *options = &target->options;

	if (strcmp(name, "where") == 0)
		options->where = value;
	else if (strcmp(name, "json") == 0 && traits->companion == DBCRYPT_COMPANION_NONE)
		options->json = value;
	else if (strcmp(name, "aad") == 0 && traits->aad)
		target->aad = value;
	else if (strcmp(name, "table") == 0 && traits->hkdf)
		options->table = value;
	else if (strcmp(name, "attribute") == 0 && traits->hkdf)
		options->attribute = options_attribute(value);
	else if (strcmp(name, "attribute_expression") == 0 && traits->hkdf)
		options->attribute_expression = value;
	else if (companions[traits->companion].option &&
			 strcmp(name, companions[traits->companion].option) == 0)
		options->companion = value;
	else
		return false;
	return true;
}

/* Reads the options that the caller gave; each is a string. */
static void
read_options(Jsonb *given, TargetColumn *target)
{
	const dbcrypt_scheme_traits *traits = dbcrypt_scheme_traits_of(target->scheme);
	JsonbIterator *iterator = JsonbIteratorInit(&given->root);
	JsonbIteratorToken token;
	JsonbValue item;
	char *name;

	if (!JB_ROOT_IS_OBJECT(given))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("options must be a JSON object")));
	while ((token = JsonbIteratorNext(&iterator, &item, true)) != WJB_DONE)
	{
		if (token != WJB_KEY)
			continue;
		name = pnstrdup(item.val.string.val, item.val.string.len);
		(void) JsonbIteratorNext(&iterator, &item, true);
		if (item.type != jbvString)
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
							errmsg("option \"%s\" must be a string", name)));
		if (!set_option(traits, name, pnstrdup(item.val.string.val, item.val.string.len), target))
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
							errmsg("scheme %s has no option \"%s\"", traits->name, name),
							errhint("Options are where%s%s%s%s%s.",
									traits->companion == DBCRYPT_COMPANION_NONE ? ", json" : "",
									traits->aad ? ", aad" : "",
									traits->hkdf ? ", table, attribute, attribute_expression" : "",
									companions[traits->companion].option ? ", " : "",
									companions[traits->companion].option
										? companions[traits->companion].option
										: "")));
	}
}

/* Fills in what the application itself would use. */
static void
default_options(TargetColumn *target)
{
	const dbcrypt_scheme_traits *traits = dbcrypt_scheme_traits_of(target->scheme);
	ColumnOptions *options = &target->options;

	if (options->companion == NULL && traits->companion != DBCRYPT_COMPANION_NONE)
	{
		if (companions[traits->companion].suffix)
			options->companion =
				psprintf("%s%s", target->name, companions[traits->companion].suffix);
		else
			options->companion = pstrdup(companions[traits->companion].name);
	}
	if (traits->hkdf && options->table == NULL)
		options->table = get_rel_name(target->relid);
	if (traits->hkdf && options->attribute == NULL && options->attribute_expression == NULL &&
		options->json == NULL)
		options->attribute = options_attribute(target->name);
	if (traits->default_aad && target->aad == NULL)
		target->aad = pstrdup(traits->default_aad);
	if (traits->foreign_key_column && options->where == NULL &&
		get_attnum(target->relid, traits->foreign_key_column) > 0)
		options->where = psprintf("%s IS NULL", quote_identifier(traits->foreign_key_column));
}

/*
 * Whether the row's companion is an iv of AES-CBC: 16 bytes, or their base64 and a
 * line feed. GCM's has 12.
 */
static bool
looks_like_cbc(ColumnScan *scan)
{
	bool isnull;
	Datum iv;

	if (scan->codec.companion_attnum == InvalidAttrNumber)
		return false;
	iv = slot_getattr(scan->row, scan->codec.companion_attnum, &isnull);
	if (isnull)
		return false;
	return VARSIZE_ANY_EXHDR(PG_DETOAST_DATUM_PACKED(iv)) ==
		   (scan->codec.encoding == DBCRYPT_ENCODING_BINARY ? 16 : 25);
}

/* What is known of the sample so far. */
typedef struct Sample
{
	const char *column;
	int decrypted; /* values */
	bool bad;	   /* the row at work has a value that does not decrypt */
} Sample;

/* Counts a value of the row at work, as a ValueVisitor. */
static void
sample_value(void *arg, ValueState state, const char *key_id)
{
	Sample *sample = arg;

	if (state == STATE_PRIMARY || state == STATE_OLD)
		sample->decrypted++;
	else if (state != STATE_PLAINTEXT)
		sample->bad = true;
}

/* Refuses to adopt a column because of a value of the row at work. */
pg_noreturn static void
refuse_row(ColumnScan *scan, const char *column)
{
	bool cbc = looks_like_cbc(scan);

	ereport(
		ERROR,
		(errcode(ERRCODE_DATA_EXCEPTION),
		 errmsg("cannot adopt column \"%s\" of table \"%s\": a value does not decrypt", column,
				RelationGetRelationName(scan->rel)),
		 errdetail("Table %s, row (%u,%u).%s", scan->table_name,
				   ItemPointerGetBlockNumber(&scan->tid), ItemPointerGetOffsetNumber(&scan->tid),
				   cbc ? " Its iv is one of AES-256-CBC, which has no authentication: whether "
						 "a key is right cannot be told."
					   : ""),
		 cbc ? errhint("Let the application encrypt the column with AES-256-GCM first.")
			 : errhint("See that the application's key is in dbcrypt.key_file and that the "
					   "options are right.")));
}

/* Decrypts the values of one row; refuses one that does not decrypt. */
static bool
sample_row(ColumnScan *scan, void *arg)
{
	Sample *sample = arg;

	codec_examine(&scan->codec, scan->row, sample_value, sample);
	if (sample->bad)
		refuse_row(scan, sample->column);
	return sample->decrypted < SAMPLE_VALUES;
}

/* Refuses a relation of whose first values one does not decrypt with the ring's keys. */
static void
check_sample(Relation rel, const TargetColumn *target)
{
	const dbcrypt_scheme_traits *traits = dbcrypt_scheme_traits_of(target->scheme);
	ColumnScan scan;
	Sample sample = {.column = target->name};

	column_scan_begin(&scan, rel, target);
	if (scan.codec.encoding == DBCRYPT_ENCODING_TEXT ? !traits->text : !traits->binary)
		ereport(ERROR, (errcode(ERRCODE_DATATYPE_MISMATCH),
						errmsg("column \"%s\" of table \"%s\" is not %s", target->name,
							   RelationGetRelationName(rel), traits->text ? "text" : "bytea"),
						errdetail("Values of scheme %s are %s.", traits->name,
								  traits->text ? "text" : "bytea")));
	column_scan_rows(&scan, GetActiveSnapshot(), sample_row, &sample);
	column_scan_end(&scan);
}

/*
 * Refuses a caller who may not decrypt: what a key opens in another application's form
 * tells of the plaintext, by yes or no, and by a nonce that is made of it.
 */
static void
check_may_decrypt(Relation rel, const TargetColumn *target)
{
	AttrNumber attnum = get_attnum(RelationGetRelid(rel), target->name);
	Oid type = column_encoding(rel, attnum) == DBCRYPT_ENCODING_BINARY ? BYTEAOID : TEXTOID;

	if (!compat_may_execute(catalog_function("dbcrypt_decrypt", type), GetUserId()))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied to adopt column \"%s\" of table \"%s\"", target->name,
						get_rel_name(target->relid)),
				 errdetail("Only a role with EXECUTE on dbcrypt_decrypt() may adopt columns.")));
}

void
adopt_column(TargetColumn *target)
{
	ListCell *cell;

	column_check_owner(target->relid);
	if (column_covering(target->relid, target->name))
		ereport(ERROR, (errcode(ERRCODE_DUPLICATE_OBJECT),
						errmsg("column \"%s\" of table \"%s\" is registered already", target->name,
							   get_rel_name(target->relid)),
						errhint("Call dbcrypt_unregister_column() first.")));
	if (dbcrypt_scheme_names_shared(target->scheme, session_ring()))
		raise_status(DBCRYPT_KEY_NAME_SHARED, DBCRYPT_ENCODING_TEXT, NULL, NULL);
	default_options(target);
	if (get_rel_persistence(target->relid) == RELPERSISTENCE_TEMP)
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						errmsg("columns of temporary tables cannot be adopted")));
	foreach(cell, target_open(target, RowExclusiveLock, "adopt"))
	{
		check_may_decrypt(lfirst(cell), target);
		check_sample(lfirst(cell), target);
		relation_close(lfirst(cell), NoLock);
	}
	SPI_connect();
	column_register(target);
	SPI_finish();
}

void
adopt_return_column(FunctionCallInfo fcinfo, const TargetColumn *target)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	Datum values[2] = {ObjectIdGetDatum(target->relid), name_datum(target->name)};
	bool nulls[2] = {false};

	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/* dbcrypt_adopt("table" regclass, "column" name, scheme text, options jsonb) */
Datum
dbcrypt_adopt(PG_FUNCTION_ARGS)
{
	TargetColumn target = target_from_arguments(fcinfo);

	PreventCommandDuringRecovery("dbcrypt_adopt()");
	PreventCommandIfReadOnly("dbcrypt_adopt()");
	target.scheme = scheme_named(text_to_cstring(PG_GETARG_TEXT_PP(2)));
	if (target.scheme == scheme_native())
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("columns of scheme native are not adopted"),
						errhint("Use dbcrypt_register_column().")));
	read_options(PG_GETARG_JSONB_P(3), &target);
	adopt_column(&target);
	PG_RETURN_VOID();
}
