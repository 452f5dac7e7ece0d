/*
 * catalog.c
 *		The extension's own tables: where they are, and safe reading of their rows.
 *
 * The tables are made by the extension's script, which may be older or newer than
 * this library. So columns are found by name, and a missing one is an error.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/indexing.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "nodes/value.h"
#include "parser/parse_func.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"

#include "support/catalog.h"
#include "support/run_as.h"

PG_FUNCTION_INFO_V1(dbcrypt_catalog_changed);

/* OID of the schema the extension was created in, InvalidOid without the extension. */
static Oid
extension_namespace(void)
{
	Relation rel = table_open(ExtensionRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple tuple;
	Oid schema = InvalidOid;

	ScanKeyInit(&key, Anum_pg_extension_extname, BTEqualStrategyNumber, F_NAMEEQ,
				CStringGetDatum("dbcrypt"));
	scan = systable_beginscan(rel, ExtensionNameIndexId, true, NULL, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
		schema = ((Form_pg_extension) GETSTRUCT(tuple))->extnamespace;
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return schema;
}

Oid
catalog_relation(const char *name)
{
	Oid schema = extension_namespace();

	return OidIsValid(schema) ? get_relname_relid(name, schema) : InvalidOid;
}

/* The name of the extension's schema; throws without the extension. */
static char *
extension_schema(void)
{
	Oid schema = extension_namespace();

	if (!OidIsValid(schema))
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
						errmsg("extension \"dbcrypt\" does not exist in this database"),
						errhint("Run CREATE EXTENSION dbcrypt.")));
	return get_namespace_name(schema);
}

char *
catalog_relation_name(const char *name)
{
	return quote_qualified_identifier(extension_schema(), name);
}

Oid
catalog_function(const char *name, Oid first, Oid second)
{
	Oid arguments[] = {first, second};
	List *qualified = list_make2(makeString(extension_schema()), makeString(pstrdup(name)));

	return LookupFuncName(qualified, lengthof(arguments), arguments, false);
}

AttrNumber
catalog_column(Relation rel, const char *name, Oid type)
{
	TupleDesc desc = RelationGetDescr(rel);

	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(desc, i);

		if (!attribute->attisdropped && attribute->atttypid == type &&
			strcmp(NameStr(attribute->attname), name) == 0)
			return attribute->attnum;
	}
	ereport(ERROR, (errcode(ERRCODE_UNDEFINED_COLUMN),
					errmsg("table \"%s\" has no column \"%s\" of type %s",
						   RelationGetRelationName(rel), name, format_type_be(type)),
					errdetail("This version of the dbcrypt library reads it."),
					errhint("Install the version of dbcrypt that pg_extension names, or run "
							"ALTER EXTENSION dbcrypt UPDATE.")));
}

Datum
catalog_value(HeapTuple tuple, Relation rel, AttrNumber attnum)
{
	bool isnull;
	Datum value = heap_getattr(tuple, attnum, RelationGetDescr(rel), &isnull);

	if (isnull)
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
						errmsg("column \"%s\" of table \"%s\" is null",
							   NameStr(TupleDescAttr(RelationGetDescr(rel), attnum - 1)->attname),
							   RelationGetRelationName(rel))));
	return value;
}

uint64
catalog_execute(const char *query, int nargs, Oid *types, Datum *values, const char *nulls,
				int expected)
{
	Oid relid = catalog_relation("dbcrypt_keys");
	RunAsContext saved;
	int result;

	if (!OidIsValid(relid))
		(void) catalog_relation_name("dbcrypt_keys");
	run_as_owner(owner_of(relid), &saved);
	result = SPI_execute_with_args(query, nargs, types, values, nulls, false, 0);
	if (result != expected)
		elog(ERROR, "query as the owner of dbcrypt's tables failed: %s",
			 SPI_result_code_string(result));
	run_as_restore(&saved);
	return SPI_processed;
}

/*
 * Trigger on the extension's tables: every session reads the table again. For each row,
 * since the apply of a subscription fires no others; and for TRUNCATE.
 */
Datum
dbcrypt_catalog_changed(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR, (errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
						errmsg("dbcrypt_catalog_changed must be called as a trigger")));
	CacheInvalidateRelcache(trigger->tg_relation);
	return PointerGetDatum(NULL);
}
