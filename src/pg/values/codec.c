/*
 * codec.c
 *		Opens and seals the values of one column of one relation.
 */
#include "postgres.h"

#include "access/detoast.h"
#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "parser/parse_coerce.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

#include "columns/expression.h"
#include "columns/options.h"
#include "columns/target.h"
#include "core/core.h"
#include "keys/keyring.h"
#include "keys/session_keyring.h"
#include "support/compat.h"
#include "support/encoding.h"
#include "support/errors.h"
#include "support/json_fields.h"
#include "support/run_as.h"
#include "values/codec.h"

/* Whether a type is a domain that forbids NULL, itself or below. */
static bool
domain_not_null(Oid type)
{
	bool not_null = false;

	while (!not_null && get_typtype(type) == TYPTYPE_DOMAIN)
	{
		HeapTuple tuple = SearchSysCache1(TYPEOID, ObjectIdGetDatum(type));
		Form_pg_type domain;

		if (!HeapTupleIsValid(tuple))
			elog(ERROR, "cache lookup failed for type %u", type);
		domain = (Form_pg_type) GETSTRUCT(tuple);
		not_null = domain->typnotnull;
		type = domain->typbasetype;
		ReleaseSysCache(tuple);
	}
	return not_null;
}

/*
 * Parses the target's expressions, which belong to the owner of the table they
 * were given for, or to target->runs_as: a child's owner must not run them.
 */
static void
prepare_expressions(ColumnCodec *codec, const TargetColumn *target, EState *estate)
{
	const ColumnOptions *options = &target->options;
	Oid userid;
	int security;

	if (target->aad == NULL && options->attribute_expression == NULL && options->where == NULL)
		return;
	codec->runs_as = OidIsValid(target->runs_as) ? target->runs_as : owner_of(target->relid);

	GetUserIdAndSecContext(&userid, &security);
	SetUserIdAndSecContext(codec->runs_as, security);
	if (target->aad)
	{
		Node *aad = (Node *) aad_parse(codec->rel, codec->attnum, target->aad);

		/* The AAD of dbcrypt_encrypt() is text. */
		if (codec->scheme == scheme_native())
			aad = coerce_to_target_type(NULL, aad, exprType(aad), TEXTOID, -1, COERCION_ASSIGNMENT,
										COERCE_IMPLICIT_CAST, -1);
		codec->aad = ExecPrepareExpr((Expr *) aad, estate);
	}
	if (options->attribute_expression)
		codec->attribute = expression_prepare(
			codec->rel, codec->attnum, options->attribute_expression, "attribute", TEXTOID, estate);
	if (options->where)
		codec->where =
			expression_prepare(codec->rel, codec->attnum, options->where, "where", BOOLOID, estate);
	SetUserIdAndSecContext(userid, security);
}

/* expression_evaluate, as whom the expressions run. */
static bool
evaluate(ColumnCodec *codec, RowExpression *expression, TupleTableSlot *slot, Datum *value)
{
	Oid userid;
	int security;
	bool found;

	GetUserIdAndSecContext(&userid, &security);
	SetUserIdAndSecContext(codec->runs_as, security);
	found = expression_evaluate(expression, codec->econtext, slot, value);
	SetUserIdAndSecContext(userid, security);
	return found;
}

/* The companion column of the scheme, which must have the value's form; 0 for none. */
static AttrNumber
companion_column(Relation rel, const TargetColumn *target, dbcrypt_form form)
{
	const dbcrypt_scheme_traits *traits = dbcrypt_scheme_traits_of(target->scheme);
	AttrNumber attnum;

	if (traits->companion == DBCRYPT_COMPANION_NONE)
		return InvalidAttrNumber;
	attnum = get_attnum(RelationGetRelid(rel), target->options.companion);
	if (attnum <= 0)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_COLUMN),
						errmsg("column \"%s\" of relation \"%s\" does not exist",
							   target->options.companion, RelationGetRelationName(rel)),
						errdetail("Scheme %s keeps a part of each value in it.", traits->name),
						errhint("Undo its renaming, or call dbcrypt_unregister_column() and adopt "
								"the column again.")));
	if (column_form(rel, attnum) != form)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("columns \"%s\" and \"%s\" of table \"%s\" must both be text or both "
						"bytea",
						target->name, target->options.companion, RelationGetRelationName(rel))));
	return attnum;
}

/* The UTF-8 of a name that a key is derived with; NULL for NULL. */
static const uint8_t *
utf8_of_name(const char *name, size_t *size)
{
	char *utf8 = name ? pg_server_to_any(name, (int) strlen(name), PG_UTF8) : NULL;

	*size = utf8 ? strlen(utf8) : 0;
	return (const uint8_t *) utf8;
}

