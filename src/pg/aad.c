/*
 * aad.c
 *		AAD expressions: SQL over the row that a value is bound to.
 */
#include "postgres.h"

#include "access/sysattr.h"
#include "dbcrypt.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parse_coerce.h"
#include "parser/parse_collate.h"
#include "parser/parse_expr.h"
#include "parser/parse_node.h"
#include "parser/parse_relation.h"
#include "parser/parser.h"
#include "rewrite/rewriteHandler.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

/* The one expression that a text holds. */
static Node *
parse_single_expression(const char *source)
{
	List	   *statements = raw_parser(source, RAW_PARSE_DEFAULT);
	SelectStmt *select;
	Node	   *node;

	if (list_length(statements) == 1 && IsA(linitial_node(RawStmt, statements)->stmt, SelectStmt))
	{
		SelectStmt	bare = {.type = T_SelectStmt};

		select = (SelectStmt *) linitial_node(RawStmt, statements)->stmt;
		bare.targetList = select->targetList;
		bare.limitOption = select->limitOption;
		if (list_length(select->targetList) == 1 && equal(select, &bare))
		{
			ResTarget  *target = linitial_node(ResTarget, select->targetList);

			node = target->val;
			if (target->name == NULL &&
				!(IsA(node, ColumnRef) && IsA(linitial(((ColumnRef *) node)->fields), A_Star)))
				return node;
		}
	}
	ereport(ERROR, (errcode(ERRCODE_SYNTAX_ERROR), errmsg("AAD must be a single SQL expression"),
					errhint("For example aad => 'user_id::text'.")));
}

/* Refuses an expression that reads what a rotation of the column changes. */
static void
check_inputs(Relation rel, AttrNumber attnum, Node *expression)
{
	TupleDesc	desc = RelationGetDescr(rel);
	Bitmapset  *inputs = NULL;
	int			member = -1;

	pull_varattnos(expression, 1, &inputs);
	while ((member = bms_next_member(inputs, member)) >= 0)
	{
		AttrNumber	input = member + FirstLowInvalidHeapAttributeNumber;
		Form_pg_attribute attribute;

		if (input <= 0)
			ereport(ERROR, (errcode(ERRCODE_INVALID_COLUMN_REFERENCE),
							errmsg("AAD expression cannot read a system column or the whole row"),
							errdetail("They change when the value is rotated.")));
		if (input == attnum)
			ereport(ERROR, (errcode(ERRCODE_INVALID_COLUMN_REFERENCE),
							errmsg("AAD expression cannot read the encrypted column itself")));
		attribute = TupleDescAttr(desc, input - 1);
		if (column_registered(RelationGetRelid(rel), input))
			ereport(ERROR, (errcode(ERRCODE_INVALID_COLUMN_REFERENCE),
							errmsg("AAD expression cannot read encrypted column \"%s\"",
								   NameStr(attribute->attname)),
							errdetail("It changes when it is rotated.")));
		if (attribute->attgenerated != '\0')
		{
			Bitmapset  *sources = NULL;

			pull_varattnos(build_column_default(rel, input), 1, &sources);
			if (attribute->attgenerated != ATTRIBUTE_GENERATED_STORED ||
				bms_is_member(attnum - FirstLowInvalidHeapAttributeNumber, sources) ||
				bms_is_member(0 - FirstLowInvalidHeapAttributeNumber, sources))
				ereport(ERROR, (errcode(ERRCODE_INVALID_COLUMN_REFERENCE),
								errmsg("AAD expression cannot read generated column \"%s\"",
									   NameStr(attribute->attname)),
								errdetail("It is computed from the encrypted column, or when "
										  "it is read.")));
		}
	}
}

/* Puts an error's position into the expression, not into the caller's query. */
static void
parse_error_context(void *source)
{
	int			position = geterrposition();

	if (position > 0)
	{
		errposition(0);
		internalerrposition(position);
		internalerrquery(source);
	}
}

Expr *
aad_parse(Relation rel, AttrNumber attnum, const char *expression)
{
	ErrorContextCallback error_context = {.callback = parse_error_context,
		.previous = error_context_stack};
	ParseState *pstate;
	ParseNamespaceItem *item;
	char	   *source;
	Node	   *node;
	Node	   *text;

	if (expression == NULL)
		return NULL;

	source = psprintf("SELECT %s", expression);
	error_context.arg = source;
	error_context_stack = &error_context;
	node = parse_single_expression(source);

	pstate = make_parsestate(NULL);
	pstate->p_sourcetext = source;
	item = addRangeTableEntryForRelation(pstate, rel, AccessShareLock, NULL, false, false);
	addNSItemToQuery(pstate, item, false, true, true);
	node = transformExpr(pstate, node, EXPR_KIND_OTHER);
	if (pstate->p_hasAggs || pstate->p_hasWindowFuncs || pstate->p_hasSubLinks ||
		expression_returns_set(node))
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						errmsg("AAD expression cannot hold a subquery, an aggregate, a window "
							   "function or a set-returning function")));
	text = coerce_to_target_type(pstate, node, exprType(node), TEXTOID, -1, COERCION_ASSIGNMENT,
								 COERCE_IMPLICIT_CAST, -1);
	if (text == NULL)
		ereport(ERROR, (errcode(ERRCODE_DATATYPE_MISMATCH),
						errmsg("AAD expression is of type %s, which cannot be cast to text",
							   format_type_be(exprType(node)))));
	assign_expr_collations(pstate, text);
	free_parsestate(pstate);
	error_context_stack = error_context.previous;

	if (contain_volatile_functions(text))
		ereport(ERROR, (errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
						errmsg("functions in an AAD expression must not be volatile")));
	check_inputs(rel, attnum, text);
	return (Expr *) text;
}

bool
aad_evaluate(ExprState *state, ExprContext *econtext, TupleTableSlot *slot, Bytes *aad)
{
	MemoryContext caller;
	bool		isnull;
	Datum		value;

	econtext->ecxt_scantuple = slot;
	value = ExecEvalExprSwitchContext(state, econtext, &isnull);
	if (isnull)
		return false;
	caller = MemoryContextSwitchTo(econtext->ecxt_per_tuple_memory);
	*aad = text_to_utf8(PG_DETOAST_DATUM_PACKED(value));
	MemoryContextSwitchTo(caller);
	return true;
}
