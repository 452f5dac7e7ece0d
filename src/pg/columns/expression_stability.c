/*
 * expression_stability.c
 *		Whether an expression gives the same bytes in every session.
 *
 * Volatility does not tell. float8out, byteaout and quote_ident are IMMUTABLE although
 * they depend on settings; concat, format and convert_to are STABLE although over most
 * types they depend on none. So conversions to text are judged by their type, and of
 * PostgreSQL's own functions those that are known.
 */
#include "postgres.h"

#include "access/transam.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "nodes/nodeFuncs.h"
#include "nodes/primnodes.h"
#include "parser/parse_coerce.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/regproc.h"

#include "columns/expression_stability.h"
#include "support/compat.h"

/* Whether a type's text is the same in every session. */
static bool
has_stable_text(Oid type)
{
	type = getBaseType(type);
	switch (type)
	{
		case BOOLOID:
		case INT2OID:
		case INT4OID:
		case INT8OID:
		case OIDOID:
		case NUMERICOID:
		case UUIDOID:
		case INETOID:
		case CIDROID:
		case MACADDROID:
		case JSONOID:
		case JSONBOID:
		case UNKNOWNOID: /* a quoted constant */
		case CHAROID:
			return true;
		default:
			return type_is_enum(type) || TypeCategory(type) == TYPCATEGORY_STRING;
	}
}

/* What to write instead of a type's text. */
static const char *
stable_form(Oid type)
{
	type = getBaseType(type);
	switch (type)
	{
		case TIMESTAMPTZOID:
		case TIMESTAMPOID:
		case DATEOID:
		case TIMEOID:
		case TIMETZOID:
		case INTERVALOID:
			return "Use its number of seconds, for example extract(epoch FROM at).";
		case BYTEAOID:
			return "Use encode(), for example encode(b, 'hex').";
		case FLOAT4OID:
		case FLOAT8OID:
			return "Use the number as numeric, for example n::numeric.";
		default:
			if (OidIsValid(get_element_type(type)))
				return "Use array_to_string() over elements of a type whose text is the same in "
					   "every session.";
			if (type_is_range(type))
				return "Use its bounds, for example concat_ws('/', lower(r), upper(r)).";
			if (TypeCategory(type) == TYPCATEGORY_NUMERIC && type != CASHOID)
				return "Use its number, for example c::oid.";
			return "Use a column of type text, numeric, uuid or an integer type.";
	}
}

/* Refuses the conversion of a type to text, or with from_text from text. */
static void
check_text_of(Oid type, bool from_text, const char *what)
{
	if (has_stable_text(type))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
			 from_text
				 ? errmsg("%s expression converts text to type %s", what, format_type_be(type))
				 : errmsg("%s expression converts type %s to text", what, format_type_be(type)),
			 errdetail("The result may differ from session to session, and the values could not be "
					   "decrypted in all of them."),
			 errhint("%s", from_text ? "Use a column of that type." : stable_form(type))));
}

/* Refuses a function whose result depends on the session. */
static void
refuse_function(Oid function, const char *what, const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
			 errmsg("%s expression calls %s, whose result depends on the session", what,
					format_procedure(function)),
			 errdetail("Values that one session encrypts could not be decrypted in another."),
			 hint ? errhint("%s", hint) : 0));
}

/* Whether a type's input depends on settings. */
static bool
has_stable_input(Oid type)
{
	Oid element = get_element_type(getBaseType(type));
	Oid function;
	Oid parameter;

	getTypeInputInfo(OidIsValid(element) ? element : getBaseType(type), &function, &parameter);
	return func_volatile(function) == PROVOLATILE_IMMUTABLE;
}

/* Checks the types of arguments that a function turns into text; with arrays, by their elements. */
static void
check_arguments(List *arguments, bool arrays, const char *what)
{
	ListCell *cell;

	foreach(cell, arguments)
	{
		Oid type = exprType(lfirst(cell));
		Oid element = arrays ? get_element_type(getBaseType(type)) : InvalidOid;

		check_text_of(OidIsValid(element) ? element : type, false, what);
	}
}

