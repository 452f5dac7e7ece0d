/*
 * adopt.c
 *		dbcrypt_adopt: a column of another application's scheme is registered as
 *		it is. dbcrypt_convert: its values become native envelopes.
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "dbcrypt.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"

PG_FUNCTION_INFO_V1(dbcrypt_adopt);
PG_FUNCTION_INFO_V1(dbcrypt_convert);

/* Values that must open before a column is adopted. */
#define SAMPLE_VALUES 1000

/* By what name an option gives the companion, and where it is by default. */
static const struct
{
	const char *option;
	const char *suffix; /* of the value's column, or NULL for … */
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
	if (strcmp(traits->name, "containarium") == 0)
	{
		if (target->aad == NULL)
			target->aad = "convert_to(username, 'UTF8') || '\\x00'::bytea || "
						  "convert_to(name, 'UTF8')";
		if (options->where == NULL && get_attnum(target->relid, "wrapped_dek") > 0)
			options->where = "wrapped_dek IS NULL";
	}
}

/* Whether a companion holds an iv of AES-CBC's length rather than of GCM's. */
static bool
looks_like_cbc(RowUpdater *updater)
{
	bool isnull;
	Datum iv;

	if (updater->cipher.companion == InvalidAttrNumber)
		return false;
	iv = slot_getattr(updater->row, updater->cipher.companion, &isnull);
	if (isnull)
		return false;
	return VARSIZE_ANY_EXHDR(PG_DETOAST_DATUM_PACKED(iv)) ==
		   (updater->cipher.form == DBCRYPT_ENCODING_BINARY ? 16 : 25);
}

/* What the values of a row of the sample are. */
typedef struct SampledRow
{
	int opened; /* of all rows so far */
	bool bad;
} SampledRow;

static void
sample_value(void *arg, CipherState state, const char *key_id)
{
	SampledRow *row = arg;

	if (state == CIPHER_PRIMARY || state == CIPHER_OLD)
		row->opened++;
	else if (state != CIPHER_PLAINTEXT)
		row->bad = true;
}

/* Refuses a relation with a value that the ring does not open, of the first ones. */
static void
open_sample(Relation rel, const TargetColumn *target)
{
	const dbcrypt_scheme_traits *traits = dbcrypt_scheme_traits_of(target->scheme);
	RowUpdater updater;
	TableScanDesc scan;
	SampledRow row = {0};

	updater_begin(&updater, rel, target, true);
	if (updater.cipher.form == DBCRYPT_ENCODING_TEXT ? !traits->text : !traits->binary)
		ereport(ERROR, (errcode(ERRCODE_DATATYPE_MISMATCH),
						errmsg("values of scheme %s are %s", traits->name,
							   traits->text ? "text" : "bytea")));
	scan = table_beginscan(rel, GetActiveSnapshot(), 0, NULL);
	while (row.opened < SAMPLE_VALUES &&
		   table_scan_getnextslot(scan, ForwardScanDirection, updater.row))
	{
		CHECK_FOR_INTERRUPTS();
		updater.tid = updater.row->tts_tid;
		cipher_examine(&updater.cipher, updater.row, sample_value, &row);
		if (row.bad)
			ereport(ERROR,
					(errcode(ERRCODE_DATA_EXCEPTION),
					 errmsg("column \"%s\" of table \"%s\" cannot be adopted: a value does "
							"not open",
							target->name, RelationGetRelationName(rel)),
					 errdetail("Table %s, row (%u,%u).", updater.table_name,
							   ItemPointerGetBlockNumber(&updater.tid),
							   ItemPointerGetOffsetNumber(&updater.tid)),
					 looks_like_cbc(&updater)
						 ? errhint("Its iv is one of AES-256-CBC, which carries no "
								   "authentication: whether a key is right cannot be told, so "
								   "such columns are not adopted.")
						 : errhint("See that the application's key is in dbcrypt.key_file "
								   "and that the options are right.")));
		ResetPerTupleExprContext(updater.estate);
	}
	table_endscan(scan);
	updater_end(&updater);
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
	default_options(target);
	if (get_rel_persistence(target->relid) == RELPERSISTENCE_TEMP)
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						errmsg("columns of temporary tables cannot be adopted")));
	foreach(cell, target_open(target, RowExclusiveLock, "adopt"))
	{
		open_sample(lfirst(cell), target);
		relation_close(lfirst(cell), NoLock);
	}
	SPI_connect();
	column_register(target);
	SPI_finish();
}

