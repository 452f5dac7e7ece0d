/*
 * registry_guard.c
 *		Refuses DDL after which values could not be decrypted.
 *
 * It looks for the names of columns in the text of expressions. That needs neither a
 * lock on a table nor the rights of its owner, and an expression that no longer works
 * does not stand in the way of who repairs it.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "nodes/nodeFuncs.h"
#include "nodes/parsenodes.h"
#include "nodes/value.h"
#include "parser/parse_type.h"
#include "parser/parser.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/reltrigger.h"
#include "utils/syscache.h"

#include "columns/members.h"
#include "columns/options.h"
#include "columns/registry.h"
#include "columns/registry_guard.h"
#include "columns/row_types.h"
#include "columns/target.h"
#include "keys/key_catalog.h"
#include "support/catalog.h"
#include "support/compat.h"
#include "support/string_list.h"

/* A command's change of one column. */
typedef struct GuardedChange
{
	Oid relid;
	const char *column;
	const char *verb;	 /* drop, rename, change the type or the expression of */
	const List *dropped; /* names of all columns that the command drops */
	bool recurses;		 /* to the table's children: no ONLY */
} GuardedChange;

/* Tree walker: whether a column reference names the column, a string. */
static bool
names_column(Node *node, void *column)
{
	if (node == NULL)
		return false;
	if (IsA(node, ColumnRef))
	{
		Node *last = llast(((ColumnRef *) node)->fields);

		return IsA(last, String) && strcmp(strVal(last), column) == 0;
	}
	return raw_expression_tree_walker(node, names_column, column);
}

/* Whether an expression, which may be NULL, reads a column of that name. */
static bool
reads(const char *expression, const char *column)
{
	RawStmt *statement;

	if (expression == NULL)
		return false;
	statement =
		linitial_node(RawStmt, raw_parser(psprintf("SELECT %s", expression), RAW_PARSE_DEFAULT));
	return names_column(statement->stmt, unconstify(char *, column));
}

/* What of a registered column needs the column, or NULL. */
static const char *
need_of(const TargetColumn *target, const char *column)
{
	const ColumnOptions *options = &target->options;

	if (reads(target->aad, column))
		return "AAD expression";
	if (reads(options->attribute_expression, column))
		return "attribute expression";
	if (reads(options->where, column))
		return "where expression";
	if (options_is_companion(options, column))
		return "companion option";
	return NULL;
}

/* Whether one of two tables is the other, or its child. */
static bool
are_related(Oid a, Oid b)
{
	return a == b || list_member_oid(column_members(a, NoLock), b) ||
		   list_member_oid(column_members(b, NoLock), a);
}

/*
 * Whether the command changes the column of the table's child too. One that has it from
 * elsewhere besides keeps it when the parent drops it.
 */
static bool
reaches_child(const GuardedChange *change, Oid child)
{
	HeapTuple tuple;
	Form_pg_attribute attribute;
	bool reaches;

	if (!change->recurses)
		return false;
	tuple = SearchSysCacheAttName(child, change->column);
	if (!HeapTupleIsValid(tuple))
		return false;
	attribute = (Form_pg_attribute) GETSTRUCT(tuple);
	if (strcmp(change->verb, "drop") == 0)
		reaches = attribute->attinhcount == 1 && !attribute->attislocal;
	else
		reaches = attribute->attinhcount > 0;
	ReleaseSysCache(tuple);
	return reaches;
}

/* Whether the command changes the column of a table, or of one of its children. */
static bool
reaches(const GuardedChange *change, Oid relid)
{
	if (list_member_oid(column_members(relid, NoLock), change->relid))
		return true;
	return list_member_oid(column_members(change->relid, NoLock), relid) &&
		   reaches_child(change, relid);
}

/*
 * Whether a table, or one related to it, has a registered column. Reads only names, so
 * that DDL on other tables works beside a registry of another version.
 */
static bool
is_concerned(Oid relid)
{
	ListCell *cell;

	foreach(cell, registry_rows(false))
	{
		const RegistryRow *row = lfirst(cell);

		if (OidIsValid(row->column.relid) && are_related(row->column.relid, relid))
			return true;
	}
	return false;
}