/* What the scheme's options say literally. */
static void
prepare_options(ColumnCodec *codec, const ColumnOptions *options)
{
	dbcrypt_context *context = &codec->context;

	context->table = utf8_of_name(options->table, &context->table_size);
	context->attribute = utf8_of_name(options->attribute, &context->attribute_size);
	codec->json = options->json;
	codec->attribute_per_field =
		options->json && options->attribute == NULL && options->attribute_expression == NULL;
}

void
codec_init(ColumnCodec *codec, Relation rel, const TargetColumn *target, EState *estate)
{
	AttrNumber attnum = get_attnum(RelationGetRelid(rel), target->name);
	Form_pg_attribute attribute = TupleDescAttr(RelationGetDescr(rel), attnum - 1);

	memset(codec, 0, sizeof(*codec));
	codec->rel = rel;
	codec->attnum = attnum;
	codec->form = column_form(rel, attnum);
	codec->scheme = target->scheme ? target->scheme : scheme_native();
	codec->context.form = codec->form;
	codec->type = getBaseType(attribute->atttypid);
	codec->domain =
		get_typtype(attribute->atttypid) == TYPTYPE_DOMAIN ? attribute->atttypid : InvalidOid;
	codec->not_null = attribute->attnotnull || domain_not_null(attribute->atttypid);
	codec->max_characters = -1;
	if (codec->form == DBCRYPT_TEXT)
	{
		int32 typmod = attribute->atttypmod;

		(void) getBaseTypeAndTypmod(attribute->atttypid, &typmod);
		if (typmod >= (int32) VARHDRSZ)
			codec->max_characters = typmod - VARHDRSZ;
	}
	codec->econtext = GetPerTupleExprContext(estate);
	codec->query_context = estate->es_query_cxt;
	if (target->scheme)
		codec->companion = companion_column(rel, target, codec->form);
	prepare_options(codec, &target->options);
	prepare_expressions(codec, target, estate);
}

/* ---- one cell: a value with its companion ---- */

/* What to do with a cell. */
typedef enum CellOperation
{
	CELL_REENCRYPT,
	CELL_PROVE, /* the same, and open what is current already */
	CELL_ENCRYPT,
	CELL_DECRYPT,
	CELL_CONVERT /* to a native envelope */
} CellOperation;

/* A cell's new content, in per-tuple memory. */
typedef struct NewCell
{
	struct varlena *value;
	struct varlena *companion; /* NULL for SQL NULL */
} NewCell;

/* A varlena in per-tuple memory; a clear error where none can be. */
static struct varlena *
allocate_value(ColumnCodec *codec, size_t size)
{
	struct varlena *value;

	if (size > MaxAllocSize - VARHDRSZ)
		raise_status(DBCRYPT_TOO_LARGE, codec->form, NULL, NULL);
	value = MemoryContextAlloc(codec->econtext->ecxt_per_tuple_memory, size + VARHDRSZ);
	SET_VARSIZE(value, size + VARHDRSZ);
	return value;
}

/* Decrypts into a varlena of per-tuple memory; sets both outputs only on success. */
static dbcrypt_status
open_cell(ColumnCodec *codec, const dbcrypt_cell *cell, struct varlena **plaintext, size_t *key)
{
	size_t room = dbcrypt_scheme_open_room(codec->scheme, codec->form, cell->value_size);
	struct varlena *result = allocate_value(codec, room);
	size_t size = 0;
	dbcrypt_status status;

	status = dbcrypt_scheme_open(codec->scheme, session_ring(), &codec->context, cell,
								 (uint8_t *) VARDATA(result), &size, key);
	if (status != DBCRYPT_OK)
		return status;
	SET_VARSIZE(result, size + VARHDRSZ);
	*plaintext = result;
	return DBCRYPT_OK;
}

/* Decrypts for the proof alone; the plaintext does not outlive the call. */
static dbcrypt_status
prove_cell(ColumnCodec *codec, const dbcrypt_cell *cell, size_t *key)
{
	struct varlena *plaintext;
	dbcrypt_status status = open_cell(codec, cell, &plaintext, key);

	if (status == DBCRYPT_OK)
	{
		dbcrypt_cleanse(VARDATA(plaintext), VARSIZE(plaintext) - VARHDRSZ);
		pfree(plaintext);
	}
	return status;
}

