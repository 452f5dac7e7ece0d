/*
 * empty_scan.c
 *		A scan that finds no row is suspicious: where SQL finds values in the same
 *		table, something stands between the table and its rows, and whatever was
 *		done was done to nothing.
 */
#include "postgres.h"

#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "columns/empty_scan.h"
#include "columns/target.h"
#include "support/catalog.h"
#include "support/relation_name.h"
#include "support/run_as.h"

void
empty_scan_check(const TargetColumn *target, int64 scanned)
{
	char *table = get_rel_name(target->relid);
	char *query;
	RunAsContext saved;
	bool isnull;
	bool found;

	if (scanned > 0)
		return;
	query = psprintf("SELECT EXISTS (SELECT FROM %s WHERE %s IS NOT NULL)",
					 relation_name(target->relid), quote_identifier(target->name));
	SPI_connect();
	run_as_owner(owner_of(catalog_relation("dbcrypt_columns")), &saved);
	if (SPI_execute(query, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "query on table \"%s\" failed", table);
	found = DatumGetBool(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	run_as_restore(&saved);
	SPI_finish();
	if (found)
		ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED),
						errmsg("no row of table \"%s\" was found, but SQL finds values in column "
							   "\"%s\"",
							   table, target->name),
						errdetail("Something stands between the table and its rows.")));
}
