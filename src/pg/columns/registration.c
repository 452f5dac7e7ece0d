/*
 * registration.c
 *		The SQL functions that register and unregister columns.
 */
#include "postgres.h"

#include "access/relation.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "columns/eligibility.h"
#include "columns/expression_check.h"
#include "columns/members.h"
#include "columns/opening.h"
#include "columns/registry.h"
#include "columns/target.h"
#include "support/arguments.h"

PG_FUNCTION_INFO_V1(dbcrypt_register_column);
PG_FUNCTION_INFO_V1(dbcrypt_unregister_column);

/* Checks the expressions in the table and all its partitions and children. */
static void
check_members(const TargetColumn *target)
{
	ListCell *cell;

	foreach(cell, column_members(target->relid, AccessShareLock))
	{
		Relation member = relation_open(lfirst_oid(cell), NoLock);

		expressions_check(member, target);
		relation_close(member, NoLock);
	}
}

/*
 * dbcrypt_register_column("table" regclass, "column" name, aad text): adds a row to
 * dbcrypt_columns after the checks that a rotation would make.
 */
Datum
dbcrypt_register_column(PG_FUNCTION_ARGS)
{
	static const char *const names[] = {"table", "column"};
	TargetColumn target;
	Relation rel;

	arguments_refuse_null(fcinfo, names, lengthof(names));
	target = target_from_arguments(fcinfo);
	target.aad = text_argument(fcinfo, 2);

	column_check_owner(target.relid);
	rel = relation_open(target.relid, AccessShareLock);
	column_check_owner(target.relid);
	target.attnum = column_check_relation(rel, &target);
	if (rel->rd_rel->relpersistence == RELPERSISTENCE_TEMP)
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						errmsg("columns of temporary tables cannot be registered")));
	check_members(&target);
	column_resolve(&target);
	target.runs_as = InvalidOid;

	SPI_connect();
	column_register(&target);
	SPI_finish();
	relation_close(rel, NoLock);
	PG_RETURN_VOID();
}

/*
 * dbcrypt_unregister_column("table" regclass, "column" name, if_exists boolean): the
 * reverse. With if_exists a column that is not registered gets a notice, not an error.
 */
Datum
dbcrypt_unregister_column(PG_FUNCTION_ARGS)
{
	Oid relid = PG_GETARG_OID(0);
	char *column = NameStr(*PG_GETARG_NAME(1));
	bool unregistered;

	column_check_owner(relid);
	LockRelationOid(relid, AccessShareLock);
	column_check_owner(relid);
	SPI_connect();
	unregistered = column_unregister(relid, get_attnum(relid, column));
	SPI_finish();
	if (!unregistered && PG_GETARG_BOOL(2))
		ereport(NOTICE, (errmsg("column \"%s\" of table \"%s\" is not registered, skipping", column,
								get_rel_name(relid))));
	else if (!unregistered)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
						errmsg("column \"%s\" of table \"%s\" is not registered", column,
							   get_rel_name(relid))));
	PG_RETURN_VOID();
}
