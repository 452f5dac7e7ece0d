/*
 * check_settings.c
 *		Literal keys in places that are copied or that every role can read. Looks for
 *		the setting dbcrypt.keys, and for what is written as a key is in any other of
 *		dbcrypt's settings, misspelt ones too. Shows no value.
 */
#include "postgres.h"

#include "executor/spi.h"

#include "health/check_settings.h"
#include "health/findings.h"
#include "health/reading.h"
#include "keys/settings.h"

/* SQL: what is written as a key is. Other text may stand around it. */
#define KEY_PATTERN                                    \
	"'(^|[^0-9A-Fa-f])[0-9A-Fa-f]{64}($|[^0-9A-Fa-f])" \
	"|(^|[^0-9A-Za-z+/])[0-9A-Za-z+/]{43}=|text:[^ ]{8}|text-short:[^ ]'"

/* SQL: whether a setting of dbcrypt's may be a literal key. */
#define HOLDS_KEY(name, value)                                             \
	"(pg_catalog.lower(" name ") = 'dbcrypt.keys' AND " value " <> '' OR " \
	"pg_catalog.lower(" name ") LIKE 'dbcrypt.%' AND " value " ~ " KEY_PATTERN ")"

/*
 * In configuration files. The finding does not name the setting beside the file:
 * that would be masked in the log.
 */
static void
check_files(HealthCheck *check)
{
	uint64 count;

	count = query_begin(
		"SELECT DISTINCT sourcefile, sourceline, sourcefile LIKE '%/postgresql.auto.conf' "
		"FROM pg_catalog.pg_file_settings WHERE " HOLDS_KEY("name", "setting") " ORDER BY 1, 2");
	for (uint64 i = 0; i < count; i++)
		if (strcmp(query_field(i, 3), "t") == 0)
			finding_add(check, SEVERITY_ERROR, "configuration",
						psprintf("a literal key is in file \"%s\", line %s: ALTER SYSTEM took it "
								 "before dbcrypt was loaded",
								 query_field(i, 1), query_field(i, 2)),
						"Remove it with ALTER SYSTEM RESET, set dbcrypt.key_file, and rotate to a "
						"new key.");
		else if (library_preloaded)
			finding_add(check, SEVERITY_WARNING, "configuration",
						psprintf("a literal key is in file \"%s\", line %s", query_field(i, 1),
								 query_field(i, 2)),
						"Move it to a file of its own and set dbcrypt.key_file: "
						"configuration files are copied into backups.");
		else
			finding_add(check, SEVERITY_ERROR, "configuration",
						psprintf("a literal key is in file \"%s\", line %s, and dbcrypt is not "
								 "preloaded: every role can read it with SHOW",
								 query_field(i, 1), query_field(i, 2)),
						"Move it to a file of its own and set dbcrypt.key_file; then "
						"rotate to a new key.");
	SPI_finish();
}

/* SQL: whether an entry of a catalog's list of settings may be a literal key. */
#define ENTRY_HOLDS_KEY                               \
	HOLDS_KEY("pg_catalog.split_part(entry, '=', 1)", \
			  "pg_catalog.substr(entry, pg_catalog.strpos(entry, '=') + 1)")

/* SQL: the roles and databases for which one is set. */
#define ROLES_AND_DATABASES                                                                  \
	"SELECT CASE WHEN s.setrole = 0 THEN pg_catalog.format('database %I', d.datname)"        \
	"            WHEN s.setdatabase = 0 THEN pg_catalog.format('role %I', r.rolname)"        \
	"            ELSE pg_catalog.format('role %I in database %I', r.rolname, d.datname) END" \
	"  FROM pg_catalog.pg_db_role_setting s"                                                 \
	"       CROSS JOIN LATERAL pg_catalog.unnest(s.setconfig) AS entry"                      \
	"       LEFT JOIN pg_catalog.pg_database d ON d.oid = s.setdatabase"                     \
	"       LEFT JOIN pg_catalog.pg_roles r ON r.oid = s.setrole"                            \
	" WHERE " ENTRY_HOLDS_KEY

/* SQL: the functions for which one is set. */
#define FUNCTIONS                                                             \
	"SELECT pg_catalog.format('function %s', p.oid::pg_catalog.regprocedure)" \
	"  FROM pg_catalog.pg_proc p"                                             \
	"       CROSS JOIN LATERAL pg_catalog.unnest(p.proconfig) AS entry"       \
	" WHERE " ENTRY_HOLDS_KEY

/* SQL: the functions whose text sets one. */
#define FUNCTION_TEXTS                                                        \
	"SELECT pg_catalog.format('function %s', p.oid::pg_catalog.regprocedure)" \
	"  FROM pg_catalog.pg_proc p"                                             \
	" WHERE p.prosrc ~* 'dbcrypt\\.' AND p.prosrc ~ " KEY_PATTERN

/* Set for a role, a database or a function, or by a function. */
static void
check_catalogs(HealthCheck *check)
{
	uint64 count =
		query_begin(ROLES_AND_DATABASES " UNION " FUNCTIONS " UNION " FUNCTION_TEXTS " ORDER BY 1");

	for (uint64 i = 0; i < count; i++)
		finding_add(check, SEVERITY_ERROR, query_field(i, 1),
					"a literal key is set for it, which every role can read",
					"Reset it there with ALTER or replace the function, set "
					"dbcrypt.key_file, and rotate to a new key.");
	SPI_finish();
}

void
check_settings(HealthCheck *check)
{
	check_files(check);
	check_catalogs(check);
}
