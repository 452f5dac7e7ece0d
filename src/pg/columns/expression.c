/*
 * expression.c
 *		SQL expressions over the row of a value: its AAD, and what the schemes of
 *		other applications need.
 */
#include "postgres.h"

#include "executor/executor.h"

#include "access/sysattr.h"
#include "executor/spi.h"
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
#include "utils/datum.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/typcache.h"

#include "columns/expression.h"
#include "columns/expression_stability.h"
#include "columns/expression_trust.h"
#include "columns/registry.h"
#include "support/encoding.h"
#include "support/pinned_settings.h"

/* Parses a text that must be one SQL expression and nothing more. */
static Node *
parse_single_expression(const char *source, const char *what)
{
	List *statements = raw_parser(source, RAW_PARSE_DEFAULT);
	SelectStmt *select;
	Node *node;

	if (list_length(statements) == 1 && IsA(linitial_node(RawStmt, statements)->stmt, SelectStmt))
	{
		SelectStmt bare = {.type = T_SelectStmt};

		select = (SelectStmt *) linitial_node(RawStmt, statements)->stmt;
		bare.targetList = select->targetList;
		bare.limitOption = select->limitOption;
		if (list_length(select->targetList) == 1 && equal(select, &bare))
		{
			ResTarget *target = linitial_node(ResTarget, select->targetList);

			node = target->val;
			if (target->name == NULL &&
				!(IsA(node, ColumnRef) && IsA(linitial(((ColumnRef *) node)->fields), A_Star)))
				return node;
		}
	}
	ereport(ERROR,
			(errcode(ERRCODE_SYNTAX_ERROR), errmsg("%s must be a single SQL expression", what),
			 strcmp(what, "AAD") == 0 ? errhint("For example aad => 'user_id::text'.") : 0));
}

/* A search for the columns of the row that an expression reads, in subqueries too. */
typedef struct InputSearch
{
	Index depth;	   /* of the current subquery */
	Bitmapset *inputs; /* offset as in pull_varattnos */
} InputSearch;

/* Tree walker: adds the columns of the row, which is range table entry 1. */
static bool
collect_inputs(Node *node, void *context)
{
	InputSearch *search = context;
	bool stopped;

	if (node == NULL)
		return false;
	if (IsA(node, Var))
	{
		Var *var = (Var *) node;

		if (var->varlevelsup == search->depth && var->varno == 1)
			search->inputs =
				bms_add_member(search->inputs, var->varattno - FirstLowInvalidHeapAttributeNumber);
		return false;
	}
	if (!IsA(node, Query))
		return expression_tree_walker(node, collect_inputs, context);
	search->depth++;
	stopped = query_tree_walker((Query *) node, collect_inputs, context, 0);
	search->depth--;
	return stopped;
}

/* The columns that an expression reads. */
static Bitmapset *
inputs_of(Node *expression)
{
	InputSearch search = {0};

	(void) collect_inputs(expression, &search);
	return search.inputs;
}