/* What the core sealed into result, as a new cell. */
static void
sealed_cell(ColumnCodec *codec, struct varlena *result, const dbcrypt_sealed *sealed,
			NewCell *new_cell)
{
	SET_VARSIZE(result, sealed->value_size + VARHDRSZ);
	new_cell->value = result;
	new_cell->companion = NULL;
	if (!sealed->companion_is_null)
	{
		new_cell->companion = allocate_value(codec, sealed->companion_size);
		memcpy(VARDATA(new_cell->companion), sealed->companion, sealed->companion_size);
	}
}

static dbcrypt_status
seal_cell(ColumnCodec *codec, const dbcrypt_scheme *scheme, const dbcrypt_context *context,
		  const uint8_t *plaintext, size_t size, NewCell *new_cell)
{
	struct varlena *result =
		allocate_value(codec, dbcrypt_scheme_seal_room(scheme, context->form, size));
	dbcrypt_sealed sealed = {.value = (uint8_t *) VARDATA(result)};
	dbcrypt_status status;

	status = dbcrypt_scheme_seal(scheme, session_ring(), context, plaintext, size, &sealed);
	if (status == DBCRYPT_OK)
		sealed_cell(codec, result, &sealed, new_cell);
	return status;
}

/* The bytes to encrypt of a value that is not: text is UTF-8 inside an envelope. */
static Bytes
plaintext_of_cell(ColumnCodec *codec, const dbcrypt_cell *cell)
{
	Bytes plaintext = {cell->value, cell->value_size};

	if (codec->form == DBCRYPT_TEXT && GetDatabaseEncoding() != PG_UTF8)
	{
		MemoryContext caller = MemoryContextSwitchTo(codec->econtext->ecxt_per_tuple_memory);

		plaintext = text_to_utf8((struct varlena *) cstring_to_text_with_len(
			(const char *) cell->value, (int) cell->value_size));
		MemoryContextSwitchTo(caller);
	}
	return plaintext;
}

static dbcrypt_status
reencrypt_cell(ColumnCodec *codec, const dbcrypt_cell *cell, NewCell *new_cell, bool *changed)
{
	struct varlena *result;
	dbcrypt_sealed sealed;
	dbcrypt_status status;

	if (dbcrypt_scheme_inspect(codec->scheme, cell) == DBCRYPT_CELL_PLAINTEXT)
	{
		Bytes plaintext = plaintext_of_cell(codec, cell);

		status = seal_cell(codec, codec->scheme, &codec->context, plaintext.data, plaintext.size,
						   new_cell);
		*changed = status == DBCRYPT_OK;
		return status;
	}
	result = allocate_value(codec, dbcrypt_scheme_rotate_room(codec->scheme, codec->form, cell));
	sealed = (dbcrypt_sealed){.value = (uint8_t *) VARDATA(result)};
	status = dbcrypt_scheme_rotate(codec->scheme, session_ring(), &codec->context, cell, &sealed,
								   changed);
	if (status == DBCRYPT_OK && *changed)
		sealed_cell(codec, result, &sealed, new_cell);
	return status;
}

/*
 * Whether a value that is no envelope begins like one: cut short or spoiled, and
 * not to be taken for plaintext.
 */
static bool
begins_like_envelope(dbcrypt_form form, const uint8_t *value, size_t size)
{
	char key_id[DBCRYPT_KEY_ID_LEN + 1];
	size_t header = form == DBCRYPT_TEXT ? 16 : 12;

	return size >= header && dbcrypt_read_header(form, value, dbcrypt_envelope_size(form, 0),
												 key_id) != DBCRYPT_NOT_AN_ENVELOPE;
}

/*
 * Whether a value that is not well formed is a damaged one rather than plaintext.
 * Only our own envelopes are told by their first bytes: in a column of another
 * scheme everything should be well formed.
 */
static bool
is_damaged(ColumnCodec *codec, const dbcrypt_cell *cell)
{
	return codec->scheme != scheme_native() ||
		   begins_like_envelope(codec->form, cell->value, cell->value_size);
}

/*
 * Encrypts what is not encrypted, or too short to be; what is must open, and
 * stays. A companion says that a value is encrypted, however badly: a new one
 * would destroy it.
 */
