/*
 * check_settings.c
 *		Literal keys in places that are copied or that every role can read. Looks
 *		for the name of the setting, and never at its value.
 */
#include "postgres.h"

#include "executor/spi.h"

#include "health/check_settings.h"
#include "health/findings.h"
#include "health/reading.h"
#include "keys/settings.h"

/*
 * In configuration files. The finding does not name the setting beside the file:
 * that would be masked in the log.
 */
static void
check_files(HealthCheck *check)
{
	uint64 count;

	count = query_begin(
		"SELECT DISTINCT sourcefile, sourceline FROM pg_catalog.pg_file_settings "
		"WHERE pg_catalog.lower(name) = 'dbcrypt.keys' AND setting <> '' ORDER BY 1, 2");
	for (uint64 i = 0; i < count; i++)
		if (library_preloaded)
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

/* Set for a role, a database or a function. */
static void
check_catalogs(HealthCheck *check)
{
	uint64 count;

	count = query_begin(
		"SELECT CASE WHEN s.setrole = 0 THEN pg_catalog.format('database %I', d.datname)"
		"            WHEN s.setdatabase = 0 THEN pg_catalog.format('role %I', r.rolname)"
		"            ELSE pg_catalog.format('role %I in database %I', r.rolname, d.datname) END"
		"  FROM pg_catalog.pg_db_role_setting s"
		"       CROSS JOIN LATERAL pg_catalog.unnest(s.setconfig) AS entry"
		"       LEFT JOIN pg_catalog.pg_database d ON d.oid = s.setdatabase"
		"       LEFT JOIN pg_catalog.pg_roles r ON r.oid = s.setrole"
		" WHERE pg_catalog.lower(entry) LIKE 'dbcrypt.keys=_%' "
		"UNION "
		"SELECT pg_catalog.format('function %s', p.oid::pg_catalog.regprocedure)"
		"  FROM pg_catalog.pg_proc p CROSS JOIN LATERAL pg_catalog.unnest(p.proconfig) AS entry"
		" WHERE pg_catalog.lower(entry) LIKE 'dbcrypt.keys=_%' "
		"ORDER BY 1");
	for (uint64 i = 0; i < count; i++)
		finding_add(check, SEVERITY_ERROR, query_field(i, 1),
					"a literal key is set for it, which every role can read",
					"Reset dbcrypt.keys there with ALTER, set dbcrypt.key_file, and "
					"rotate to a new key.");
	SPI_finish();
}

void
check_settings(HealthCheck *check)
{
	check_files(check);
	check_catalogs(check);
}
