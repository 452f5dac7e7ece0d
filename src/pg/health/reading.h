/*
 * reading.h
 *		How the health check reads: as it is allowed to, and without waiting.
 */
#ifndef DBCRYPT_READING_H
#define DBCRYPT_READING_H

#include "postgres.h"

#include "executor/tuptable.h"
#include "storage/block.h"
#include "utils/rel.h"

/*
 * Runs action(arg) in a subtransaction; its error, or NULL. A lock that it would
 * have to wait for is such an error (see is_lock_error). A cancelled query is
 * cancelled all the same.
 */
extern ErrorData *read_without_waiting(void (*action)(void *), void *arg);

/* Whether the error says that a lock was not to be had. */
extern bool is_lock_error(const ErrorData *error);

/*
 * Opens a relation with AccessShareLock, unless it is gone or locked against
 * reading; then NULL, and *locked says which.
 */
extern Relation open_unless_locked(Oid relid, bool *locked);

/* Whether the relation has rows that can be read here. */
extern bool is_readable(Relation rel);

/* Called for each row; false ends the scan. */
typedef bool (*RowVisitor)(TupleTableSlot *row, void *arg);

/*
 * Visits the rows of a relation under the latest snapshot, those of the first
 * blocks only if nblocks is not 0. Runs no code of the relation's owner.
 */
extern void visit_rows(Relation rel, BlockNumber nblocks, RowVisitor visit, void *arg);

/*
 * Runs a query as the owner of dbcrypt's tables. Its rows are in SPI_tuptable
 * until SPI_finish; the memory context stays the caller's.
 */
extern uint64 query_begin(const char *statement);

/* A column of a row of the query, "" for NULL. */
extern char *query_field(uint64 row, int column);

#endif