/* Refuses an expression that reads what a rotation of the column changes. */
static void
check_inputs(Relation rel, AttrNumber attnum, Node *expression, const char *what)
{
	TupleDesc desc = RelationGetDescr(rel);
	Bitmapset *inputs = inputs_of(expression);
	int bit = -1;

	while ((bit = bms_next_member(inputs, bit)) >= 0)
	{
		AttrNumber input = bit + FirstLowInvalidHeapAttributeNumber;
		Form_pg_attribute attribute;

		if (input <= 0)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_COLUMN_REFERENCE),
					 errmsg("%s expression cannot read a system column or the whole row", what),
					 errdetail("A rotation changes both.")));
		if (input == attnum)
			ereport(ERROR, (errcode(ERRCODE_INVALID_COLUMN_REFERENCE),
							errmsg("%s expression cannot read the encrypted column itself", what)));
		attribute = TupleDescAttr(desc, input - 1);
		if (column_registered(RelationGetRelid(rel), input))
			ereport(ERROR, (errcode(ERRCODE_INVALID_COLUMN_REFERENCE),
							errmsg("%s expression cannot read encrypted column \"%s\"", what,
								   NameStr(attribute->attname)),
							errdetail("A rotation of that column changes its values.")));
		if (attribute->attgenerated != '\0')
		{
			Bitmapset *sources = NULL;

			pull_varattnos(build_column_default(rel, input), 1, &sources);
			if (attribute->attgenerated != ATTRIBUTE_GENERATED_STORED ||
				bms_is_member(attnum - FirstLowInvalidHeapAttributeNumber, sources) ||
				bms_is_member(0 - FirstLowInvalidHeapAttributeNumber, sources))
				ereport(ERROR, (errcode(ERRCODE_INVALID_COLUMN_REFERENCE),
								errmsg("%s expression cannot read generated column \"%s\"", what,
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
	int position = geterrposition();

	if (position > 0)
	{
		errposition(0);
		internalerrposition(position);
		internalerrquery(source);
	}
}

/*
 * Parses and checks an expression and casts it to a type; for type text, an expression
 * of type bytea stays bytea unless as_text. If has_subquery is NULL, subqueries are refused;
 * otherwise it is set, and an expression with a subquery can be inspected but not
 * executed.
 */
static Expr *
parse_expression(Relation rel, AttrNumber attnum, const char *expression, const char *what,
				 Oid type, bool as_text, bool *has_subquery)
{
	ErrorContextCallback error_context = {.callback = parse_error_context,
										  .previous = error_context_stack};
	ParseState *pstate;
	ParseNamespaceItem *item;
	char *source;
	Node *node;
	Node *cast;

	source = psprintf("SELECT %s", expression);
	error_context.arg = source;
	error_context_stack = &error_context;
	node = parse_single_expression(source, what);

	pstate = make_parsestate(NULL);
	pstate->p_sourcetext = source;
	item = addRangeTableEntryForRelation(pstate, rel, AccessShareLock, NULL, false, false);
	addNSItemToQuery(pstate, item, false, true, true);
	node = transformExpr(pstate, node, EXPR_KIND_OTHER);
	if (pstate->p_hasAggs || pstate->p_hasWindowFuncs || expression_returns_set(node) ||
		(pstate->p_hasSubLinks && has_subquery == NULL))
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						errmsg("%s expression cannot hold %san aggregate, a window "
							   "function or a set-returning function",
							   what, has_subquery ? "" : "a subquery, ")));
	if (type == TEXTOID && !as_text && getBaseType(exprType(node)) == BYTEAOID)
		type = BYTEAOID;
	cast = coerce_to_target_type(pstate, node, exprType(node), type, -1, COERCION_ASSIGNMENT,
								 COERCE_IMPLICIT_CAST, -1);
	if (cast == NULL)
		ereport(ERROR, (errcode(ERRCODE_DATATYPE_MISMATCH),
						errmsg("%s expression is of type %s, which cannot be cast to %s", what,
							   format_type_be(exprType(node)), format_type_be(type))));
	assign_expr_collations(pstate, cast);
	if (has_subquery)
		*has_subquery = pstate->p_hasSubLinks;
	free_parsestate(pstate);
	error_context_stack = error_context.previous;

	if (contain_volatile_functions(cast))
		ereport(ERROR, (errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
						errmsg("%s expression must not call volatile functions", what)));
	check_inputs(rel, attnum, cast, what);
	expression_check_stable(cast, what);
	return (Expr *) cast;
}

Expr *
aad_parse(Relation rel, AttrNumber attnum, const char *expression, bool as_text)
{
	if (expression == NULL)
		return NULL;
	return parse_expression(rel, attnum, expression, "AAD", TEXTOID, as_text, NULL);
}

/* What a parsed expression does, in the current memory context. */
static RowExpression *
describe(Node *parsed)
{
	RowExpression *self = palloc0(sizeof(RowExpression));

	self->parsed = parsed;
	self->type = exprType(parsed);
	self->calls_user = expression_calls_user(parsed);
	self->runs_user_code = expression_runs_user_code(parsed);
	self->is_mutable = expression_calls_mutable(parsed);
	return self;
}

RowExpression *
aad_prepare(Expr *parsed, EState *estate)
{
	MemoryContext caller = MemoryContextSwitchTo(estate->es_query_cxt);
	Expr *copy = copyObjectImpl(parsed); /* copyObject of 19 asks for C23 */
	RowExpression *self = describe((Node *) copy);

	self->state = ExecPrepareExpr(copy, estate);
	MemoryContextSwitchTo(caller);
	return self;
}

/* The bytes of a bytea, or the UTF-8 of a text. */
static Bytes
bytes_of(struct varlena *value, Oid type)
{
	if (type == BYTEAOID)
		return (Bytes){(uint8_t *) VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value)};
	return text_to_utf8(value);
}

bool
aad_evaluate(RowExpression *self, ExprContext *econtext, TupleTableSlot *slot, Bytes *aad)
{
	MemoryContext caller;
	Datum value;

	if (!expression_evaluate(self, econtext, slot, &value))
		return false;
	caller = MemoryContextSwitchTo(econtext->ecxt_per_tuple_memory);
	*aad = bytes_of(PG_DETOAST_DATUM_PACKED(value), self->type);
	MemoryContextSwitchTo(caller);
	return true;
}

/* ---- expressions that may look into other tables ---- */

/* Memory context callback: frees the saved plan of an expression. */
static void
free_plan(void *plan)
{
	SPI_freeplan(plan);
}

/*
 * Plans an expression with a subquery, as a query whose parameter is the row. The plan
 * lives as long as the current memory context.
 */
