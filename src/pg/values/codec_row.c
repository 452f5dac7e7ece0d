/*
 * codec_row.c
 *		What a codec reads of one row: the cell, and what its expressions give.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"

#include "columns/expression.h"
#include "support/encoding.h"
#include "values/codec.h"
#include "values/codec_row.h"

/* The user that expressions are not evaluated as. */
typedef struct SavedUser
{
	Oid userid;
	int security;
} SavedUser;

/* From here to leave_expressions, code runs as the user whose expressions these are. */
static void
enter_expressions(const ColumnCodec *codec, SavedUser *saved)
{
	GetUserIdAndSecContext(&saved->userid, &saved->security);
	SetUserIdAndSecContext(codec->runs_as, saved->security);
}

/* From here on code runs again as before. */
static void
leave_expressions(const SavedUser *saved)
{
	SetUserIdAndSecContext(saved->userid, saved->security);
}

/* The value of an expression for the row, as the expressions' user; false for NULL. */
static bool
evaluate(ColumnCodec *codec, RowExpression *expression, TupleTableSlot *slot, Datum *value)
{
	SavedUser saved;
	bool found;

	enter_expressions(codec, &saved);
	found = expression_evaluate(expression, codec->econtext, slot, value);
	leave_expressions(&saved);
	return found;
}

bool
codec_row_selected(ColumnCodec *codec, TupleTableSlot *slot)
{
	Datum selected;

	return codec->where == NULL ||
		   (evaluate(codec, codec->where, slot, &selected) && DatumGetBool(selected));
}

/* Throws for an expression that is NULL, or with soft_errors returns false. */
static bool
expression_is_null(ColumnCodec *codec, const char *reason)
{
	codec->bad_reason = reason;
	if (!codec->soft_errors)
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("%s", reason),
						errhint("Use coalesce() where a column may be null.")));
	return false;
}

/* Evaluates an AAD, NULL for none, as the expressions' user; false for NULL. */
static bool
evaluate_aad(ColumnCodec *codec, RowExpression *expression, TupleTableSlot *slot, Bytes *aad)
{
	SavedUser saved;
	bool found;

	*aad = (Bytes){NULL, 0};
	if (expression == NULL)
		return true;
	enter_expressions(codec, &saved);
	found = aad_evaluate(expression, codec->econtext, slot, aad);
	leave_expressions(&saved);
	return found;
}

bool
codec_read_context(ColumnCodec *codec, TupleTableSlot *slot)
{
	Bytes aad;

	if (!evaluate_aad(codec, codec->aad, slot, &aad) ||
		!evaluate_aad(codec, codec->native_aad, slot, &codec->native_aad_value))
		return expression_is_null(codec, "AAD expression is null");
	codec->context.aad = aad.data;
	codec->context.aad_size = aad.size;
	if (codec->native_aad == NULL)
		codec->native_aad_value = aad;
	if (codec->attribute)
	{
		Datum value;
		MemoryContext caller;

		if (!evaluate(codec, codec->attribute, slot, &value))
			return expression_is_null(codec, "attribute expression is null");
		caller = MemoryContextSwitchTo(codec->econtext->ecxt_per_tuple_memory);
		codec_set_attribute(codec, TextDatumGetCString(value));
		MemoryContextSwitchTo(caller);
	}
	return true;
}

/* The bytes of a column in per-tuple memory; NULL for SQL NULL. */
static struct varlena *
read_column(ColumnCodec *codec, TupleTableSlot *slot, AttrNumber attnum)
{
	MemoryContext caller;
	bool isnull;
	Datum stored = slot_getattr(slot, attnum, &isnull);
	struct varlena *value;

	if (isnull)
		return NULL;
	caller = MemoryContextSwitchTo(codec->econtext->ecxt_per_tuple_memory);
	if (codec->type == JSONBOID && attnum == codec->attnum)
		value = (struct varlena *) cstring_to_text(
			DatumGetCString(DirectFunctionCall1(jsonb_out, stored)));
	else
		value = PG_DETOAST_DATUM_PACKED(stored);
	MemoryContextSwitchTo(caller);
	return value;
}

bool
codec_read_cell(ColumnCodec *codec, TupleTableSlot *slot, dbcrypt_cell *cell)
{
	struct varlena *value = read_column(codec, slot, codec->attnum);
	struct varlena *companion = NULL;
	struct varlena *salt = NULL;

	if (value == NULL)
		return false;
	if (codec->companion_attnum != InvalidAttrNumber)
		companion = read_column(codec, slot, codec->companion_attnum);
	if (codec->salt_attnum != InvalidAttrNumber)
		salt = read_column(codec, slot, codec->salt_attnum);
	*cell = (dbcrypt_cell){.value = (uint8_t *) VARDATA_ANY(value),
						   .value_size = VARSIZE_ANY_EXHDR(value)};
	if (companion)
	{
		cell->companion = (uint8_t *) VARDATA_ANY(companion);
		cell->companion_size = VARSIZE_ANY_EXHDR(companion);
	}
	if (salt)
	{
		cell->salt = (uint8_t *) VARDATA_ANY(salt);
		cell->salt_size = VARSIZE_ANY_EXHDR(salt);
	}
	return true;
}