/* Refuses a change of a column that a registered one needs, which is not dropped too. */
static void
check_registered_columns(const GuardedChange *change)
{
	ListCell *cell;

	if (!is_concerned(change->relid))
		return;
	foreach(cell, columns_registered())
	{
		const TargetColumn *target = lfirst(cell);
		const char *need = need_of(target, change->column);

		if (need == NULL || !OidIsValid(target->relid) ||
			string_list_has(change->dropped, target->name) || !reaches(change, target->relid))
			continue;
		ereport(ERROR,
				(errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
				 errmsg("cannot %s column \"%s\" of table \"%s\"", change->verb, change->column,
						get_rel_name(change->relid)),
				 errdetail("The %s of registered column \"%s\" needs it: without it, the values "
						   "of that column cannot be decrypted.",
						   need, target->name),
				 errhint("Decrypt that column with dbcrypt_decrypt_column() first. Where the same "
						 "bytes come from another expression afterwards, "
						 "dbcrypt_unregister_column() and dbcrypt_register_column() suffice.")));
	}
}

/* Refuses to give a registered column a type that cannot hold its values. */
static void
check_type(const GuardedChange *change, const TypeName *name)
{
	Oid type = LookupTypeNameOid(NULL, name, true);
	ListCell *cell;

	if (!OidIsValid(type) || !is_concerned(change->relid))
		return;
	foreach(cell, columns_registered())
	{
		const TargetColumn *target = lfirst(cell);

		if (target->problem || strcmp(target->name, change->column) != 0 ||
			!reaches(change, target->relid) || column_fits_type(target, type))
			continue;
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("cannot change the type of column \"%s\" of table \"%s\"", change->column,
						get_rel_name(change->relid)),
				 errdetail("It is registered in dbcrypt_columns, and type %s cannot hold its "
						   "encrypted values.",
						   format_type_be(type)),
				 errhint("Decrypt it with dbcrypt_decrypt_column() first. If it holds no encrypted "
						 "value, dbcrypt_unregister_column() suffices.")));
	}
}

/* Refuses a change of a column that an encrypting trigger of the relation names. */
static void
check_triggers(Relation rel, const GuardedChange *change)
{
	bool renames = strcmp(change->verb, "rename") == 0;

	for (int i = 0; rel->trigdesc && i < rel->trigdesc->numtriggers; i++)
	{
		const Trigger *trigger = &rel->trigdesc->triggers[i];
		char *function = get_func_name(trigger->tgfoid);

		if (function == NULL || strcmp(function, "dbcrypt_encrypt_trigger") != 0 ||
			trigger->tgnargs < 1)
			continue;
		if ((renames && strcmp(trigger->tgargs[0], change->column) == 0) ||
			(trigger->tgnargs > 1 && !string_list_has(change->dropped, trigger->tgargs[0]) &&
			 reads(trigger->tgargs[1], change->column)))
			ereport(ERROR,
					(errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
					 errmsg("cannot %s column \"%s\" of table \"%s\"", change->verb, change->column,
							RelationGetRelationName(rel)),
					 errdetail("Encrypting trigger \"%s\" names it.", trigger->tgname),
					 errhint("In one transaction, drop the trigger, change the column, and create "
							 "the trigger again.")));
	}
}

/* Refuses the change of a column in a table or in its children. */
static void
check_change(const GuardedChange *change)
{
	ListCell *cell;

	check_registered_columns(change);
	foreach(cell, column_members(change->relid, NoLock))
	{
		Oid relid = lfirst_oid(cell);
		Relation rel;

		if (relid != change->relid && !reaches_child(change, relid))
			continue;
		rel = try_relation_open(relid, AccessShareLock);
		if (rel == NULL)
			continue;
		check_triggers(rel, change);
		relation_close(rel, AccessShareLock);
	}
}

/* Whether a table with a registered column has rows of a type in it. As is_concerned. */
static bool
is_concerned_type(Oid row_type)
{
	ListCell *cell;

	foreach(cell, registry_rows(false))
	{
		const RegistryRow *row = lfirst(cell);

		if (OidIsValid(row->column.relid) && columns_with_row(row->column.relid, row_type) != NIL)
			return true;
	}
	return false;
}

/*
 * Refuses to add, drop or rename an attribute of a composite type, or a column of a table
 * that is the type of another's column, where a registered column needs a column with such
 * rows: the bytes of "(addr).city", "addr::text" or "to_jsonb(addr)" may become others.
 * PostgreSQL itself refuses to change an attribute's type there.
 */
