/*
 * expression_trust.c
 *		Whether an expression may run code of users.
 *
 * A registered expression runs as its table's owner. After ALTER TABLE ... OWNER TO that
 * is another role than the one it was registered for, and the old owner may still replace
 * the functions that it calls. Then only PostgreSQL's own functions may run.
 *
 * The text is looked at before it is parsed: PostgreSQL reads constants while it parses,
 * and to read a constant of a domain's array runs the domain's check.
 */
#include "postgres.h"

#include "access/transam.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "parser/parser.h"
#include "utils/acl.h"
#include "utils/catcache.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "columns/expression_stability.h"
#include "columns/expression_trust.h"
#include "columns/options.h"
#include "columns/target.h"
#include "support/run_as.h"

/* Whether a user has made casts from a type. */
static bool
has_casts(Oid type)
{
	CatCList *casts = SearchSysCacheList1(CASTSOURCETARGET, ObjectIdGetDatum(type));
	bool found = casts->n_members > 0;

	ReleaseCatCacheList(casts);
	return found;
}

/* Whether work with values of a type may run code of users. A domain over another type does not. */
static bool
is_user_type(Oid type)
{
	Oid element;

	type = getBaseType(type);
	if (type < FirstNormalObjectId)
		return false;
	element = get_element_type(type);
	switch (get_typtype(OidIsValid(element) ? element : type))
	{
		case TYPTYPE_BASE: /* these take a superuser to create */
			return false;
		case TYPTYPE_ENUM:
			return has_casts(OidIsValid(element) ? element : type);
		default:
			return true;
	}
}

/* Tree walker: whether a node brings code of users along. */
static bool
runs_user_code(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, RangeTblEntry))
		return ((RangeTblEntry *) node)->rtekind == RTE_RELATION &&
			   ((RangeTblEntry *) node)->relid >= FirstNormalObjectId;
	if (IsA(node, Query))
		return query_tree_walker((Query *) node, runs_user_code, context, QTW_EXAMINE_RTES_BEFORE);
	if (IsA(node, Var) || IsA(node, Const) || IsA(node, FuncExpr) || IsA(node, OpExpr) ||
		IsA(node, CoerceViaIO) || IsA(node, RowExpr))
		if (is_user_type(exprType(node)))
			return true;
	return expression_tree_walker(node, runs_user_code, context);
}

bool
expression_runs_user_code(Node *expression)
{
	return expression_calls_user(expression) || runs_user_code(expression, NULL);
}

/* ---- the text of an expression ---- */

/* Whether a name in an expression says where its object is, and that is not pg_catalog. */
static bool
names_elsewhere(const List *name)
{
	return list_length(name) > 1 && strcmp(strVal(linitial(name)), "pg_catalog") != 0;
}

/* Whether a reference is to something else than a column of a type without code of users. */
static bool
refers_elsewhere(const ColumnRef *reference, Oid relid)
{
	Node *last = llast(reference->fields);
	AttrNumber attnum;
	Oid type;
	int32 typmod;
	Oid collation;

	if (!IsA(last, String))
		return true;
	attnum = get_attnum(relid, strVal(last));
	if (attnum <= InvalidAttrNumber)
		return true;
	get_atttypetypmodcoll(relid, attnum, &type, &typmod, &collation);
	return is_user_type(type);
}

/* Walker of a tree that is not analyzed yet; context: the OID of the relation. */
static bool
text_runs_user_code(Node *node, void *context)
{
	if (node == NULL)
		return false;
	switch (nodeTag(node))
	{
		case T_RangeVar:
			return true;
		case T_ColumnRef:
			return refers_elsewhere((ColumnRef *) node, *(Oid *) context);
		case T_TypeName:
			if (names_elsewhere(((TypeName *) node)->names) || ((TypeName *) node)->pct_type)
				return true;
			break;
		case T_FuncCall:
			if (names_elsewhere(((FuncCall *) node)->funcname))
				return true;
			break;
		case T_A_Expr:
			if (names_elsewhere(((A_Expr *) node)->name))
				return true;
			break;
		case T_SubLink:
			if (names_elsewhere(((SubLink *) node)->operName))
				return true;
			break;
		case T_SortBy:
			if (names_elsewhere(((SortBy *) node)->useOp))
				return true;
			break;
		default:
			break;
	}
	return raw_expression_tree_walker(node, text_runs_user_code, context);
}

/* The same for an expression's text; NULL runs nothing. */
static bool
expression_text_runs_user_code(const char *expression, Oid relid)
{
	ListCell *cell;

	if (expression == NULL)
		return false;
	foreach(cell, raw_parser(psprintf("SELECT %s", expression), RAW_PARSE_DEFAULT))
	{
		Node *statement = lfirst_node(RawStmt, cell)->stmt;

		if (!IsA(statement, SelectStmt) || text_runs_user_code(statement, &relid))
			return true;
	}
	return false;
}

/* ---- whose expressions they are ---- */

/* Whether they run as another role than when they were registered. */
static bool
is_foreign(const TargetColumn *target)
{
	return target->registered_by &&
		   get_role_oid(target->registered_by, true) != column_runs_as(target);
}

/* What is wrong with an expression of the target. */
static char *
describe_problem(const TargetColumn *target, const char *what)
{
	return psprintf("its %s expression calls functions of users or reads other tables, and was "
					"registered for %s%s, but would run as %s",
					what, target->registered_by[0] ? "role " : "an unknown role",
					target->registered_by, GetUserNameFromId(column_runs_as(target), false));
}

/* Throws it. */
static void
refuse(const TargetColumn *target, const char *problem)
{
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("expressions of column \"%s\" of table \"%s\" were registered for another role",
					target->name, get_rel_name(target->relid)),
			 errdetail("Namely, %s.", problem),
			 errhint("Look at these functions and who may replace them. Then register the column "
					 "again, after dbcrypt_unregister_column().")));
}

char *
expressions_foreign_problem(Oid relid, const TargetColumn *target)
{
	const ColumnOptions *options = &target->options;

	if (!is_foreign(target))
		return NULL;
	if (expression_text_runs_user_code(target->aad, relid))
		return describe_problem(target, "AAD");
	if (expression_text_runs_user_code(options->attribute_expression, relid))
		return describe_problem(target, "attribute");
	if (expression_text_runs_user_code(options->where, relid))
		return describe_problem(target, "where");
	return NULL;
}

void
expressions_refuse_foreign(Oid relid, const TargetColumn *target)
{
	char *problem = expressions_foreign_problem(relid, target);

	if (problem)
		refuse(target, problem);
}

void
expression_refuse_foreign(const TargetColumn *target, Node *parsed, const char *what)
{
	if (is_foreign(target) && expression_runs_user_code(parsed))
		refuse(target, describe_problem(target, what));
}
