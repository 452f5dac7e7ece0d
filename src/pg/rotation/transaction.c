/*
 * transaction.c
 *		The transactions of a rotation job: each batch has one.
 */
#include "postgres.h"

#include "access/xact.h"
#include "utils/snapmgr.h"

#include "rotation/transaction.h"

void
transaction_begin_read_committed(void)
{
	Assert(!FirstSnapshotSet);
	XactIsoLevel = XACT_READ_COMMITTED;
	SetCurrentStatementStartTimestamp();
}