static void
check_row_type(Oid relid, const char *attribute, const char *verb)
{
	Oid row_type = get_rel_type_id(relid);
	ListCell *cell;

	if (!OidIsValid(row_type) || !is_concerned_type(row_type))
		return;
	foreach(cell, columns_registered())
	{
		const TargetColumn *target = lfirst(cell);
		ListCell *name;

		if (!OidIsValid(target->relid))
			continue;
		foreach(name, columns_with_row(target->relid, row_type))
		{
			const char *need = need_of(target, lfirst(name));

			if (need == NULL)
				continue;
			ereport(
				ERROR,
				(errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
				 errmsg("cannot %s attribute \"%s\" of type %s", verb, attribute,
						format_type_be(row_type)),
				 errdetail("The %s of registered column \"%s\" of table \"%s\" reads column "
						   "\"%s\", which has rows of that type: were it to give other "
						   "bytes, the values could not be decrypted.",
						   need, target->name, get_rel_name(target->relid), (char *) lfirst(name)),
				 errhint("Decrypt that column with dbcrypt_decrypt_column() first. Where the "
						 "same bytes come from the expression afterwards, "
						 "dbcrypt_unregister_column() and dbcrypt_register_column() "
						 "suffice.")));
		}
	}
}

/* Whether two strings are the same, or both NULL. */
static bool
same_string(const char *a, const char *b)
{
	return a == b || (a && b && strcmp(a, b) == 0);
}

/* Whether values of two registered columns are encrypted in the same way. */
static bool
same_registration(const TargetColumn *a, const TargetColumn *b)
{
	return a->scheme == b->scheme && same_string(a->aad, b->aad) &&
		   compareJsonbContainers(&DatumGetJsonbP(options_write(&a->options))->root,
								  &DatumGetJsonbP(options_write(&b->options))->root) == 0;
}

/* Refuses to give a child to a parent that covers its column with another registration. */
static void
check_attach(Oid parent, Oid child)
{
	List *registered = columns_registered();
	List *children = column_members(child, NoLock);
	ListCell *above_cell;

	foreach(above_cell, registered)
	{
		const TargetColumn *above = lfirst(above_cell);
		ListCell *cell;

		if (!OidIsValid(above->relid) ||
			!list_member_oid(column_members(above->relid, NoLock), parent))
			continue;
		foreach(cell, registered)
		{
			const TargetColumn *below = lfirst(cell);

			if (strcmp(below->name, above->name) == 0 && list_member_oid(children, below->relid) &&
				!same_registration(above, below))
				ereport(ERROR,
						(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						 errmsg("table \"%s\" cannot become a child of table \"%s\"",
								get_rel_name(child), get_rel_name(parent)),
						 errdetail("Column \"%s\" is registered with another scheme, AAD or "
								   "options in each of them.",
								   above->name),
						 errhint("Decrypt the column of the child with dbcrypt_decrypt_column() "
								 "first, and encrypt it as that of the parent is.")));
		}
	}
}

/* A table by name; InvalidOid if it does not exist, which the command will report. */
static Oid
table_of(const RangeVar *name)
{
	return RangeVarGetRelid(name, NoLock, true);
}

/* The columns that ALTER TABLE drops. */
static List *
dropped_columns(const AlterTableStmt *statement)
{
	List *names = NIL;
	ListCell *cell;

	foreach(cell, statement->cmds)
	{
		const AlterTableCmd *command = lfirst_node(AlterTableCmd, cell);

		if (command->subtype == AT_DropColumn)
			names = lappend(names, command->name);
	}
	return names;
}

/*
 * The tables that a command on a table or a composite type alters: those of the type, that
 * is. NIL if there is none, which the command will report.
 */
static List *
altered_tables(const RangeVar *name)
{
	Oid relid = table_of(name);
	List *tables = NIL;
	Relation catalog;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple row;

	if (!OidIsValid(relid))
		return NIL;
	if (get_rel_relkind(relid) != RELKIND_COMPOSITE_TYPE)
		return list_make1_oid(relid);
	catalog = table_open(RelationRelationId, AccessShareLock);
	ScanKeyInit(&key, Anum_pg_class_reloftype, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(get_rel_type_id(relid)));
	scan = systable_beginscan(catalog, InvalidOid, false, NULL, 1, &key);
	while (HeapTupleIsValid(row = systable_getnext(scan)))
		tables = lappend_oid(tables, ((Form_pg_class) GETSTRUCT(row))->oid);
	systable_endscan(scan);
	table_close(catalog, AccessShareLock);
	return tables;
}

/* Looks at one action of ALTER TABLE or ALTER TYPE on a table. */
static void
guard_action(GuardedChange *change, const AlterTableCmd *command)
{
	change->column = command->name;
	if (compat_sets_expression(command->subtype))
	{
		change->verb = "change the expression of";
		check_change(change);
		return;
	}
	switch (command->subtype)
	{
		case AT_DropColumn:
			change->verb = "drop";
			check_change(change);
			break;
		case AT_AlterColumnType:
			change->verb = "change the type of";
			check_change(change);
			check_type(change, castNode(ColumnDef, command->def)->typeName);
			break;
		case AT_AttachPartition:
			check_attach(change->relid, table_of(castNode(PartitionCmd, command->def)->name));
			break;
		case AT_AddInherit:
			check_attach(table_of(castNode(RangeVar, command->def)), change->relid);
			break;
		default:
			break;
	}
}

