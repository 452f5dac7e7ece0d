/*
 * check_plaintext.c
 *		What keeps decrypted values: indexes, statistics, materialized views and generated
 *		columns over dbcrypt_decrypt(), also by way of other functions. PostgreSQL knows of
 *		those with a body in standard SQL; what a body in quotes calls, nobody knows.
 */
#include "postgres.h"

#include "executor/spi.h"

#include "health/check_plaintext.h"
#include "health/findings.h"
#include "health/reading.h"

static const char *const keepers_query =
	"WITH RECURSIVE opening AS ("
	"SELECT p.oid FROM pg_catalog.pg_depend d"
	"  JOIN pg_catalog.pg_extension e ON e.oid = d.refobjid AND e.extname = 'dbcrypt'"
	"  JOIN pg_catalog.pg_proc p ON p.oid = d.objid AND p.proname = 'dbcrypt_decrypt'"
	" WHERE d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass"
	"   AND d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND d.deptype = 'e' "
	"UNION "
	"SELECT d.objid FROM opening o JOIN pg_catalog.pg_depend d ON d.refobjid = o.oid"
	"   AND d.refclassid = 'pg_catalog.pg_proc'::pg_catalog.regclass"
	" WHERE d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass) "
	"SELECT DISTINCT pg_catalog.pg_describe_object(k.classid, k.objid, k.objsubid)"
	"  FROM opening o JOIN pg_catalog.pg_depend d ON d.refobjid = o.oid"
	"   AND d.refclassid = 'pg_catalog.pg_proc'::pg_catalog.regclass"
	"  LEFT JOIN pg_catalog.pg_rewrite r ON r.oid = d.objid"
	"   AND d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass"
	"  LEFT JOIN pg_catalog.pg_attrdef a ON a.oid = d.objid"
	"   AND d.classid = 'pg_catalog.pg_attrdef'::pg_catalog.regclass"
	"  LEFT JOIN pg_catalog.pg_attribute g ON g.attrelid = a.adrelid AND g.attnum = a.adnum"
	"  CROSS JOIN LATERAL (SELECT"
	"       CASE WHEN coalesce(r.oid, a.oid) IS NULL THEN d.classid"
	"            ELSE 'pg_catalog.pg_class'::pg_catalog.regclass::pg_catalog.oid END AS classid,"
	"       coalesce(r.ev_class, a.adrelid, d.objid) AS objid,"
	"       coalesce(a.adnum, 0)::pg_catalog.int4 AS objsubid) k"
	"  LEFT JOIN pg_catalog.pg_class c ON c.oid = k.objid"
	"   AND k.classid = 'pg_catalog.pg_class'::pg_catalog.regclass"
	" WHERE k.classid = 'pg_catalog.pg_statistic_ext'::pg_catalog.regclass"
	"    OR c.relkind IN ('i', 'I', 'm') OR g.attgenerated = 's' "
	"ORDER BY 1";

void
check_plaintext(HealthCheck *check)
{
	uint64 count = query_begin(keepers_query);

	for (uint64 i = 0; i < count; i++)
		finding_add(check, SEVERITY_WARNING, query_field(i, 1),
					"keeps decrypted values: they are plaintext on disk",
					"Drop it, or make it of what is no secret.");
	SPI_finish();
}