/* dbcrypt_adopt("table" regclass, "column" name, scheme text, options jsonb) */
Datum
dbcrypt_adopt(PG_FUNCTION_ARGS)
{
	TargetColumn target = {.relid = PG_GETARG_OID(0)};

	PreventCommandDuringRecovery("dbcrypt_adopt()");
	PreventCommandIfReadOnly("dbcrypt_adopt()");
	target.name = pstrdup(NameStr(*PG_GETARG_NAME(1)));
	target.scheme = scheme_named(text_to_cstring(PG_GETARG_TEXT_PP(2)));
	if (target.scheme == scheme_native())
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("columns of scheme native are not adopted"),
						errhint("Use dbcrypt_register_column().")));
	read_options(PG_GETARG_JSONB_P(3), &target);
	adopt_column(&target);
	PG_RETURN_VOID();
}

/* Converts one relation that is locked. */
static void
convert_relation(Relation rel, const TargetColumn *target, int64 *counts)
{
	RowUpdater updater;
	TableScanDesc scan;

	updater_begin(&updater, rel, target, false);
	scan = table_beginscan(rel, GetActiveSnapshot(), 0, NULL);
	while (table_scan_getnextslot(scan, ForwardScanDirection, updater.row))
	{
		ValueOutcome outcome;

		CHECK_FOR_INTERRUPTS();
		outcome = updater_update_row(&updater, cipher_convert);
		counts[0]++;
		counts[1] += outcome == VALUE_CHANGED;
		counts[2] += outcome == VALUE_NULL;
		ResetPerTupleExprContext(updater.estate);
	}
	table_endscan(scan);
	updater_end(&updater);
}

/*
 * dbcrypt_convert("table" regclass, "column" name): stops writers, who would
 * write the old scheme.
 */
Datum
dbcrypt_convert(PG_FUNCTION_ARGS)
{
	TargetColumn target = {.relid = PG_GETARG_OID(0)};
	int64 counts[3] = {0};
	List *members;
	ListCell *cell;
	TupleDesc desc;
	Datum values[3];
	bool nulls[3] = {false};

	PreventCommandDuringRecovery("dbcrypt_convert()");
	PreventCommandIfReadOnly("dbcrypt_convert()");
	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	target.name = pstrdup(NameStr(*PG_GETARG_NAME(1)));
	members = target_open(&target, ShareRowExclusiveLock, "convert");
	if (target.scheme == NULL || target.scheme == scheme_native() ||
		column_registered(target.relid, target.attnum) == NULL)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("column \"%s\" of table \"%s\" is not of another scheme",
							   target.name, get_rel_name(target.relid)),
						errhint("Only a column adopted with dbcrypt_adopt() can be converted.")));

	CommandCounterIncrement();
	PushActiveSnapshot(GetTransactionSnapshot());
	foreach(cell, members)
	{
		convert_relation(lfirst(cell), &target, counts);
		relation_close(lfirst(cell), NoLock);
	}
	PopActiveSnapshot();
	CommandCounterIncrement();

	SPI_connect();
	(void) column_unregister(target.relid, target.attnum);
	target.aad = NULL;
	target.scheme = NULL;
	target.options = (ColumnOptions){.where = target.options.where, .json = target.options.json};
	column_register(&target);
	SPI_finish();

	for (int i = 0; i < 3; i++)
		values[i] = Int64GetDatum(counts[i]);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}
