/*
 * rewrite_checks.h
 *		What a rewrite of a column refuses before it begins.
 */
#ifndef DBCRYPT_REWRITE_CHECKS_H
#define DBCRYPT_REWRITE_CHECKS_H

#include "postgres.h"

#include "access/attnum.h"
#include "nodes/pg_list.h"
#include "utils/rel.h"

#include "columns/target.h"

/* Refuses a relation that no rewrite may touch, beyond what target_open refuses. */
extern void rewrite_check_relation(Relation rel);

/* Refuses a column that a unique index reads: encrypted values never repeat. */
extern void rewrite_check_unique_indexes(Relation rel, AttrNumber attnum);

/*
 * Refuses to decrypt a column unless dbcrypt.decrypt_keys names all its keys.
 * members: its open relations.
 */
extern void rewrite_check_decrypt_keys(List *members, const TargetColumn *target);

/* How many locks a rewrite of open relations takes, besides one on each of them. */
extern int64 rewrite_locks(List *rels);

/* Refuses so many locks, held until the transaction ends, that the server has no room for them. */
extern void rewrite_check_locks(int64 locks);

#endif
