/*
 * kept_values.c
 *		A copy of a column's old values. A wrong key opens four of 1,000 values of one
 *		block: where nothing else of a plaintext can be checked, its old value is kept.
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/sysattr.h"
#include "catalog/namespace.h"
#include "executor/spi.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/varlena.h"

#include "columns/options.h"
#include "rows/kept_values.h"
#include "support/relation_name.h"

/* The name of the table to make, quoted. Refuses one without a schema, and one that exists. */
static char *
qualified_name(const char *keep)
{
	List *names;

	if (!SplitIdentifierString(pstrdup(keep), '.', &names) || list_length(names) != 2)
		ereport(ERROR, (errcode(ERRCODE_INVALID_NAME),
						errmsg("\"%s\" does not name a table with its schema", keep),
						errhint("Write keep => 'schema.table'.")));
	if (OidIsValid(get_relname_relid(lsecond(names), get_namespace_oid(linitial(names), false))))
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_TABLE), errmsg("relation \"%s\" already exists", keep)));
	return quote_qualified_identifier(linitial(names), lsecond(names));
}

void
kept_values_check(const TargetColumn *target, dbcrypt_encoding encoding, const char *keep)
{
	if (keep && column_is_authenticated(target))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("keep is for columns of a scheme without authentication")));
	if (keep)
		(void) qualified_name(keep);
	if (keep == NULL && !column_is_authenticated(target) &&
		!options_plaintext_is_text(&target->options, encoding))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("column \"%s\" of table \"%s\" can only be changed with keep => "
							   "'schema.table'",
							   target->name, get_rel_name(target->relid)),
						errdetail("Its plaintext may be any bytes: of 1,000 values written under "
								  "another key, four are not noticed. So its old values are kept."),
						errhint("Name a new table for them.")));
}

/* The columns to keep: the primary key's, the value and its companions. */
static char *
column_list(Relation rel, const TargetColumn *target)
{
	Bitmapset *key = RelationGetIndexAttrBitmap(rel, INDEX_ATTR_BITMAP_PRIMARY_KEY);
	const char *const values[] = {target->name, target->options.companion, target->options.salt};
	StringInfoData list;
	int member = -1;

	if (key == NULL)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("table \"%s\" has no primary key", RelationGetRelationName(rel)),
						errdetail("Kept values could not be put back into their rows.")));
	initStringInfo(&list);
	while ((member = bms_next_member(key, member)) >= 0)
	{
		char *name = get_attname(RelationGetRelid(rel),
								 (AttrNumber) (member + FirstLowInvalidHeapAttributeNumber), false);

		appendStringInfo(&list, "%s, ", quote_identifier(name));
	}
	for (int i = 0; i < lengthof(values); i++)
		if (values[i])
			appendStringInfo(&list, "%s%s", i > 0 ? ", " : "", quote_identifier(values[i]));
	return list.data;
}

void
kept_values_save(const TargetColumn *target, const char *keep, int64 values)
{
	Relation rel = relation_open(target->relid, NoLock);
	char *statement = psprintf("CREATE TABLE %s AS SELECT %s FROM %s WHERE %s IS NOT NULL",
							   qualified_name(keep), column_list(rel, target),
							   relation_name(target->relid), quote_identifier(target->name));
	int result;

	relation_close(rel, NoLock);
	SPI_connect();
	result = SPI_execute(statement, false, 0);
	if (result < 0)
		elog(ERROR, "could not make a table of old values: %s", SPI_result_code_string(result));
	if ((int64) SPI_processed < values)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("only " UINT64_FORMAT " of " INT64_FORMAT " old values could be kept",
						SPI_processed, values),
				 errdetail("A row security policy hides the others from the caller.")));
	SPI_finish();
}
