/*
 * check_triggers.c
 *		Triggers of dbcrypt that do not fire when they must.
 *
 * pg_restore --data-only --disable-triggers disables all triggers of a table, and
 * enables them afterwards: what was ENABLE ALWAYS fires no more where
 * session_replication_role is replica.
 */
#include "postgres.h"

#include "executor/spi.h"

#include "health/check_triggers.h"
#include "health/findings.h"
#include "health/reading.h"

/* The functions of the extension, for a WITH. */
#define OWN_FUNCTIONS                                                                  \
	"WITH own AS (SELECT p.oid, p.proname FROM pg_catalog.pg_depend d"                 \
	"  JOIN pg_catalog.pg_extension e ON e.oid = d.refobjid AND e.extname = 'dbcrypt'" \
	"  JOIN pg_catalog.pg_proc p ON p.oid = d.objid"                                   \
	" WHERE d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass"             \
	"   AND d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND d.deptype = 'e') "

/* The triggers that keep dbcrypt's own tables right must fire for replicas, too. */
static void
check_own(HealthCheck *check)
{
	uint64 count = query_begin(
		OWN_FUNCTIONS "SELECT pg_catalog.format('trigger %I of table %s', t.tgname,"
					  "         t.tgrelid::pg_catalog.regclass),"
					  "       pg_catalog.format('ALTER TABLE %s ENABLE ALWAYS TRIGGER %I;',"
					  "         t.tgrelid::pg_catalog.regclass, t.tgname)"
					  "  FROM pg_catalog.pg_trigger t JOIN own ON own.oid = t.tgfoid"
					  " WHERE own.proname <> 'dbcrypt_encrypt_trigger' AND t.tgenabled <> 'A' "
					  "UNION ALL "
					  "SELECT pg_catalog.format('event trigger %I', t.evtname),"
					  "       pg_catalog.format('ALTER EVENT TRIGGER %I ENABLE ALWAYS;', t.evtname)"
					  "  FROM pg_catalog.pg_event_trigger t JOIN own ON own.oid = t.evtfoid"
					  " WHERE t.evtenabled <> 'A' "
					  "ORDER BY 1");

	for (uint64 i = 0; i < count; i++)
		finding_add(check, SEVERITY_ERROR, query_field(i, 1),
					"it is not ENABLE ALWAYS, as dbcrypt needs it", query_field(i, 2));
	SPI_finish();
}

/* A disabled encrypting trigger lets plaintext in. */
static void
check_encrypting(HealthCheck *check)
{
	uint64 count = query_begin(
		OWN_FUNCTIONS "SELECT pg_catalog.format('trigger %I of table %s', t.tgname,"
					  "         t.tgrelid::pg_catalog.regclass),"
					  "       pg_catalog.format('ALTER TABLE %s ENABLE TRIGGER %I, or drop it.',"
					  "         t.tgrelid::pg_catalog.regclass, t.tgname)"
					  "  FROM pg_catalog.pg_trigger t JOIN own ON own.oid = t.tgfoid"
					  " WHERE own.proname = 'dbcrypt_encrypt_trigger' AND t.tgenabled = 'D' "
					  "ORDER BY 1");

	for (uint64 i = 0; i < count; i++)
		finding_add(check, SEVERITY_WARNING, query_field(i, 1),
					"it is disabled: what is written stays plaintext", query_field(i, 2));
	SPI_finish();
}

void
check_own_triggers(HealthCheck *check)
{
	check_own(check);
	check_encrypting(check);
}
