/*
 * members.h
 *		A table and its children: partitions and inheritance.
 */
#ifndef DBCRYPT_MEMBERS_H
#define DBCRYPT_MEMBERS_H

#include "postgres.h"

#include "nodes/pg_list.h"
#include "storage/lockdefs.h"

#include "columns/target.h"

/*
 * Locks the partitioned tables above a relation for reading, topmost first; their
 * OIDs. To be called before the relation is locked: DDL locks in this order.
 */
extern List *column_lock_ancestors(Oid relid);

/*
 * OIDs of a relation and all those that it is a child of, through which column_members
 * finds it.
 */
extern List *column_ancestors(Oid relid);

/*
 * OIDs of a relation and its children of any depth. A partition that is being
 * detached concurrently counts: its rows are still there.
 */
extern List *column_members(Oid relid, LOCKMODE lockmode);

/*
 * Locks a relation and its children, in a fixed order; their OIDs, without those of
 * temporary tables of other sessions, which this session cannot read.
 */
extern List *column_lock_members(Oid relid, LOCKMODE lockmode);

/* The same; NIL, and nothing is locked, if the relation does not exist. */
extern List *column_lock_existing(Oid relid, LOCKMODE lockmode);

/* Refuses everyone but superusers and who owns a relation and all its children. */
extern void column_check_owner_of_members(Oid relid);

/*
 * Which of a relation and its children have their rows elsewhere, a line for each that
 * says where; NULL if all are here.
 */
extern char *column_remote_members(Oid relid);

/* Refuses a column of which some values are elsewhere, and says where. */
extern void column_refuse_remote(const TargetColumn *target);

#endif
