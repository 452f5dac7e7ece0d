/*
 * finish.c
 *		What ends a rotation in place: no old value stays in the statistics, and
 *		the call returns when its changes are durable.
 */
#include "postgres.h"

#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "columns/members.h"
#include "columns/target.h"
#include "rotation/in_place/finish.h"
#include "rotation/in_place/page_image_wal.h"
#include "rotation/method.h"
#include "support/relation_name.h"

/* Whether the column's statistics hold a sample of its values. */
static bool
has_statistics(Oid relid, AttrNumber attnum)
{
	return SearchSysCacheExists3(STATRELATTINH, ObjectIdGetDatum(relid), Int16GetDatum(attnum),
								 BoolGetDatum(false)) ||
		   SearchSysCacheExists3(STATRELATTINH, ObjectIdGetDatum(relid), Int16GetDatum(attnum),
								 BoolGetDatum(true));
}

/*
 * Takes the old values out of the statistics of the table and its children. A
 * small sample will do: ciphertext has no distribution to learn, only NULLs and widths.
 */
static void
refresh_statistics(const TargetColumn *target)
{
	int nestlevel = NewGUCNestLevel();
	ListCell *cell;

	(void) set_config_option("default_statistics_target", "10", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	PushActiveSnapshot(GetTransactionSnapshot());
	foreach(cell, column_members(target->relid, AccessShareLock))
	{
		Oid relid = lfirst_oid(cell);
		char *command;

		if (!has_statistics(relid, get_attnum(relid, target->name)))
			continue;
		command = psprintf("ANALYZE %s (%s)", relation_name(relid), quote_identifier(target->name));
		if (SPI_execute(command, false, 0) != SPI_OK_UTILITY)
			elog(ERROR, "ANALYZE failed");
	}
	PopActiveSnapshot();
	AtEOXact_GUC(false, nestlevel);
}

void
in_place_finish(const TargetColumn *target, const RotationResult *result)
{
	if (result->rotated > 0)
		refresh_statistics(target);
	page_image_wal_await();
	SPI_commit();
}
