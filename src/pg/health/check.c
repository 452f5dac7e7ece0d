/*
 * check.c
 *		dbcrypt_check(): what is wrong, or soon will be, with keys, columns and
 *		settings.
 *
 * It writes nothing and waits for no lock on a table, so it may run at any time,
 * on a standby too. It shows counts, places and key ids, but no value, because
 * pg_monitor may call it: it reads what its caller may not.
 */
#include "postgres.h"

#include "fmgr.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/tuplestore.h"

#include "columns/registry.h"
#include "health/check_keyring.h"
#include "health/check_plaintext.h"
#include "health/check_registered.h"
#include "health/check_settings.h"
#include "health/check_triggers.h"
#include "health/check_unregistered.h"
#include "health/findings.h"
#include "support/arguments.h"
#include "support/catalog.h"

PG_FUNCTION_INFO_V1(dbcrypt_check);

#define NRESULTS 4

static const char *const severity_names[] = {"error", "warning", "notice"};

/*
 * Locks one of dbcrypt's own tables for reading until the check ends; false, and a
 * finding, if that would mean to wait.
 */
static bool
lock_own_table(HealthCheck *check, const char *name)
{
	if (ConditionalLockRelationOid(catalog_relation(name), AccessShareLock))
		return true;
	finding_add_locked(check, psprintf("table %s", name));
	return false;
}

/* Looks at everything. Without dbcrypt_columns nobody knows what is registered. */
static void
run_checks(HealthCheck *check)
{
	bool has_keys = lock_own_table(check, "dbcrypt_keys");
	bool has_columns = lock_own_table(check, "dbcrypt_columns");
	ListCell *cell;

	if (has_columns)
		check->registered = columns_registered();
	if (has_keys)
		check_keyring(check);
	check_settings(check);
	check_own_triggers(check);
	check_plaintext(check);
	if (has_columns)
	{
		foreach(cell, check->registered)
		{
			check_registered_column(check, lfirst(cell));
		}
		check_unregistered_columns(check);
		UnlockRelationOid(catalog_relation("dbcrypt_columns"), AccessShareLock);
	}
	if (has_keys)
		UnlockRelationOid(catalog_relation("dbcrypt_keys"), AccessShareLock);
}

/* A row per finding, errors first; none when all is well. */
Datum
dbcrypt_check(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = result_set(fcinfo, NRESULTS);
	HealthCheck check = {0};
	ListCell *cell;

	run_checks(&check);
	for (int severity = 0; severity < NSEVERITIES; severity++)
		foreach(cell, check.findings)
		{
			Finding *finding = lfirst(cell);
			Datum values[NRESULTS];
			bool nulls[NRESULTS] = {false};

			if (finding->severity != severity)
				continue;
			values[0] = CStringGetTextDatum(severity_names[severity]);
			values[1] = CStringGetTextDatum(finding->subject);
			values[2] = CStringGetTextDatum(finding->finding);
			values[3] = CStringGetTextDatum(finding->hint);
			tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
		}
	return (Datum) 0;
}
