/*
 * rewrite_heap.h
 *		Writes one relation anew with other values of a column.
 */
#ifndef DBCRYPT_REWRITE_HEAP_H
#define DBCRYPT_REWRITE_HEAP_H

#include "postgres.h"

#include "utils/rel.h"

#include "columns/target.h"

/* What to do with every value. */
typedef enum RewriteKind
{
	REWRITE_ENCRYPT,
	REWRITE_DECRYPT,
	REWRITE_DELETE
} RewriteKind;

/* What a rewrite did, in values. */
typedef struct RewriteCounts
{
	int64 scanned;
	int64 changed;
	int64 kept;
	int64 nulls;
} RewriteCounts;

/*
 * Each works on one relation that is locked, and adds to *counts.
 *
 * dry_run: computes and checks every new row, and writes none.
 * is_needed: looks at values alone; true at the first that would change.
 * relation: writes the relation anew and closes it. It is locked exclusively.
 */
extern void rewrite_dry_run(RewriteKind kind, Relation rel, const TargetColumn *target,
							RewriteCounts *counts);
extern bool rewrite_is_needed(RewriteKind kind, Relation rel, const TargetColumn *target,
							  RewriteCounts *counts);
extern void rewrite_relation(RewriteKind kind, Relation rel, const TargetColumn *target,
							 RewriteCounts *counts);

#endif