/* Looks at one action as a change of the type that the table's, or type's, rows have. */
static void
guard_row_type(Oid relid, const AlterTableCmd *command)
{
	if (command->subtype == AT_DropColumn)
		check_row_type(relid, command->name, "drop");
	else if (command->subtype == AT_AddColumn)
		check_row_type(relid, castNode(ColumnDef, command->def)->colname, "add");
}

/* Looks at ALTER TABLE, and at ALTER TYPE of a composite type. */
static void
guard_alter_table(const AlterTableStmt *statement)
{
	GuardedChange change = {.dropped = dropped_columns(statement),
							.recurses = statement->relation->inh};
	ListCell *table;
	ListCell *cell;

	foreach(cell, statement->cmds)
		guard_row_type(table_of(statement->relation), lfirst_node(AlterTableCmd, cell));
	foreach(table, altered_tables(statement->relation))
	{
		change.relid = lfirst_oid(table);
		foreach(cell, statement->cmds)
			guard_action(&change, lfirst_node(AlterTableCmd, cell));
	}
}

/* Looks at RENAME of a column, or of an attribute of a composite type. */
static void
guard_rename(const RenameStmt *rename)
{
	GuardedChange change = {
		.column = rename->subname, .verb = "rename", .recurses = rename->relation->inh};
	ListCell *cell;

	check_row_type(table_of(rename->relation), rename->subname, "rename");
	foreach(cell, altered_tables(rename->relation))
	{
		change.relid = lfirst_oid(cell);
		check_change(&change);
	}
}

void
registry_guard_dropped(Oid relid, const char *column)
{
	GuardedChange change = {.relid = relid, .column = column, .verb = "drop"};

	if (get_rel_name(relid) && get_attnum(relid, column) == InvalidAttrNumber)
		check_registered_columns(&change);
}

void
registry_guard(Node *command)
{
	if (IsA(command, AlterTableStmt) && (((AlterTableStmt *) command)->objtype == OBJECT_TABLE ||
										 ((AlterTableStmt *) command)->objtype == OBJECT_TYPE))
		guard_alter_table((AlterTableStmt *) command);
	else if (IsA(command, RenameStmt) && (((RenameStmt *) command)->renameType == OBJECT_COLUMN ||
										  ((RenameStmt *) command)->renameType == OBJECT_ATTRIBUTE))
		guard_rename((RenameStmt *) command);
}

/*
 * Says which keys' states go with the extension: a dump that is restored then brings
 * states of its own, so pg_restore --clean may take a revoked key back into use.
 */
static void
warn_of_forgotten_states(void)
{
	StringInfoData keys;
	ListCell *cell;

	initStringInfo(&keys);
	foreach(cell, catalog_keys())
	{
		const RegisteredKey *key = lfirst(cell);

		if (key->retired)
			appendStringInfo(&keys, "%s%s (%s)", keys.len > 0 ? ", " : "", key->key_id,
							 key->revoked ? "revoked" : "retired");
	}
	if (keys.len > 0)
		ereport(WARNING,
				(errmsg("dropping dbcrypt forgets which encryption keys are retired or revoked"),
				 errdetail("Keys: %s.", keys.data),
				 errhint("After a restore look at dbcrypt_key_status, and revoke them again with "
						 "dbcrypt_revoke_keys().")));
}

/* Whether a command drops the extension: by its name, or with its schema. */
static bool
drops_extension(const DropStmt *drop)
{
	const char *schema = get_namespace_name(get_rel_namespace(catalog_relation("dbcrypt_keys")));
	const char *name;
	ListCell *cell;

	if (drop->removeType == OBJECT_EXTENSION)
		name = "dbcrypt";
	else if (drop->removeType == OBJECT_SCHEMA && drop->behavior == DROP_CASCADE && schema)
		name = schema;
	else
		return false;
	foreach(cell, drop->objects)
		if (strcmp(strVal(lfirst(cell)), name) == 0)
			return true;
	return false;
}

void
registry_guard_states(Node *command)
{
	if (IsA(command, DropStmt) && drops_extension((DropStmt *) command))
		warn_of_forgotten_states();
}