static dbcrypt_status
encrypt_cell(ColumnCodec *codec, const dbcrypt_cell *cell, NewCell *new_cell, bool *changed)
{
	dbcrypt_cell_kind kind = dbcrypt_scheme_inspect(codec->scheme, cell);
	Bytes plaintext;
	size_t key;

	if (kind == DBCRYPT_CELL_EMPTY)
		return DBCRYPT_OK;
	if (kind == DBCRYPT_CELL_ENCRYPTED)
	{
		dbcrypt_status status = prove_cell(codec, cell, &key);

		if (status != DBCRYPT_NOT_AN_ENVELOPE || cell->companion_size > 0 ||
			begins_like_envelope(codec->form, cell->value, cell->value_size))
			return status;
	}
	plaintext = plaintext_of_cell(codec, cell);
	*changed = true;
	return seal_cell(codec, codec->scheme, &codec->context, plaintext.data, plaintext.size,
					 new_cell);
}

/* Decrypts what is encrypted; what is not stays. */
static dbcrypt_status
decrypt_cell(ColumnCodec *codec, const dbcrypt_cell *cell, NewCell *new_cell, bool *changed)
{
	struct varlena *plaintext;
	size_t key;
	dbcrypt_status status;

	if (dbcrypt_scheme_inspect(codec->scheme, cell) != DBCRYPT_CELL_ENCRYPTED)
		return DBCRYPT_OK;
	status = open_cell(codec, cell, &plaintext, &key);
	if (status == DBCRYPT_NOT_AN_ENVELOPE && !is_damaged(codec, cell))
		return DBCRYPT_OK;
	if (status != DBCRYPT_OK)
		return status;
	if (codec->form == DBCRYPT_TEXT)
	{
		MemoryContext caller = MemoryContextSwitchTo(codec->econtext->ecxt_per_tuple_memory);

		plaintext = utf8_to_text(plaintext);
		MemoryContextSwitchTo(caller);
	}
	*changed = true;
	new_cell->value = plaintext;
	new_cell->companion = NULL;
	return DBCRYPT_OK;
}

/* Makes a native envelope of an encrypted cell, or of plaintext by the scheme's rule. */
static dbcrypt_status
convert_cell(ColumnCodec *codec, const dbcrypt_cell *cell, NewCell *new_cell, bool *changed)
{
	dbcrypt_context context = {.form = codec->form};
	Bytes plaintext;
	struct varlena *opened;
	size_t key;

	if (dbcrypt_scheme_inspect(codec->scheme, cell) == DBCRYPT_CELL_ENCRYPTED)
	{
		dbcrypt_status status = open_cell(codec, cell, &opened, &key);

		if (status != DBCRYPT_OK)
			return status;
		plaintext = (Bytes){(const uint8_t *) VARDATA(opened), VARSIZE(opened) - VARHDRSZ};
	}
	else
		plaintext = plaintext_of_cell(codec, cell);
	*changed = true;
	return seal_cell(codec, scheme_native(), &context, plaintext.data, plaintext.size, new_cell);
}

static dbcrypt_status
apply_to_cell(ColumnCodec *codec, CellOperation operation, const dbcrypt_cell *cell,
			  NewCell *new_cell, bool *changed)
{
	dbcrypt_status status;
	size_t key;

	*changed = false;
	switch (operation)
	{
		case CELL_REENCRYPT:
			return reencrypt_cell(codec, cell, new_cell, changed);
		case CELL_PROVE:
			status = reencrypt_cell(codec, cell, new_cell, changed);
			if (status == DBCRYPT_OK && !*changed &&
				dbcrypt_scheme_inspect(codec->scheme, cell) == DBCRYPT_CELL_ENCRYPTED)
				status = prove_cell(codec, cell, &key);
			return status;
		case CELL_ENCRYPT:
			return encrypt_cell(codec, cell, new_cell, changed);
		case CELL_DECRYPT:
			return decrypt_cell(codec, cell, new_cell, changed);
		case CELL_CONVERT:
			return convert_cell(codec, cell, new_cell, changed);
	}
	pg_unreachable();
}

/* Our id of the key that an encrypted cell is under, "" where nothing tells. */
static dbcrypt_status
identify_cell(ColumnCodec *codec, const dbcrypt_cell *cell, char *key_id)
{
	size_t room = dbcrypt_scheme_open_room(codec->scheme, codec->form, cell->value_size);
	struct varlena *scratch = allocate_value(codec, room);
	dbcrypt_status status;

	key_id[0] = '\0';
	status = dbcrypt_scheme_identify(codec->scheme, session_ring(), &codec->context, cell,
									 (uint8_t *) VARDATA(scratch), key_id);
	dbcrypt_cleanse(VARDATA(scratch), room);
	return status;
}

/*
 * Throws for a bad value, or with soft_errors returns VALUE_BAD. What is wrong
 * with the session's keys rather than with the value always throws.
 */
