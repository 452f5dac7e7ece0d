/*
 * tooljet.c
 *		dbcrypt_adopt_tooljet: every place where ToolJet keeps encrypted values,
 *		those that its own rotation script forgets included.
 *
 * A place that cannot be adopted does not keep the others from it. The list goes stale
 * with ToolJet's next version, so what else in the schema looks encrypted is returned too.
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/tuplestore.h"

#include "applications/adopt.h"
#include "columns/options.h"
#include "columns/registry.h"
#include "columns/target.h"
#include "core/api/keyring.h"
#include "keys/session_keyring.h"
#include "support/arguments.h"
#include "support/catalog.h"
#include "support/errors.h"
#include "support/subtransaction.h"

PG_FUNCTION_INFO_V1(dbcrypt_adopt_tooljet);

#define NRESULTS 6

#define OLD_PLAINTEXT " Older versions of ToolJet keep it unencrypted."
#define NAMES_UNKNOWN " The names that ToolJet derives its key with are not public."

/* A column, and the names its keys are derived with, which are not always SQL's. */
typedef struct Place
{
	const char *table;
	const char *column;
	const char *hkdf_table;
	const char *attribute;
	const char *attribute_expression; /* $schema stands for the schema */
	const char *json;
	const char *where;
	const char *note; /* what may be the reason if it cannot be adopted */
} Place;

static const Place places[] = {
	{"credentials", "value_ciphertext", "credentials", "value"},
	{"org_environment_constant_values", "value", "org_environment_constant_values", NULL,
	 "(SELECT c.organization_id::text FROM $schema.organization_constants c "
	 "WHERE c.id = organization_constant_id)"},
	{"organization_constant_version_values", "value", "org_environment_constant_values", NULL,
	 "(SELECT c.organization_id::text FROM $schema.organization_constant_versions v, "
	 "$schema.organization_constants c "
	 "WHERE v.id = constant_version_id AND c.id = v.organization_constant_id)"},
	{"org_environment_variables", "value", "org_environment_variables", NULL,
	 "organization_id::text", .where = "encrypted"},
	{"sso_configs", "configs", "ssoConfigs", .json = "%secret%"},
	{"organization_tjdb_configurations", "pg_password", "organization_tjdb_configurations",
	 "pg_password"},
	{"user_details", "user_metadata", "user_details", "userMetadata"},
	{"datasource_user_token_data", "auth_token", "credentials", "value"},
	{"datasource_user_token_data", "refresh_token", "credentials", "value"},
	{"instance_settings", "value", "instance_settings", NULL, "key"},
	{"organization_git_https", "github_private_key", "organization_git_https", "github_private_key",
	 .note = OLD_PLAINTEXT},
	{"organization_git_ssh", "ssh_private_key", "organization_git_ssh", "ssh_private_key",
	 .note = OLD_PLAINTEXT},
	{"organization_gitlab", "gitlab_project_access_token", "organization_gitlab",
	 "gitlab_project_access_token", .note = OLD_PLAINTEXT},
	{"organization_bitbucket", "bitbucket_access_token", "organization_bitbucket",
	 "bitbucket_access_token", .note = NAMES_UNKNOWN},
	{"organization_ai_keys", "encrypted_key", "organization_ai_keys", "encrypted_key",
	 .note = NAMES_UNKNOWN},
};

/* The keys of instance_settings whose values are encrypted; the others are plaintext. */
static const char *const encrypted_settings[] = {
	"SMTP_PASSWORD", "SSL_FULLCHAIN_PEM", "SSL_PRIVKEY_PEM",
	"SSL_CERT_PEM",	 "SSL_CHAIN_PEM",	  "LLM_API_KEY",
};

/* The adoption of one schema's places. */
typedef struct Adoption
{
	ReturnSetInfo *result;
	Oid schema;
} Adoption;

