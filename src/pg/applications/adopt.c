/*
 * adopt.c
 *		dbcrypt_adopt: a column of another application's scheme is registered as
 *		it is.
 */
#include "postgres.h"

#include "access/relation.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "applications/adopt.h"
#include "applications/adopt_read.h"
#include "applications/recorded_key_find.h"
#include "columns/opening.h"
#include "columns/options.h"
#include "columns/registry.h"
#include "columns/target.h"
#include "core/api/scheme.h"
#include "keys/session_keyring.h"
#include "support/arguments.h"
#include "support/errors.h"
#include "support/subtransaction.h"

PG_FUNCTION_INFO_V1(dbcrypt_adopt);

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
	else if (strcmp(name, "salt") == 0 && traits->salt)
		options->salt = value;
	else if (strcmp(name, "key") == 0 && !traits->authenticated)
		options->key = value;
	else if (strcmp(name, "plaintext") == 0 && !traits->authenticated)
		options->plaintext = value;
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
							errhint("Options are where%s%s%s%s%s%s%s.",
									traits->companion == DBCRYPT_COMPANION_NONE ? ", json" : "",
									traits->aad ? ", aad" : "",
									traits->hkdf ? ", table, attribute, attribute_expression" : "",
									companions[traits->companion].option ? ", " : "",
									companions[traits->companion].option
										? companions[traits->companion].option
										: "",
									traits->salt ? ", salt" : "",
									traits->authenticated ? "" : ", key, plaintext")));
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
	if (options->salt == NULL && traits->salt)
		options->salt = psprintf("%s_salt", target->name);
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
 * Refuses a caller who may not decrypt: what a key opens in another application's form
 * tells of the plaintext, by yes or no, and by a nonce that is made of it.
 */
static void
check_may_decrypt(Relation rel, const TargetColumn *target)
{
	if (!column_may_decrypt(rel, target->name))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied to adopt column \"%s\" of table \"%s\"", target->name,
						get_rel_name(target->relid)),
				 errdetail("Only a role with EXECUTE on dbcrypt_decrypt() may adopt columns.")));
}

AdoptedValues
adopt_column(TargetColumn *target)
{
	AdoptedValues values;
	List *members;
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
	members = target_open(target, RowExclusiveLock, "adopt");
	foreach(cell, members)
		check_may_decrypt(lfirst(cell), target);
	values = column_is_authenticated(target) ? adopt_read(members, target)
											 : recorded_key_find(members, target);
	foreach(cell, members)
		relation_close(lfirst(cell), NoLock);
	SPI_connect();
	column_register(target);
	SPI_finish();
	return values;
}

/* A column to be adopted, and what was read of it. */
typedef struct Attempt
{
	TargetColumn *target;
	AdoptedValues values;
} Attempt;

/* Adopts it, in a subtransaction. */
static void
run_attempt(void *arg)
{
	Attempt *attempt = arg;

	attempt->values = adopt_column(attempt->target);
}

char *
adopt_try(TargetColumn *target, bool keep, AdoptedValues *values)
{
	Attempt attempt = {.target = target};
	ErrorData *error = keep ? subtransaction_run(run_attempt, &attempt)
							: subtransaction_undo(run_attempt, &attempt);

	if (error && error->sqlerrcode == ERRCODE_QUERY_CANCELED)
		ReThrowError(error);
	*values = attempt.values;
	return error ? error_line(error) : NULL;
}

/* dbcrypt_adopt("table" regclass, "column" name, scheme text, options jsonb) */
Datum
dbcrypt_adopt(PG_FUNCTION_ARGS)
{
	TargetColumn target = target_from_arguments(fcinfo);
	AdoptedValues adopted;
	Datum values[2];

	PreventCommandDuringRecovery("dbcrypt_adopt()");
	PreventCommandIfReadOnly("dbcrypt_adopt()");
	target.scheme = scheme_named(text_to_cstring(PG_GETARG_TEXT_PP(2)));
	if (target.scheme == scheme_native())
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("columns of scheme native are not adopted"),
						errhint("Use dbcrypt_register_column().")));
	read_options(PG_GETARG_JSONB_P(3), &target);
	adopted = adopt_column(&target);
	values[0] = Int64GetDatum(adopted.opened);
	values[1] = BoolGetDatum(adopted.sampled);
	PG_RETURN_DATUM(result_row(fcinfo, values, lengthof(values)));
}