static ValueOutcome
bad_cell(ColumnCodec *codec, dbcrypt_status status, const dbcrypt_cell *cell, ItemPointer tid)
{
	ValuePlace place = {codec->rel, codec->attnum, *tid, codec->scheme != scheme_native()};
	char key_id[DBCRYPT_KEY_ID_LEN + 1];
	dbcrypt_ring *ring = session_ring();

	if (identify_cell(codec, cell, key_id) == DBCRYPT_NOT_AN_ENVELOPE)
		key_id[0] = '\0';
	if (codec->soft_errors)
		switch (status)
		{
			case DBCRYPT_KEY_REVOKED:
				if (dbcrypt_ring_state(ring, 0) & DBCRYPT_STATE_REVOKED)
					break;
				pg_fallthrough;
			case DBCRYPT_KEY_NOT_LOADED:
			case DBCRYPT_AUTHENTICATION_FAILED:
			case DBCRYPT_NOT_AN_ENVELOPE:
			case DBCRYPT_NEWER_FORMAT:
			case DBCRYPT_NEWER_ALGORITHM:
				codec->bad_reason = status_message(status, key_id[0] ? key_id : NULL);
				return VALUE_BAD;
			default:
				break;
		}
	raise_key_status(session_ring(), status, codec->form, key_id, &place);
}

/* ---- the row around it ---- */

/* A column's bytes in per-tuple memory; NULL for SQL NULL. */
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

/* Whether the row is one of the column's, by its where. */
static bool
row_belongs(ColumnCodec *codec, TupleTableSlot *slot)
{
	Datum belongs;

	return codec->where == NULL ||
		   (evaluate(codec, codec->where, slot, &belongs) && DatumGetBool(belongs));
}

/* Reports, as bad_cell does, that an expression is NULL where it may not be. */
static bool
expression_is_null(ColumnCodec *codec, const char *reason)
{
	codec->bad_reason = reason;
	if (!codec->soft_errors)
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("%s", reason),
						errhint("Use coalesce() where a column may be null.")));
	return false;
}

static void
set_attribute(ColumnCodec *codec, const char *name)
{
	dbcrypt_context *context = &codec->context;

	context->attribute = utf8_of_name(options_attribute(name), &context->attribute_size);
}

/* The row's AAD and attribute; false with soft_errors if one is NULL there. */
static bool
read_context(ColumnCodec *codec, TupleTableSlot *slot)
{
	Bytes bytes = {NULL, 0};
	bool found = true;

	if (codec->aad)
	{
		Oid userid;
		int security;

		GetUserIdAndSecContext(&userid, &security);
		SetUserIdAndSecContext(codec->runs_as, security);
		found = aad_evaluate(codec->aad, codec->econtext, slot, &bytes);
		SetUserIdAndSecContext(userid, security);
	}
	if (!found)
		return expression_is_null(codec, "AAD expression is null");
	codec->context.aad = bytes.data;
	codec->context.aad_size = bytes.size;
	if (codec->attribute)
	{
		Datum value;
		MemoryContext caller;

		if (!evaluate(codec, codec->attribute, slot, &value))
			return expression_is_null(codec, "attribute expression is null");
		caller = MemoryContextSwitchTo(codec->econtext->ecxt_per_tuple_memory);
		set_attribute(codec, TextDatumGetCString(value));
		MemoryContextSwitchTo(caller);
	}
	return true;
}

/* The stored cell; false if the value is NULL. */
static bool
read_cell(ColumnCodec *codec, TupleTableSlot *slot, dbcrypt_cell *cell)
{
	struct varlena *value = read_column(codec, slot, codec->attnum);
	struct varlena *companion = NULL;

	if (value == NULL)
		return false;
	if (codec->companion != InvalidAttrNumber)
		companion = read_column(codec, slot, codec->companion);
	*cell = (dbcrypt_cell){.value = (uint8_t *) VARDATA_ANY(value),
						   .value_size = VARSIZE_ANY_EXHDR(value)};
	if (companion)
	{
		cell->companion = (uint8_t *) VARDATA_ANY(companion);
		cell->companion_size = VARSIZE_ANY_EXHDR(companion);
	}
	return true;
}