/* Returns a row. adopted is NULL unless the column was adopted, detail where there is none. */
static void
put_row(const Adoption *self, Oid relid, const char *column, const char *state,
		const AdoptedValues *adopted, const char *detail)
{
	Datum values[NRESULTS] = {0};
	bool nulls[NRESULTS] = {false};

	values[0] = ObjectIdGetDatum(relid);
	nulls[0] = !OidIsValid(relid);
	nulls[1] = column == NULL;
	values[1] = nulls[1] ? (Datum) 0 : name_datum(column);
	values[2] = CStringGetTextDatum(state);
	nulls[3] = nulls[4] = adopted == NULL;
	if (adopted)
	{
		values[3] = Int64GetDatum(adopted->opened);
		values[4] = BoolGetDatum(adopted->sampled);
	}
	nulls[5] = detail == NULL;
	values[5] = nulls[5] ? (Datum) 0 : CStringGetTextDatum(detail);
	tuplestore_putvalues(self->result->setResult, self->result->setDesc, values, nulls);
}

/* A copy of a string, NULL for NULL. */
static char *
copy_or_null(const char *text)
{
	return text ? pstrdup(text) : NULL;
}

/* The expression of a place in the schema. */
static char *
expression_in(const Adoption *self, const char *expression)
{
	const char *schema = quote_identifier(get_namespace_name(self->schema));

	return text_to_cstring(DatumGetTextPP(
		DirectFunctionCall3Coll(replace_text, C_COLLATION_OID, CStringGetTextDatum(expression),
								CStringGetTextDatum("$schema"), CStringGetTextDatum(schema))));
}

/* The column of a place, with the options that it is to be adopted with. */
static TargetColumn
target_of(const Adoption *self, const Place *place)
{
	TargetColumn target = {.relid = get_relname_relid(place->table, self->schema),
						   .name = pstrdup(place->column),
						   .scheme = scheme_named("tooljet")};
	ColumnOptions *options = &target.options;

	options->table = pstrdup(place->hkdf_table);
	if (place->attribute)
		options->attribute = options_attribute(place->attribute);
	if (place->attribute_expression)
		options->attribute_expression = expression_in(self, place->attribute_expression);
	options->json = copy_or_null(place->json);
	options->where = copy_or_null(place->where);
	return target;
}

/* Adopts a column and returns its row. */
static void
adopt_target(const Adoption *self, TargetColumn *target, const char *note)
{
	AdoptedValues adopted;
	char *reason = adopt_try(target, true, &adopted);

	if (reason)
		put_row(self, target->relid, target->name, "not adopted", NULL,
				psprintf("%s%s", reason, note ? note : ""));
	else
		put_row(self, target->relid, target->name, "adopted", &adopted, NULL);
}

/*
 * Adopts the settings that open. Each is a place of its own, but they share a column,
 * which can be registered only once: so each is tried alone before.
 */
static void
adopt_settings(const Adoption *self, const Place *place)
{
	StringInfoData keys;
	TargetColumn target;

	initStringInfo(&keys);
	for (size_t i = 0; i < lengthof(encrypted_settings); i++)
	{
		const char *key = quote_literal_cstr(encrypted_settings[i]);
		AdoptedValues ignored;
		char *reason;

		target = target_of(self, place);
		target.options.where = psprintf("key = %s", key);
		reason = adopt_try(&target, false, &ignored);
		if (reason)
			put_row(self, target.relid, target.name, "not adopted", NULL,
					psprintf("where key = %s: %s", key, reason));
		else
			appendStringInfo(&keys, "%s%s", keys.len > 0 ? ", " : "", key);
	}
	if (keys.len == 0)
		return;
	target = target_of(self, place);
	target.options.where = psprintf("key IN (%s)", keys.data);
	adopt_target(self, &target, NULL);
}

/* Which settings a registration leaves out, and what to do about it; NULL for none. */
static char *
missing_settings(const TargetColumn *registered)
{
	StringInfoData keys;

	initStringInfo(&keys);
	for (size_t i = 0; i < lengthof(encrypted_settings); i++)
	{
		const char *key = quote_literal_cstr(encrypted_settings[i]);

		if (registered->options.where == NULL || strstr(registered->options.where, key) == NULL)
			appendStringInfo(&keys, "%s%s", keys.len > 0 ? ", " : "", key);
	}
	if (keys.len == 0)
		return NULL;
	return psprintf("without key %s: call dbcrypt_unregister_column() first to try again",
					keys.data);
}