/* Refuses a format() whose text is not known, or that quotes identifiers. */
static void
check_format(Oid function, List *arguments, const char *what)
{
	Const *format = linitial(arguments);
	bool quotes = !IsA(format, Const);

	if (!quotes && !format->constisnull)
		for (const char *at = TextDatumGetCString(format->constvalue); *at; at++)
			if (*at == '%')
			{
				at += 1 + strspn(at + 1, "0123456789$*-");
				quotes |= *at == 'I';
				if (*at == '\0')
					break;
			}
	if (quotes)
		refuse_function(function, what,
						"Use a constant format with %s or %L; %I depends on "
						"quote_all_identifiers.");
}

/* Whether a constant 'epoch' is the field that extract() takes of a time. */
static bool
extracts_epoch(List *arguments)
{
	Const *field = linitial(arguments);

	return IsA(field, Const) && !field->constisnull &&
		   pg_strcasecmp(TextDatumGetCString(field->constvalue), "epoch") == 0;
}

/* Checks a call of a function of PostgreSQL's own. */
static void
check_call(Oid function, List *arguments, bool variadic, const char *what)
{
	switch (function)
	{
		case F_FORMAT_TEXT_ANY:
		case F_FORMAT_TEXT:
			check_format(function, arguments, what);
			pg_fallthrough;
		case F_CONCAT:
		case F_CONCAT_WS:
		case F_CONVERT_TO:
		case F_TEXTANYCAT:
		case F_ANYTEXTCAT:
		case F_QUOTE_LITERAL_ANYELEMENT:
		case F_QUOTE_NULLABLE_ANYELEMENT:
		case F_TO_JSON:
		case F_TO_JSONB:
		case F_JSON_BUILD_ARRAY_ANY:
		case F_JSON_BUILD_ARRAY_:
		case F_JSON_BUILD_OBJECT_ANY:
		case F_JSON_BUILD_OBJECT_:
		case F_JSONB_BUILD_ARRAY_ANY:
		case F_JSONB_BUILD_ARRAY_:
		case F_JSONB_BUILD_OBJECT_ANY:
		case F_JSONB_BUILD_OBJECT_:
			check_arguments(arguments, variadic, what);
			break;
		case F_ARRAY_TO_STRING_ANYARRAY_TEXT:
		case F_ARRAY_TO_STRING_ANYARRAY_TEXT_TEXT:
			check_arguments(arguments, true, what);
			break;
		case F_EXTRACT_TEXT_TIMESTAMPTZ:
		case F_DATE_PART_TEXT_TIMESTAMPTZ:
			if (!extracts_epoch(arguments))
				refuse_function(function, what, "Only the field epoch is the same everywhere.");
			break;
		case F_QUOTE_IDENT:
			refuse_function(function, what, "Use quote_literal().");
			break;
		default:
			if (func_volatile(function) != PROVOLATILE_IMMUTABLE)
				refuse_function(function, what, NULL);
			break;
	}
}

/* Refuses a function that is PostgreSQL's own and not immutable. */
static bool
check_function(Oid function, void *what)
{
	if (function < FirstNormalObjectId)
		check_call(function, NIL, false, what);
	return false;
}

/* Checks a conversion by output and input functions; one of the two types is a string. */
static void
check_io_conversion(CoerceViaIO *node, const char *what)
{
	check_text_of(exprType((Node *) node->arg), false, what);
	if (!has_stable_input(node->resulttype))
		check_text_of(node->resulttype, true, what);
}

/* Refuses a constant that was read under the session's settings. */
static void
check_constant(const Const *node, const char *what)
{
	if (node->constisnull || strcmp(what, "where") == 0 || node->consttype == INTERVALOID ||
		has_stable_text(node->consttype) || has_stable_input(node->consttype))
		return;
	check_text_of(node->consttype, true, what);
}