/* Reports a new value of the column, after the checks of its type. */
static ValueOutcome
set_value(ColumnCodec *codec, struct varlena *value, ColumnChange *change)
{
	Datum datum = PointerGetDatum(value);

	if (codec->max_characters >= 0 &&
		pg_mbstrlen_with_len(VARDATA(value), VARSIZE(value) - VARHDRSZ) > codec->max_characters)
		ereport(ERROR,
				(errcode(ERRCODE_STRING_DATA_RIGHT_TRUNCATION),
				 errmsg("value too long for type character varying(%d)", codec->max_characters),
				 errhint("An encrypted value is a third longer than its plaintext and 56 "
						 "characters more: ALTER the column's type to text.")));
	if (codec->type == JSONBOID)
	{
		MemoryContext caller = MemoryContextSwitchTo(codec->econtext->ecxt_per_tuple_memory);

		datum = DirectFunctionCall1(jsonb_in, CStringGetDatum(text_to_cstring(value)));
		MemoryContextSwitchTo(caller);
	}
	if (OidIsValid(codec->domain))
		domain_check(datum, false, codec->domain, &codec->domain_cache, codec->query_context);
	change->count = 1;
	change->attnums[0] = codec->attnum;
	change->values[0] = datum;
	change->nulls[0] = false;
	return VALUE_CHANGED;
}

/* Adds the companion to a change. */
static void
set_companion(ColumnCodec *codec, struct varlena *companion, ColumnChange *change)
{
	int n = change->count;
	Form_pg_attribute attribute;

	if (codec->companion == InvalidAttrNumber)
		return;
	attribute = TupleDescAttr(RelationGetDescr(codec->rel), codec->companion - 1);
	if (companion == NULL && attribute->attnotnull)
		companion = allocate_value(codec, 0);
	if (companion && codec->form == DBCRYPT_TEXT && attribute->atttypmod >= (int32) VARHDRSZ &&
		VARSIZE(companion) - VARHDRSZ > attribute->atttypmod - VARHDRSZ)
		ereport(ERROR,
				(errcode(ERRCODE_STRING_DATA_RIGHT_TRUNCATION),
				 errmsg("value too long for type character varying(%d)",
						(int) (attribute->atttypmod - VARHDRSZ)),
				 errhint("ALTER the type of column \"%s\" to text.", NameStr(attribute->attname))));
	change->attnums[n] = codec->companion;
	change->values[n] = PointerGetDatum(companion);
	change->nulls[n] = companion == NULL;
	change->count++;
}

/* ---- JSON columns: each matching field is a cell of its own ---- */

typedef struct JsonWork
{
	ColumnCodec *codec;
	CellOperation operation;
	ItemPointer tid;
	bool bad;

	/* To look at the fields only: */
	ValueVisitor visit;
	void *visit_arg;
	bool open;
	MemoryContext visit_context; /* in which to call the visitor */
} JsonWork;

/* Makes a field the cell of its own attribute, unless the column has another. */
static void
field_context(JsonWork *work, const char *name)
{
	ColumnCodec *codec = work->codec;

	if (codec->attribute_per_field)
		set_attribute(codec, name);
}

static void examine_cell(ColumnCodec *codec, const dbcrypt_cell *cell, bool open,
						 ValueVisitor visit, void *arg);

static char *
apply_to_field(void *arg, const char *name, const char *value)
{
	JsonWork *work = arg;
	dbcrypt_cell cell = {.value = (const uint8_t *) value, .value_size = strlen(value)};
	NewCell new_cell;
	bool changed;
	dbcrypt_status status;

	if (work->bad)
		return NULL;
	field_context(work, name);
	if (work->visit)
	{
		MemoryContext caller = MemoryContextSwitchTo(work->visit_context);

		examine_cell(work->codec, &cell, work->open, work->visit, work->visit_arg);
		MemoryContextSwitchTo(caller);
		return NULL;
	}
	status = apply_to_cell(work->codec, work->operation, &cell, &new_cell, &changed);
	if (status != DBCRYPT_OK)
		work->bad = bad_cell(work->codec, status, &cell, work->tid) == VALUE_BAD;
	return status == DBCRYPT_OK && changed ? text_to_cstring(new_cell.value) : NULL;
}

static ValueOutcome
apply_to_json(ColumnCodec *codec, CellOperation operation, TupleTableSlot *slot,
			  const dbcrypt_cell *cell, ColumnChange *change)
{
	JsonWork work = {.codec = codec, .operation = operation, .tid = &slot->tts_tid};
	MemoryContext caller = MemoryContextSwitchTo(codec->econtext->ecxt_per_tuple_memory);
	text *json = cstring_to_text_with_len((const char *) cell->value, (int) cell->value_size);
	text *result = json_fields_replace(json, codec->json, apply_to_field, &work);

	MemoryContextSwitchTo(caller);
	if (work.bad)
		return VALUE_BAD;
	return result ? set_value(codec, (struct varlena *) result, change) : VALUE_CURRENT;
}

/* ---- what callers ask for ---- */

