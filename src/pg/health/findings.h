/*
 * findings.h
 *		What one run of dbcrypt_check() knows and has found.
 */
#ifndef DBCRYPT_FINDINGS_H
#define DBCRYPT_FINDINGS_H

#include "postgres.h"

#include "access/attnum.h"
#include "nodes/pg_list.h"

/* In the order in which findings are returned. */
typedef enum Severity
{
	SEVERITY_ERROR,
	SEVERITY_WARNING,
	SEVERITY_NOTICE,
	NSEVERITIES
} Severity;

typedef struct Finding
{
	Severity severity;
	const char *subject;
	const char *finding;
	const char *hint;
} Finding;

typedef struct HealthCheck
{
	bool has_keyring; /* false when its sources or dbcrypt_keys cannot be read */
	List *registered; /* columns: TargetColumn */
	List *known;	  /* rows of dbcrypt_keys: RegisteredKey */
	List *examined;	  /* columns looked at, or reported, already */
	List *findings;
} HealthCheck;

/* Adds a finding: what is wrong (finding), where (subject), and what mends it (hint). */
extern void finding_add(HealthCheck *check, Severity severity, const char *subject,
						const char *finding, const char *hint);

/* Adds that something was locked, and therefore not looked at. */
extern void finding_add_locked(HealthCheck *check, const char *subject);

/* A table's column as a finding's subject; NULL if the table is gone. */
extern char *column_subject(Oid relid, const char *column);

/*
 * error_line of an error raised while rows of a relation were read. It may quote
 * them, so whoever may not read the relation gets the SQLSTATE alone.
 */
extern char *row_error_line(const ErrorData *error, Oid relid);

/* Marks a column as looked at, and tells whether it is marked. */
extern void examined_add(HealthCheck *check, Oid relid, AttrNumber attnum);
extern bool examined_has(const HealthCheck *check, Oid relid, AttrNumber attnum);

#endif
