/*
 * vacuum.c
 *		VACUUM between batches.
 */
#include "postgres.h"

#include "access/xact.h"
#include "commands/vacuum.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "parser/parse_node.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "storage/ipc.h"
#include "tcop/tcopprot.h"
#include "utils/memutils.h"

#include "keys/settings.h"
#include "rotation/vacuum.h"
#include "support/background_worker.h"

/* What a VACUUM worker is to do, in bgw_extra. */
typedef struct VacuumOrder
{
	Oid database;
	Oid relid;
	Oid userid; /* whose rotation it is for */
} VacuumOrder;

PGDLLEXPORT void dbcrypt_vacuum_worker_main(Datum arg);

/* Entry of a VACUUM worker; its order is in bgw_extra. */
void
dbcrypt_vacuum_worker_main(Datum arg)
{
	VacuumOrder order;
	VacuumStmt *statement;
	ParseState *pstate;

	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	memcpy(&order, MyBgworkerEntry->bgw_extra, sizeof(order));
	background_worker_connect(order.database, 0);
	background_worker_show_role(order.userid);

	PortalContext =
		AllocSetContextCreate(TopMemoryContext, "dbcrypt vacuum", ALLOCSET_DEFAULT_SIZES);
	StartTransactionCommand();
	MemoryContextSwitchTo(PortalContext);
	pgstat_report_activity(STATE_RUNNING, "dbcrypt: VACUUM between batches");
	statement = makeNode(VacuumStmt);
	statement->is_vacuumcmd = true;
	statement->options = list_make2(makeDefElem("truncate", (Node *) makeString("off"), -1),
									makeDefElem("skip_locked", NULL, -1));
	statement->rels = list_make1(makeVacuumRelation(NULL, order.relid, NIL));
	pstate = make_parsestate(NULL);
	ExecVacuum(pstate, statement, true);
	CommitTransactionCommand();
}

bool
rotation_vacuum(Oid relid)
{
	VacuumOrder order = {.database = MyDatabaseId, .relid = relid, .userid = GetUserId()};
	BackgroundWorker worker;
	BackgroundWorkerHandle *handle;
	BgwHandleStatus status;

	StaticAssertStmt(sizeof(order) <= BGW_EXTRALEN, "order must fit bgw_extra");
	background_worker_describe(&worker, "dbcrypt vacuum worker", "dbcrypt_vacuum_worker_main");
	memcpy(worker.bgw_extra, &order, sizeof(order));
	if (!background_worker_start(&worker, setting_max_workers, &handle))
		return false;
	PG_TRY();
	{
		status = WaitForBackgroundWorkerShutdown(handle);
	}
	PG_CATCH();
	{
		TerminateBackgroundWorker(handle);
		PG_RE_THROW();
	}
	PG_END_TRY();
	if (status == BGWH_POSTMASTER_DIED)
		proc_exit(1);
	return true;
}