static void
plan_query(RowExpression *self, Relation rel, const char *expression)
{
	MemoryContextCallback *callback = palloc0(sizeof(MemoryContextCallback));
	char *query = psprintf("SELECT (%s)::%s FROM (SELECT ($1).*) AS %s", expression,
						   format_type_be_qualified(self->type),
						   quote_identifier(RelationGetRelationName(rel)));
	Oid row_type = rel->rd_rel->reltype;

	SPI_connect();
	self->plan = SPI_prepare(query, 1, &row_type);
	if (self->plan == NULL || SPI_keepplan(self->plan) != 0)
		elog(ERROR, "could not plan expression: %s", SPI_result_code_string(SPI_result));
	SPI_finish();
	callback->func = free_plan;
	callback->arg = self->plan;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, callback);
}

Bitmapset *
expression_inputs(Relation rel, AttrNumber attnum, const char *expression, const char *what,
				  Oid type)
{
	bool has_subquery;

	return inputs_of(
		(Node *) parse_expression(rel, attnum, expression, what, type, false, &has_subquery));
}

RowExpression *
expression_prepare(Relation rel, AttrNumber attnum, const char *expression, const char *what,
				   Oid type, EState *estate)
{
	MemoryContext caller = MemoryContextSwitchTo(estate->es_query_cxt);
	bool has_subquery;
	Expr *parsed = parse_expression(rel, attnum, expression, what, type, false, &has_subquery);
	RowExpression *self = describe((Node *) parsed);

	if (exprType((Node *) parsed) != type)
		ereport(ERROR, (errcode(ERRCODE_DATATYPE_MISMATCH),
						errmsg("%s expression is of type %s, which cannot be cast to %s", what,
							   format_type_be(exprType((Node *) parsed)), format_type_be(type))));
	if (has_subquery)
	{
		plan_query(self, rel, expression);
		self->is_mutable = true;
	}
	else
		self->state = ExecPrepareExpr(parsed, estate);
	MemoryContextSwitchTo(caller);
	return self;
}

/* Runs the query of an expression over the row in slot. */
static bool
run_query(RowExpression *self, ExprContext *econtext, TupleTableSlot *slot, Datum *value)
{
	Datum row;
	bool isnull = true;
	MemoryContext caller = MemoryContextSwitchTo(econtext->ecxt_per_tuple_memory);

	row = ExecFetchSlotHeapTupleDatum(slot);
	SPI_connect();
	if (SPI_execute_plan(self->plan, &row, NULL, true, 2) != SPI_OK_SELECT || SPI_processed != 1)
		elog(ERROR, "expression did not give one row");
	*value = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
	if (!isnull)
		*value = SPI_datumTransfer(*value, get_typbyval(self->type), get_typlen(self->type));
	SPI_finish();
	MemoryContextSwitchTo(caller);
	return !isnull;
}

/* The expression's value under the settings as they are. */
static bool
run(RowExpression *self, ExprContext *econtext, TupleTableSlot *slot, Datum *value)
{
	bool isnull;

	if (self->plan)
		return run_query(self, econtext, slot, value);
	econtext->ecxt_scantuple = slot;
	*value = ExecEvalExprSwitchContext(self->state, econtext, &isnull);
	return !isnull;
}

/* The expression's value under one of two sets of settings. An error restores them too. */
static bool
run_under(void (*set_settings)(void), RowExpression *self, ExprContext *econtext,
		  TupleTableSlot *slot, Datum *value)
{
	int nestlevel = NewGUCNestLevel();
	bool found;

	set_settings();
	found = run(self, econtext, slot, value);
	AtEOXact_GUC(false, nestlevel);
	return found;
}

bool
expression_evaluate(RowExpression *self, ExprContext *econtext, TupleTableSlot *slot, Datum *value)
{
	if (self->calls_user)
		return run_under(settings_pin, self, econtext, slot, value);
	return run(self, econtext, slot, value);
}

void
expression_compare(RowExpression *self, ExprContext *econtext, TupleTableSlot *slot,
				   const char *what)
{
	Datum pinned;
	Datum opposed;
	bool found;

	if (!self->calls_user)
		return;
	found = run_under(settings_pin, self, econtext, slot, &pinned);
	if (run_under(settings_oppose, self, econtext, slot, &opposed) == found &&
		(!found ||
		 datum_image_eq(pinned, opposed, get_typbyval(self->type), get_typlen(self->type))))
		return;
	ereport(ERROR, (errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
					errmsg("%s expression gives another result under other settings", what),
					errdetail("A function that it calls depends on TimeZone, DateStyle, "
							  "search_path or another setting of the session."),
					errhint("Give the function the settings that it needs with ALTER FUNCTION "
							"... SET, or use an expression without it.")));
}