static ValueOutcome
apply(ColumnCodec *codec, CellOperation operation, TupleTableSlot *slot, ColumnChange *change)
{
	dbcrypt_cell cell;
	NewCell new_cell;
	bool changed;
	dbcrypt_status status;

	if (!row_belongs(codec, slot))
		return VALUE_SKIPPED;
	if (!read_cell(codec, slot, &cell))
		return VALUE_NULL;
	if (!read_context(codec, slot))
		return VALUE_BAD;
	if (codec->json)
		return apply_to_json(codec, operation, slot, &cell, change);
	status = apply_to_cell(codec, operation, &cell, &new_cell, &changed);
	if (status != DBCRYPT_OK)
		return bad_cell(codec, status, &cell, &slot->tts_tid);
	if (!changed)
		return VALUE_CURRENT;
	(void) set_value(codec, new_cell.value, change);
	set_companion(codec, new_cell.companion, change);
	return VALUE_CHANGED;
}

ValueOutcome
codec_reencrypt(ColumnCodec *codec, TupleTableSlot *slot, bool check_current, ColumnChange *change)
{
	return apply(codec, check_current ? CELL_PROVE : CELL_REENCRYPT, slot, change);
}

ValueOutcome
codec_encrypt(ColumnCodec *codec, TupleTableSlot *slot, ColumnChange *change)
{
	return apply(codec, CELL_ENCRYPT, slot, change);
}

ValueOutcome
codec_decrypt(ColumnCodec *codec, TupleTableSlot *slot, ColumnChange *change)
{
	return apply(codec, CELL_DECRYPT, slot, change);
}

ValueOutcome
codec_convert(ColumnCodec *codec, TupleTableSlot *slot, ColumnChange *change)
{
	return apply(codec, CELL_CONVERT, slot, change);
}

ValueOutcome
codec_erase(ColumnCodec *codec, TupleTableSlot *slot, ColumnChange *change)
{
	if (!row_belongs(codec, slot))
		return VALUE_SKIPPED;
	if (slot_attisnull(slot, codec->attnum))
		return VALUE_NULL;
	if (codec->not_null)
	{
		(void) set_value(codec, allocate_value(codec, 0), change);
		set_companion(codec, NULL, change);
		return VALUE_CHANGED;
	}
	if (OidIsValid(codec->domain))
		domain_check((Datum) 0, true, codec->domain, &codec->domain_cache, codec->query_context);
	change->count = 1;
	change->attnums[0] = codec->attnum;
	change->values[0] = (Datum) 0;
	change->nulls[0] = true;
	set_companion(codec, NULL, change);
	return VALUE_CHANGED;
}

/* State of a key of the ring, by our id. */
static ValueState
key_state(const char *key_id)
{
	dbcrypt_ring *ring = session_ring();

	for (size_t i = 0; i < dbcrypt_ring_count(ring); i++)
		if (strcmp(dbcrypt_ring_key_id(ring, i), key_id) == 0)
		{
			if (dbcrypt_ring_state(ring, i) & DBCRYPT_STATE_REVOKED)
				return STATE_REVOKED;
			return i == 0 ? STATE_PRIMARY : STATE_OLD;
		}
	return STATE_NOT_LOADED;
}

/* State of an encrypted cell, and our id of its key; with open also whether it opens. */
static ValueState
state_of_cell(ColumnCodec *codec, const dbcrypt_cell *cell, bool open, char *key_id)
{
	dbcrypt_status status = identify_cell(codec, cell, key_id);
	ValueState state;
	size_t key;

	if (status == DBCRYPT_OK)
	{
		state = key_state(key_id);
		if (open && (state == STATE_PRIMARY || state == STATE_OLD))
			status = prove_cell(codec, cell, &key);
		if (status == DBCRYPT_OK)
			return state;
	}
	switch (status)
	{
		case DBCRYPT_NOT_AN_ENVELOPE:
			return is_damaged(codec, cell) ? STATE_FAILED : STATE_PLAINTEXT;
		case DBCRYPT_NO_KEYS:
		case DBCRYPT_KEY_NOT_LOADED:
			return STATE_NOT_LOADED;
		case DBCRYPT_KEY_REVOKED:
			return STATE_REVOKED;
		default:
			return STATE_FAILED;
	}
}

