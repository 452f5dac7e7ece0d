/*
 * tooljet.c
 *		dbcrypt_adopt_tooljet: every place where ToolJet keeps encrypted values,
 *		those that its own rotation script forgets included.
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/tuplestore.h"

#include "applications/adopt.h"
#include "columns/options.h"
#include "columns/registry.h"
#include "columns/target.h"
#include "support/arguments.h"

PG_FUNCTION_INFO_V1(dbcrypt_adopt_tooljet);

/* A column, and the names its keys are derived with, which are not always SQL's. */
static const struct
{
	const char *table;
	const char *column;
	const char *hkdf_table;
	const char *attribute;
	const char *attribute_expression; /* %s: the schema */
	const char *json;
	const char *where;
} places[] = {
	{"credentials", "value_ciphertext", "credentials", "value"},
	{"org_environment_constant_values", "value", "org_environment_constant_values", NULL,
	 "(SELECT c.organization_id::text FROM %s.organization_constants c "
	 "WHERE c.id = organization_constant_id)"},
	{"sso_configs", "configs", "ssoConfigs", .json = "%secret%"},
	{"organization_tjdb_configurations", "pg_password", "organization_tjdb_configurations",
	 "pg_password"},
	{"user_details", "user_metadata", "user_details", "userMetadata"},
	{"datasource_user_token_data", "auth_token", "credentials", "value"},
	{"datasource_user_token_data", "refresh_token", "credentials", "value"},
	{"instance_settings", "value", "instance_settings", "SMTP_PASSWORD",
	 .where = "key = 'SMTP_PASSWORD'"},
	{"org_environment_variables", "value", "org_environment_variables", NULL,
	 "organization_id::text"},
};

/* A copy of a string, NULL for NULL. */
static char *
copy_or_null(const char *text)
{
	return text ? pstrdup(text) : NULL;
}

/* dbcrypt_adopt_tooljet(schema name): adopts the places that exist; returns those. */
Datum
dbcrypt_adopt_tooljet(PG_FUNCTION_ARGS)
{
	char *schema = NameStr(*PG_GETARG_NAME(0));
	Oid schema_oid = get_namespace_oid(schema, false);

	PreventCommandDuringRecovery("dbcrypt_adopt_tooljet()");
	PreventCommandIfReadOnly("dbcrypt_adopt_tooljet()");
	(void) result_set(fcinfo, 2);
	for (size_t i = 0; i < lengthof(places); i++)
	{
		TargetColumn target = {.relid = get_relname_relid(places[i].table, schema_oid),
							   .name = pstrdup(places[i].column),
							   .scheme = scheme_named("tooljet")};
		ColumnOptions *options = &target.options;
		AttrNumber attnum = InvalidAttrNumber;

		if (OidIsValid(target.relid))
			attnum = get_attnum(target.relid, target.name);
		if (attnum <= 0 || column_registered(target.relid, attnum))
			continue;
		options->table = pstrdup(places[i].hkdf_table);
		if (places[i].attribute)
			options->attribute = options_attribute(places[i].attribute);
		if (places[i].attribute_expression)
			options->attribute_expression =
				psprintf(places[i].attribute_expression, quote_identifier(schema));
		options->json = copy_or_null(places[i].json);
		options->where = copy_or_null(places[i].where);
		adopt_column(&target);
		adopt_return_column(fcinfo, &target);
	}
	return (Datum) 0;
}