/* Adopts a place; false if the schema has none. */
static bool
adopt_place(const Adoption *self, const Place *place)
{
	TargetColumn target = target_of(self, place);
	AttrNumber attnum =
		OidIsValid(target.relid) ? get_attnum(target.relid, target.name) : InvalidAttrNumber;
	bool is_settings = strcmp(place->table, "instance_settings") == 0;
	const TargetColumn *registered;

	if (attnum <= 0)
		return false;
	registered = column_registered(target.relid, attnum);
	if (registered)
		put_row(self, target.relid, target.name, "adopted before", NULL,
				is_settings ? missing_settings(registered) : NULL);
	else if (is_settings)
		adopt_settings(self, place);
	else
		adopt_target(self, &target, place->note);
	return true;
}

/* Whether a column is one of the places, which has its row already. */
static bool
is_place(Oid relid, const char *column)
{
	const char *table = get_rel_name(relid);

	for (size_t i = 0; table && column && i < lengthof(places); i++)
		if (strcmp(places[i].table, table) == 0 && strcmp(places[i].column, column) == 0)
			return true;
	return false;
}

/* Returns what the census says of the rest of the schema. Its own rights are checked. */
static void
look_around(void *arg)
{
	const Adoption *self = arg;
	Oid types[] = {OIDOID};
	Datum values[] = {ObjectIdGetDatum(self->schema)};
	char *query =
		psprintf("SELECT c.\"table\"::pg_catalog.oid, c.\"column\", c.state, c.detail"
				 "  FROM pg_catalog.pg_class t, LATERAL %s(t.oid::pg_catalog.regclass) c"
				 " WHERE t.relnamespace OPERATOR(pg_catalog.=) $1 AND NOT t.relispartition"
				 "   AND t.relkind OPERATOR(pg_catalog.=) ANY ('{r,p,m,f}'::pg_catalog.\"char\"[])"
				 "   AND c.state OPERATOR(pg_catalog.=)"
				 "       ANY ('{looks encrypted,not readable}'::pg_catalog.text[])"
				 " ORDER BY t.relname, c.\"column\"",
				 catalog_relation_name("dbcrypt_census"));

	SPI_connect();
	if (SPI_execute_with_args(query, lengthof(types), types, values, NULL, false, 0) !=
		SPI_OK_SELECT)
		elog(ERROR, "the census of a schema failed");
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		HeapTuple row = SPI_tuptable->vals[i];
		TupleDesc desc = SPI_tuptable->tupdesc;
		bool isnull;
		Oid relid = DatumGetObjectId(SPI_getbinval(row, desc, 1, &isnull));
		char *column = SPI_getvalue(row, desc, 2);

		if (!is_place(relid, column))
			put_row(self, relid, column, SPI_getvalue(row, desc, 3), NULL,
					SPI_getvalue(row, desc, 4));
	}
	SPI_finish();
}

/*
 * dbcrypt_adopt_tooljet(schema name): adopts the places that exist. Returns a row for
 * each, and for what else in the schema looks encrypted.
 */
Datum
dbcrypt_adopt_tooljet(PG_FUNCTION_ARGS)
{
	char *schema = NameStr(*PG_GETARG_NAME(0));
	Adoption self = {.schema = get_namespace_oid(schema, false)};
	int found = 0;
	ErrorData *error;

	PreventCommandDuringRecovery("dbcrypt_adopt_tooljet()");
	PreventCommandIfReadOnly("dbcrypt_adopt_tooljet()");
	if (dbcrypt_ring_count(session_ring()) == 0)
		raise_status(DBCRYPT_NO_KEYS, DBCRYPT_ENCODING_TEXT, NULL, NULL);
	self.result = result_set(fcinfo, NRESULTS);
	for (size_t i = 0; i < lengthof(places); i++)
		found += adopt_place(&self, &places[i]);
	if (found == 0)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE),
						errmsg("schema \"%s\" has none of ToolJet's tables", schema),
						errhint("Name the schema of ToolJet's tables, for example "
								"dbcrypt_adopt_tooljet('public').")));
	error = subtransaction_run(look_around, &self);
	if (error && error->sqlerrcode == ERRCODE_QUERY_CANCELED)
		ReThrowError(error);
	if (error)
		put_row(&self, InvalidOid, NULL, "not searched", NULL, error_line(error));
	return (Datum) 0;
}