/* Visits a cell, unless it holds no value. */
static void
examine_cell(ColumnCodec *codec, const dbcrypt_cell *cell, bool open, ValueVisitor visit, void *arg)
{
	char key_id[DBCRYPT_KEY_ID_LEN + 1];
	ValueState state;

	switch (dbcrypt_scheme_inspect(codec->scheme, cell))
	{
		case DBCRYPT_CELL_NULL:
		case DBCRYPT_CELL_EMPTY:
			break;
		case DBCRYPT_CELL_PLAINTEXT:
			visit(arg, STATE_PLAINTEXT, "");
			break;
		case DBCRYPT_CELL_ENCRYPTED:
			state = state_of_cell(codec, cell, open, key_id);
			visit(arg, state, key_id);
			break;
	}
}

/* Visits the values of the row in slot. */
static void
examine_row(ColumnCodec *codec, TupleTableSlot *slot, bool open, ValueVisitor visit, void *arg)
{
	bool named = dbcrypt_scheme_traits_of(codec->scheme)->names_key && codec->json == NULL;
	dbcrypt_cell cell;

	if (!row_belongs(codec, slot) || !read_cell(codec, slot, &cell))
		return;
	if (open || !named)
	{
		bool soft_errors = codec->soft_errors;
		bool readable;

		codec->soft_errors = true;
		readable = read_context(codec, slot);
		codec->soft_errors = soft_errors;
		if (!readable)
		{
			char key_id[DBCRYPT_KEY_ID_LEN + 1] = "";

			if (named)
				(void) identify_cell(codec, &cell, key_id);
			visit(arg, STATE_FAILED, key_id);
			return;
		}
	}
	if (codec->json)
	{
		JsonWork work = {.codec = codec,
						 .visit = visit,
						 .visit_arg = arg,
						 .open = open,
						 .visit_context = CurrentMemoryContext};
		MemoryContext caller = MemoryContextSwitchTo(codec->econtext->ecxt_per_tuple_memory);

		(void) json_fields_replace(
			cstring_to_text_with_len((const char *) cell.value, (int) cell.value_size), codec->json,
			apply_to_field, &work);
		MemoryContextSwitchTo(caller);
	}
	else
		examine_cell(codec, &cell, open, visit, arg);
}

ValueState
codec_identify_envelope(ColumnCodec *codec, TupleTableSlot *slot, char *key_id)
{
	bool isnull;
	Datum stored = slot_getattr(slot, codec->attnum, &isnull);
	struct varlena *prefix;
	bool damaged;

	key_id[0] = '\0';
	if (isnull)
		return STATE_NULL;
	switch (value_read_header(stored, codec->form, key_id))
	{
		case DBCRYPT_OK:
			return key_state(key_id);
		case DBCRYPT_NOT_AN_ENVELOPE:
			prefix = PG_DETOAST_DATUM_SLICE(stored, 0, 16);
			damaged = begins_like_envelope(codec->form, (uint8_t *) VARDATA(prefix),
										   VARSIZE(prefix) - VARHDRSZ);
			pfree(prefix);
			return damaged ? STATE_FAILED : STATE_PLAINTEXT;
		default:
			return STATE_FAILED;
	}
}

void
codec_examine(ColumnCodec *codec, TupleTableSlot *slot, ValueVisitor visit, void *arg)
{
	examine_row(codec, slot, true, visit, arg);
}

void
codec_identify(ColumnCodec *codec, TupleTableSlot *slot, ValueVisitor visit, void *arg)
{
	char key_id[DBCRYPT_KEY_ID_LEN + 1];
	ValueState state;

	if (codec->scheme != scheme_native() || codec->where || codec->json)
		examine_row(codec, slot, false, visit, arg);
	else if ((state = codec_identify_envelope(codec, slot, key_id)) != STATE_NULL)
		visit(arg, state, key_id);
}

/* Notes a value that is not under the primary key. */
static void
note_stale(void *arg, ValueState state, const char *key_id)
{
	if (state != STATE_PRIMARY)
		*(ValueOutcome *) arg = VALUE_CHANGED;
}

ValueOutcome
codec_inspect(ColumnCodec *codec, TupleTableSlot *slot)
{
	ValueOutcome outcome = VALUE_CURRENT;

	if (slot_attisnull(slot, codec->attnum))
		return VALUE_NULL;
	codec_identify(codec, slot, note_stale, &outcome);
	return outcome;
}

dbcrypt_status
value_read_header(Datum value, dbcrypt_form form, char *key_id)
{
	struct varlena *prefix = PG_DETOAST_DATUM_SLICE(value, 0, 16);
	dbcrypt_status status;

	status = dbcrypt_read_header(form, (uint8_t *) VARDATA_ANY(prefix),
								 toast_raw_datum_size(value) - VARHDRSZ, key_id);
	pfree(prefix);
	return status;
}
