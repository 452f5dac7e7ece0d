/*
 * subtransaction.c
 *		Running what may fail without losing the transaction.
 */
#include "postgres.h"

#include "access/xact.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

#include "support/progress.h"
#include "support/subtransaction.h"

/* Runs action(arg) in a subtransaction that is rolled back after an error, or always. */
static ErrorData *
run(void (*action)(void *), void *arg, bool undo)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	ErrorData *volatile error = NULL;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		action(arg);
		if (!undo)
			ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
	}
	PG_END_TRY();
	/* At once: if the caller threw inside the subtransaction, the session would stay in it. */
	if (undo || error)
	{
		RollbackAndReleaseCurrentSubTransaction();
		progress_resume();
	}
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	return error;
}

ErrorData *
subtransaction_run(void (*action)(void *), void *arg)
{
	return run(action, arg, false);
}

bool
error_is_refusal(const ErrorData *error)
{
	switch (ERRCODE_TO_CATEGORY(error->sqlerrcode))
	{
		case ERRCODE_TO_CATEGORY(ERRCODE_TRANSACTION_ROLLBACK):
		case ERRCODE_TO_CATEGORY(ERRCODE_INSUFFICIENT_RESOURCES):
		case ERRCODE_TO_CATEGORY(ERRCODE_OPERATOR_INTERVENTION):
			return false;
		default:
			return error->sqlerrcode != ERRCODE_LOCK_NOT_AVAILABLE &&
				   error->sqlerrcode != ERRCODE_INSUFFICIENT_PRIVILEGE;
	}
}

ErrorData *
subtransaction_undo(void (*action)(void *), void *arg)
{
	return run(action, arg, true);
}
