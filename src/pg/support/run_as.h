/*
 * run_as.h
 *		Running code as the owner of a relation.
 */
#ifndef DBCRYPT_RUN_AS_H
#define DBCRYPT_RUN_AS_H

#include "postgres.h"

/* What run_as_owner saves and run_as_restore restores. */
typedef struct RunAsContext
{
	Oid userid;
	int security;
	int nestlevel;
} RunAsContext;

/* The role that owns a relation; throws if it is gone. */
extern Oid owner_of(Oid relid);

/*
 * From here code runs as that role in a security-restricted operation, with
 * search_path fixed to pg_catalog; run_as_restore ends it.
 */
extern void run_as_owner(Oid owner, RunAsContext *saved);
extern void run_as_restore(const RunAsContext *saved);

#endif
