/*
 * copying_triggers.h
 *		Triggers by which other programs copy a table.
 */
#ifndef DBCRYPT_COPYING_TRIGGERS_H
#define DBCRYPT_COPYING_TRIGGERS_H

#include "postgres.h"

#include "utils/rel.h"

#include "columns/target.h"

/*
 * Refuses a relation with an enabled AFTER UPDATE trigger that is told of the rows, each
 * or in a transition table, is not dbcrypt's, and that the column's options do not accept:
 * a program that copies the table by it would miss what dbcrypt writes, and bring the old
 * values back. Those of partitioned tables above count too. To be called under a lock that
 * keeps triggers from being created, and again under each.
 */
extern void copying_trigger_check(Relation rel, const TargetColumn *target);

#endif