/* Tree walker: refuses what depends on the session. */
static bool
check_node(Node *node, void *context)
{
	const char *what = context;

	if (node == NULL)
		return false;
	if (IsA(node, Query))
		return query_tree_walker((Query *) node, check_node, context, 0);
	if (compat_is_json_constructor(node) || IsA(node, XmlExpr) || IsA(node, SQLValueFunction))
		ereport(
			ERROR,
			(errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
			 errmsg("%s expression uses a construct whose result may depend on the session", what),
			 errhint("Use functions over columns of the row, json_build_object() for one.")));
	switch (nodeTag(node))
	{
		case T_CoerceViaIO:
			check_io_conversion((CoerceViaIO *) node, what);
			break;
		case T_RelabelType:
			if (TypeCategory(((RelabelType *) node)->resulttype) == TYPCATEGORY_STRING)
				check_text_of(exprType((Node *) ((RelabelType *) node)->arg), false, what);
			break;
		case T_Const:
			check_constant((Const *) node, what);
			break;
		case T_FuncExpr:
		{
			FuncExpr *call = (FuncExpr *) node;

			if (call->funcid < FirstNormalObjectId)
				check_call(call->funcid, call->args, call->funcvariadic, what);
			break;
		}
		case T_OpExpr:
		{
			OpExpr *call = (OpExpr *) node;

			set_opfuncid(call);
			if (call->opfuncid < FirstNormalObjectId)
				check_call(call->opfuncid, call->args, false, what);
			break;
		}
		default:
			(void) check_functions_in_node(node, check_function, context);
			break;
	}
	return expression_tree_walker(node, check_node, context);
}

void
expression_check_stable(Node *expression, const char *what)
{
	(void) check_node(expression, unconstify(char *, what));
}

/* Whether a function folds the case of a string, or normalizes it. */
static bool
changes_letters(const FuncExpr *call)
{
	static const char *const names[] = {"lower", "upper", "initcap", "casefold", "normalize"};
	char *name;

	if (call->funcid >= FirstNormalObjectId || call->args == NIL ||
		TypeCategory(exprType(linitial(call->args))) != TYPCATEGORY_STRING)
		return false;
	name = get_func_name(call->funcid);
	for (size_t i = 0; i < lengthof(names); i++)
		if (strcmp(name, names[i]) == 0)
			return true;
	return false;
}

/* Tree walker: warns of what may change. */
static bool
advise_node(Node *node, void *context)
{
	const char *what = context;
	Oid type = InvalidOid;

	if (node == NULL)
		return false;
	if (IsA(node, Query))
		return query_tree_walker((Query *) node, advise_node, context, 0);
	if (IsA(node, FuncExpr) && changes_letters((FuncExpr *) node))
		ereport(NOTICE, (errmsg("%s expression calls %s", what,
								format_procedure(((FuncExpr *) node)->funcid)),
						 errdetail("Its result may change with an upgrade of the operating system "
								   "or of ICU."),
						 errhint("Make sure that the values it reads are stored in that form.")));
	if (IsA(node, Var))
		type = getBaseType(((Var *) node)->vartype);
	if (OidIsValid(type) && type_is_enum(type))
		ereport(
			WARNING,
			(errmsg("%s expression reads a column of enum type %s", what, format_type_be(type)),
			 errdetail("After ALTER TYPE ... RENAME VALUE the values could not be decrypted.")));
	return expression_tree_walker(node, advise_node, context);
}

void
expression_advise(Node *expression, const char *what)
{
	(void) advise_node(expression, unconstify(char *, what));
}

/* Whether a function is not PostgreSQL's own, for check_functions_in_node. */
static bool
is_user_function(Oid function, void *context)
{
	return function >= FirstNormalObjectId;
}

/* The same of one that is not marked IMMUTABLE. */
static bool
is_mutable_function(Oid function, void *context)
{
	return function >= FirstNormalObjectId && func_volatile(function) != PROVOLATILE_IMMUTABLE;
}

/* Tree walker: whether a node calls a function of a user; a domain's CHECK may, too. */
static bool
calls_user(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, Query))
		return query_tree_walker((Query *) node, calls_user, context, 0);
	return IsA(node, CoerceToDomain) || check_functions_in_node(node, is_user_function, NULL) ||
		   expression_tree_walker(node, calls_user, context);
}

/* Tree walker: the same for functions that are not immutable. */
static bool
calls_mutable(Node *node, void *context)
{
	if (node == NULL)
		return false;
	return check_functions_in_node(node, is_mutable_function, NULL) ||
		   expression_tree_walker(node, calls_mutable, context);
}

bool
expression_calls_user(Node *expression)
{
	return calls_user(expression, NULL);
}

bool
expression_calls_mutable(Node *expression)
{
	return calls_mutable(expression, NULL);
}
