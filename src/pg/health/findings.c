/*
 * findings.c
 *		What one run of dbcrypt_check() knows and has found.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "health/findings.h"
#include "support/errors.h"
#include "support/relation_name.h"

/* A column that was looked at as a registered one, or reported as unregistered. */
typedef struct ExaminedColumn
{
	Oid relid;
	AttrNumber attnum;
} ExaminedColumn;

void
finding_add(HealthCheck *check, Severity severity, const char *subject, const char *finding,
			const char *hint)
{
	Finding *added = palloc(sizeof(Finding));

	*added = (Finding){severity, subject, finding, hint};
	check->findings = lappend(check->findings, added);
}

void
finding_add_locked(HealthCheck *check, const char *subject)
{
	finding_add(check, SEVERITY_NOTICE, subject, "was locked and not looked at",
				"Run dbcrypt_check() again.");
}

char *
column_subject(Oid relid, const char *column)
{
	char *table = relation_name(relid);

	return table ? psprintf("column %s.%s", table, quote_identifier(column)) : NULL;
}

char *
row_error_line(const ErrorData *error, Oid relid)
{
	if (pg_class_aclcheck(relid, GetUserId(), ACL_SELECT) == ACLCHECK_OK)
		return error_line(error);
	return psprintf("SQLSTATE %s", unpack_sql_state(error->sqlerrcode));
}

void
examined_add(HealthCheck *check, Oid relid, AttrNumber attnum)
{
	ExaminedColumn *column = palloc(sizeof(ExaminedColumn));

	*column = (ExaminedColumn){relid, attnum};
	check->examined = lappend(check->examined, column);
}

bool
examined_has(const HealthCheck *check, Oid relid, AttrNumber attnum)
{
	ListCell *cell;

	foreach(cell, check->examined)
	{
		ExaminedColumn *column = lfirst(cell);

		if (column->relid == relid && column->attnum == attnum)
			return true;
	}
	return false;
}
