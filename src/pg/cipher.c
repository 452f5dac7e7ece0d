/*
 * cipher.c
 *		Opens and seals the values of one column of one relation.
 */
#include "postgres.h"

#include "access/detoast.h"
#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "dbcrypt.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "parser/parse_coerce.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

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
prepare_expressions(ColumnCipher *cipher, const TargetColumn *target, EState *estate)
{
	const ColumnOptions *options = &target->options;
	Oid userid;
	int security;

	if (target->aad == NULL && options->attribute_expression == NULL && options->where == NULL)
		return;
	cipher->runs_as = OidIsValid(target->runs_as) ? target->runs_as : owner_of(target->relid);

	GetUserIdAndSecContext(&userid, &security);
	SetUserIdAndSecContext(cipher->runs_as, security);
	if (target->aad)
	{
		Node *aad = (Node *) aad_parse(cipher->rel, cipher->attnum, target->aad);

		/* The AAD of dbcrypt_encrypt() is text. */
		if (cipher->scheme == scheme_native())
			aad = coerce_to_target_type(NULL, aad, exprType(aad), TEXTOID, -1, COERCION_ASSIGNMENT,
										COERCE_IMPLICIT_CAST, -1);
		cipher->aad = ExecPrepareExpr((Expr *) aad, estate);
	}
	if (options->attribute_expression)
		cipher->attribute =
			expression_prepare(cipher->rel, cipher->attnum, options->attribute_expression,
							   "attribute", TEXTOID, estate);
	if (options->where)
		cipher->where = expression_prepare(cipher->rel, cipher->attnum, options->where, "where",
										   BOOLOID, estate);
	SetUserIdAndSecContext(userid, security);
}

/* expression_evaluate, as whom the expressions run. */
static bool
evaluate(ColumnCipher *cipher, RowExpression *expression, TupleTableSlot *slot, Datum *value)
{
	Oid userid;
	int security;
	bool found;

	GetUserIdAndSecContext(&userid, &security);
	SetUserIdAndSecContext(cipher->runs_as, security);
	found = expression_evaluate(expression, cipher->econtext, slot, value);
	SetUserIdAndSecContext(userid, security);
	return found;
}

/* The companion column of the scheme, which must have the value's form; 0 for none. */
static AttrNumber
companion_column(Relation rel, const TargetColumn *target, dbcrypt_encoding form)
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
prepare_options(ColumnCipher *cipher, const ColumnOptions *options)
{
	dbcrypt_context *context = &cipher->context;

	context->table = utf8_of_name(options->table, &context->table_size);
	context->attribute = utf8_of_name(options->attribute, &context->attribute_size);
	cipher->json = options->json;
	cipher->attribute_per_field =
		options->json && options->attribute == NULL && options->attribute_expression == NULL;
}

void
cipher_init(ColumnCipher *cipher, Relation rel, const TargetColumn *target, EState *estate)
{
	AttrNumber attnum = get_attnum(RelationGetRelid(rel), target->name);
	Form_pg_attribute attribute = TupleDescAttr(RelationGetDescr(rel), attnum - 1);

	memset(cipher, 0, sizeof(*cipher));
	cipher->rel = rel;
	cipher->attnum = attnum;
	cipher->form = column_form(rel, attnum);
	cipher->scheme = target->scheme ? target->scheme : scheme_native();
	cipher->context.encoding = cipher->form;
	cipher->type = getBaseType(attribute->atttypid);
	cipher->domain =
		get_typtype(attribute->atttypid) == TYPTYPE_DOMAIN ? attribute->atttypid : InvalidOid;
	cipher->not_null = attribute->attnotnull || domain_not_null(attribute->atttypid);
	cipher->max_characters = -1;
	if (cipher->form == DBCRYPT_ENCODING_TEXT)
	{
		int32 typmod = attribute->atttypmod;

		(void) getBaseTypeAndTypmod(attribute->atttypid, &typmod);
		if (typmod >= (int32) VARHDRSZ)
			cipher->max_characters = typmod - VARHDRSZ;
	}
	cipher->econtext = GetPerTupleExprContext(estate);
	cipher->query_context = estate->es_query_cxt;
	if (target->scheme)
		cipher->companion = companion_column(rel, target, cipher->form);
	prepare_options(cipher, &target->options);
	prepare_expressions(cipher, target, estate);
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
allocate_value(ColumnCipher *cipher, size_t size)
{
	struct varlena *value;

	if (size > MaxAllocSize - VARHDRSZ)
		raise_status(DBCRYPT_TOO_LARGE, cipher->form, NULL, NULL);
	value = MemoryContextAlloc(cipher->econtext->ecxt_per_tuple_memory, size + VARHDRSZ);
	SET_VARSIZE(value, size + VARHDRSZ);
	return value;
}

/* Decrypts into a varlena of per-tuple memory; sets both outputs only on success. */
static dbcrypt_status
open_cell(ColumnCipher *cipher, const dbcrypt_cell *cell, struct varlena **plaintext, size_t *key)
{
	size_t room = dbcrypt_scheme_open_max_size(cipher->scheme, cipher->form, cell->value_size);
	struct varlena *result = allocate_value(cipher, room);
	size_t size = 0;
	dbcrypt_status status;

	status = dbcrypt_scheme_open(cipher->scheme, session_ring(), &cipher->context, cell,
								 (uint8_t *) VARDATA(result), &size, key);
	if (status != DBCRYPT_OK)
		return status;
	SET_VARSIZE(result, size + VARHDRSZ);
	*plaintext = result;
	return DBCRYPT_OK;
}

/* Decrypts for the proof alone; the plaintext does not outlive the call. */
static dbcrypt_status
prove_cell(ColumnCipher *cipher, const dbcrypt_cell *cell, size_t *key)
{
	struct varlena *plaintext;
	dbcrypt_status status = open_cell(cipher, cell, &plaintext, key);

	if (status == DBCRYPT_OK)
	{
		dbcrypt_cleanse(VARDATA(plaintext), VARSIZE(plaintext) - VARHDRSZ);
		pfree(plaintext);
	}
	return status;
}

/* What the core sealed into result, as a new cell. */
static void
sealed_cell(ColumnCipher *cipher, struct varlena *result, const dbcrypt_sealed *sealed,
			NewCell *new_cell)
{
	SET_VARSIZE(result, sealed->value_size + VARHDRSZ);
	new_cell->value = result;
	new_cell->companion = NULL;
	if (!sealed->companion_is_null)
	{
		new_cell->companion = allocate_value(cipher, sealed->companion_size);
		memcpy(VARDATA(new_cell->companion), sealed->companion, sealed->companion_size);
	}
}

static dbcrypt_status
seal_cell(ColumnCipher *cipher, const dbcrypt_scheme *scheme, const dbcrypt_context *context,
		  const uint8_t *plaintext, size_t size, NewCell *new_cell)
{
	struct varlena *result =
		allocate_value(cipher, dbcrypt_scheme_seal_max_size(scheme, context->encoding, size));
	dbcrypt_sealed sealed = {.value = (uint8_t *) VARDATA(result)};
	dbcrypt_status status;

	status = dbcrypt_scheme_seal(scheme, session_ring(), context, plaintext, size, &sealed);
	if (status == DBCRYPT_OK)
		sealed_cell(cipher, result, &sealed, new_cell);
	return status;
}

/* The bytes to encrypt of a value that is not: text is UTF-8 inside an envelope. */
static Bytes
plaintext_of_cell(ColumnCipher *cipher, const dbcrypt_cell *cell)
{
	Bytes plaintext = {cell->value, cell->value_size};

	if (cipher->form == DBCRYPT_ENCODING_TEXT && GetDatabaseEncoding() != PG_UTF8)
	{
		MemoryContext caller = MemoryContextSwitchTo(cipher->econtext->ecxt_per_tuple_memory);

		plaintext = text_to_utf8((struct varlena *) cstring_to_text_with_len(
			(const char *) cell->value, (int) cell->value_size));
		MemoryContextSwitchTo(caller);
	}
	return plaintext;
}

static dbcrypt_status
reencrypt_cell(ColumnCipher *cipher, const dbcrypt_cell *cell, NewCell *new_cell, bool *changed)
{
	struct varlena *result;
	dbcrypt_sealed sealed;
	dbcrypt_status status;

	if (dbcrypt_scheme_inspect(cipher->scheme, cell) == DBCRYPT_CELL_PLAINTEXT)
	{
		Bytes plaintext = plaintext_of_cell(cipher, cell);

		status = seal_cell(cipher, cipher->scheme, &cipher->context, plaintext.data, plaintext.size,
						   new_cell);
		*changed = status == DBCRYPT_OK;
		return status;
	}
	result =
		allocate_value(cipher, dbcrypt_scheme_rotate_max_size(cipher->scheme, cipher->form, cell));
	sealed = (dbcrypt_sealed){.value = (uint8_t *) VARDATA(result)};
	status = dbcrypt_scheme_rotate(cipher->scheme, session_ring(), &cipher->context, cell, &sealed,
								   changed);
	if (status == DBCRYPT_OK && *changed)
		sealed_cell(cipher, result, &sealed, new_cell);
	return status;
}

/*
 * Whether a value that is no envelope begins like one: cut short or spoiled, and
 * not to be taken for plaintext.
 */
static bool
begins_like_envelope(dbcrypt_encoding form, const uint8_t *value, size_t size)
{
	char key_id[DBCRYPT_KEY_ID_LEN + 1];
	size_t header = form == DBCRYPT_ENCODING_TEXT ? 16 : 12;

	return size >= header && dbcrypt_read_header(form, value, dbcrypt_envelope_size(form, 0),
												 key_id) != DBCRYPT_NOT_AN_ENVELOPE;
}

/*
 * Whether a value that is not well formed is a damaged one rather than plaintext.
 * Only our own envelopes are told by their first bytes: in a column of another
 * scheme everything should be well formed.
 */
static bool
is_damaged(ColumnCipher *cipher, const dbcrypt_cell *cell)
{
	return cipher->scheme != scheme_native() ||
		   begins_like_envelope(cipher->form, cell->value, cell->value_size);
}

/*
 * Encrypts what is not encrypted, or too short to be; what is must open, and
 * stays. A companion says that a value is encrypted, however badly: a new one
 * would destroy it.
 */
static dbcrypt_status
encrypt_cell(ColumnCipher *cipher, const dbcrypt_cell *cell, NewCell *new_cell, bool *changed)
{
	dbcrypt_cell_kind kind = dbcrypt_scheme_inspect(cipher->scheme, cell);
	Bytes plaintext;
	size_t key;

	if (kind == DBCRYPT_CELL_EMPTY)
		return DBCRYPT_OK;
	if (kind == DBCRYPT_CELL_ENCRYPTED)
	{
		dbcrypt_status status = prove_cell(cipher, cell, &key);

		if (status != DBCRYPT_NOT_AN_ENVELOPE || cell->companion_size > 0 ||
			begins_like_envelope(cipher->form, cell->value, cell->value_size))
			return status;
	}
	plaintext = plaintext_of_cell(cipher, cell);
	*changed = true;
	return seal_cell(cipher, cipher->scheme, &cipher->context, plaintext.data, plaintext.size,
					 new_cell);
}

/* Decrypts what is encrypted; what is not stays. */
static dbcrypt_status
decrypt_cell(ColumnCipher *cipher, const dbcrypt_cell *cell, NewCell *new_cell, bool *changed)
{
	struct varlena *plaintext;
	size_t key;
	dbcrypt_status status;

	if (dbcrypt_scheme_inspect(cipher->scheme, cell) != DBCRYPT_CELL_ENCRYPTED)
		return DBCRYPT_OK;
	status = open_cell(cipher, cell, &plaintext, &key);
	if (status == DBCRYPT_NOT_AN_ENVELOPE && !is_damaged(cipher, cell))
		return DBCRYPT_OK;
	if (status != DBCRYPT_OK)
		return status;
	if (cipher->form == DBCRYPT_ENCODING_TEXT)
	{
		MemoryContext caller = MemoryContextSwitchTo(cipher->econtext->ecxt_per_tuple_memory);

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
convert_cell(ColumnCipher *cipher, const dbcrypt_cell *cell, NewCell *new_cell, bool *changed)
{
	dbcrypt_context context = {.encoding = cipher->form};
	Bytes plaintext;
	struct varlena *opened;
	size_t key;

	if (dbcrypt_scheme_inspect(cipher->scheme, cell) == DBCRYPT_CELL_ENCRYPTED)
	{
		dbcrypt_status status = open_cell(cipher, cell, &opened, &key);

		if (status != DBCRYPT_OK)
			return status;
		plaintext = (Bytes){(const uint8_t *) VARDATA(opened), VARSIZE(opened) - VARHDRSZ};
	}
	else
		plaintext = plaintext_of_cell(cipher, cell);
	*changed = true;
	return seal_cell(cipher, scheme_native(), &context, plaintext.data, plaintext.size, new_cell);
}

static dbcrypt_status
apply_to_cell(ColumnCipher *cipher, CellOperation operation, const dbcrypt_cell *cell,
			  NewCell *new_cell, bool *changed)
{
	dbcrypt_status status;
	size_t key;

	*changed = false;
	switch (operation)
	{
		case CELL_REENCRYPT:
			return reencrypt_cell(cipher, cell, new_cell, changed);
		case CELL_PROVE:
			status = reencrypt_cell(cipher, cell, new_cell, changed);
			if (status == DBCRYPT_OK && !*changed &&
				dbcrypt_scheme_inspect(cipher->scheme, cell) == DBCRYPT_CELL_ENCRYPTED)
				status = prove_cell(cipher, cell, &key);
			return status;
		case CELL_ENCRYPT:
			return encrypt_cell(cipher, cell, new_cell, changed);
		case CELL_DECRYPT:
			return decrypt_cell(cipher, cell, new_cell, changed);
		case CELL_CONVERT:
			return convert_cell(cipher, cell, new_cell, changed);
	}
	pg_unreachable();
}

/* Our id of the key that an encrypted cell is under, "" where nothing tells. */
static dbcrypt_status
identify_cell(ColumnCipher *cipher, const dbcrypt_cell *cell, char *key_id)
{
	size_t room = dbcrypt_scheme_open_max_size(cipher->scheme, cipher->form, cell->value_size);
	struct varlena *scratch = allocate_value(cipher, room);
	dbcrypt_status status;

	key_id[0] = '\0';
	status = dbcrypt_scheme_identify(cipher->scheme, session_ring(), &cipher->context, cell,
									 (uint8_t *) VARDATA(scratch), key_id);
	dbcrypt_cleanse(VARDATA(scratch), room);
	return status;
}

/*
 * Throws for a bad value, or with soft_errors returns VALUE_BAD. What is wrong
 * with the session's keys rather than with the value always throws.
 */
static ValueOutcome
bad_cell(ColumnCipher *cipher, dbcrypt_status status, const dbcrypt_cell *cell, ItemPointer tid)
{
	ValuePlace place = {cipher->rel, cipher->attnum, *tid, cipher->scheme != scheme_native()};
	char key_id[DBCRYPT_KEY_ID_LEN + 1];
	dbcrypt_ring *ring = session_ring();

	if (identify_cell(cipher, cell, key_id) == DBCRYPT_NOT_AN_ENVELOPE)
		key_id[0] = '\0';
	if (cipher->soft_errors)
		switch (status)
		{
			case DBCRYPT_KEY_REVOKED:
				if (dbcrypt_ring_state(ring, 0) & DBCRYPT_STATE_REVOKED)
					break;
				/* FALLTHROUGH */
			case DBCRYPT_KEY_NOT_LOADED:
			case DBCRYPT_AUTHENTICATION_FAILED:
			case DBCRYPT_NOT_AN_ENVELOPE:
			case DBCRYPT_NEWER_FORMAT:
			case DBCRYPT_NEWER_ALGORITHM:
				cipher->bad_reason = status_message(status, key_id[0] ? key_id : NULL);
				return VALUE_BAD;
			default:
				break;
		}
	raise_key_status(status, cipher->form, key_id, &place);
}

/* ---- the row around it ---- */

/* A column's bytes in per-tuple memory; NULL for SQL NULL. */
static struct varlena *
read_column(ColumnCipher *cipher, TupleTableSlot *slot, AttrNumber attnum)
{
	MemoryContext caller;
	bool isnull;
	Datum stored = slot_getattr(slot, attnum, &isnull);
	struct varlena *value;

	if (isnull)
		return NULL;
	caller = MemoryContextSwitchTo(cipher->econtext->ecxt_per_tuple_memory);
	if (cipher->type == JSONBOID && attnum == cipher->attnum)
		value = (struct varlena *) cstring_to_text(
			DatumGetCString(DirectFunctionCall1(jsonb_out, stored)));
	else
		value = PG_DETOAST_DATUM_PACKED(stored);
	MemoryContextSwitchTo(caller);
	return value;
}

/* Whether the row is one of the column's, by its where. */
static bool
row_belongs(ColumnCipher *cipher, TupleTableSlot *slot)
{
	Datum belongs;

	return cipher->where == NULL ||
		   (evaluate(cipher, cipher->where, slot, &belongs) && DatumGetBool(belongs));
}

/* Reports, as bad_cell does, that an expression is NULL where it may not be. */
static bool
expression_is_null(ColumnCipher *cipher, const char *reason)
{
	cipher->bad_reason = reason;
	if (!cipher->soft_errors)
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("%s", reason),
						errhint("Use coalesce() where a column may be null.")));
	return false;
}

static void
set_attribute(ColumnCipher *cipher, const char *name)
{
	dbcrypt_context *context = &cipher->context;

	context->attribute = utf8_of_name(options_attribute(name), &context->attribute_size);
}

/* The row's AAD and attribute; false with soft_errors if one is NULL there. */
static bool
read_context(ColumnCipher *cipher, TupleTableSlot *slot)
{
	Bytes bytes = {NULL, 0};
	bool found = true;

	if (cipher->aad)
	{
		Oid userid;
		int security;

		GetUserIdAndSecContext(&userid, &security);
		SetUserIdAndSecContext(cipher->runs_as, security);
		found = aad_evaluate(cipher->aad, cipher->econtext, slot, &bytes);
		SetUserIdAndSecContext(userid, security);
	}
	if (!found)
		return expression_is_null(cipher, "AAD expression is null");
	cipher->context.aad = bytes.data;
	cipher->context.aad_size = bytes.size;
	if (cipher->attribute)
	{
		Datum value;
		MemoryContext caller;

		if (!evaluate(cipher, cipher->attribute, slot, &value))
			return expression_is_null(cipher, "attribute expression is null");
		caller = MemoryContextSwitchTo(cipher->econtext->ecxt_per_tuple_memory);
		set_attribute(cipher, TextDatumGetCString(value));
		MemoryContextSwitchTo(caller);
	}
	return true;
}

/* The stored cell; false if the value is NULL. */
static bool
read_cell(ColumnCipher *cipher, TupleTableSlot *slot, dbcrypt_cell *cell)
{
	struct varlena *value = read_column(cipher, slot, cipher->attnum);
	struct varlena *companion = NULL;

	if (value == NULL)
		return false;
	if (cipher->companion != InvalidAttrNumber)
		companion = read_column(cipher, slot, cipher->companion);
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
set_value(ColumnCipher *cipher, struct varlena *value, ColumnChange *change)
{
	Datum datum = PointerGetDatum(value);

	if (cipher->max_characters >= 0 &&
		pg_mbstrlen_with_len(VARDATA(value), VARSIZE(value) - VARHDRSZ) > cipher->max_characters)
		ereport(ERROR,
				(errcode(ERRCODE_STRING_DATA_RIGHT_TRUNCATION),
				 errmsg("value too long for type character varying(%d)", cipher->max_characters),
				 errhint("An encrypted value is a third longer than its plaintext and 56 "
						 "characters more: ALTER the column's type to text.")));
	if (cipher->type == JSONBOID)
	{
		MemoryContext caller = MemoryContextSwitchTo(cipher->econtext->ecxt_per_tuple_memory);

		datum = DirectFunctionCall1(jsonb_in, CStringGetDatum(text_to_cstring(value)));
		MemoryContextSwitchTo(caller);
	}
	if (OidIsValid(cipher->domain))
		domain_check(datum, false, cipher->domain, &cipher->domain_cache, cipher->query_context);
	change->count = 1;
	change->attnums[0] = cipher->attnum;
	change->values[0] = datum;
	change->nulls[0] = false;
	return VALUE_CHANGED;
}

/* Adds the companion to a change. */
static void
set_companion(ColumnCipher *cipher, struct varlena *companion, ColumnChange *change)
{
	int n = change->count;
	Form_pg_attribute attribute;

	if (cipher->companion == InvalidAttrNumber)
		return;
	attribute = TupleDescAttr(RelationGetDescr(cipher->rel), cipher->companion - 1);
	if (companion == NULL && attribute->attnotnull)
		companion = allocate_value(cipher, 0);
	if (companion && cipher->form == DBCRYPT_ENCODING_TEXT &&
		attribute->atttypmod >= (int32) VARHDRSZ &&
		VARSIZE(companion) - VARHDRSZ > attribute->atttypmod - VARHDRSZ)
		ereport(ERROR,
				(errcode(ERRCODE_STRING_DATA_RIGHT_TRUNCATION),
				 errmsg("value too long for type character varying(%d)",
						(int) (attribute->atttypmod - VARHDRSZ)),
				 errhint("ALTER the type of column \"%s\" to text.", NameStr(attribute->attname))));
	change->attnums[n] = cipher->companion;
	change->values[n] = PointerGetDatum(companion);
	change->nulls[n] = companion == NULL;
	change->count++;
}

/* ---- JSON columns: each matching field is a cell of its own ---- */

typedef struct JsonWork
{
	ColumnCipher *cipher;
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
	ColumnCipher *cipher = work->cipher;

	if (cipher->attribute_per_field)
		set_attribute(cipher, name);
}

static void examine_cell(ColumnCipher *cipher, const dbcrypt_cell *cell, bool open,
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

		examine_cell(work->cipher, &cell, work->open, work->visit, work->visit_arg);
		MemoryContextSwitchTo(caller);
		return NULL;
	}
	status = apply_to_cell(work->cipher, work->operation, &cell, &new_cell, &changed);
	if (status != DBCRYPT_OK)
		work->bad = bad_cell(work->cipher, status, &cell, work->tid) == VALUE_BAD;
	return status == DBCRYPT_OK && changed ? text_to_cstring(new_cell.value) : NULL;
}

static ValueOutcome
apply_to_json(ColumnCipher *cipher, CellOperation operation, TupleTableSlot *slot,
			  const dbcrypt_cell *cell, ColumnChange *change)
{
	JsonWork work = {.cipher = cipher, .operation = operation, .tid = &slot->tts_tid};
	MemoryContext caller = MemoryContextSwitchTo(cipher->econtext->ecxt_per_tuple_memory);
	text *json = cstring_to_text_with_len((const char *) cell->value, (int) cell->value_size);
	text *result = json_fields_replace(json, cipher->json, apply_to_field, &work);

	MemoryContextSwitchTo(caller);
	if (work.bad)
		return VALUE_BAD;
	return result ? set_value(cipher, (struct varlena *) result, change) : VALUE_CURRENT;
}

/* ---- what callers ask for ---- */

static ValueOutcome
apply(ColumnCipher *cipher, CellOperation operation, TupleTableSlot *slot, ColumnChange *change)
{
	dbcrypt_cell cell;
	NewCell new_cell;
	bool changed;
	dbcrypt_status status;

	if (!row_belongs(cipher, slot))
		return VALUE_SKIPPED;
	if (!read_cell(cipher, slot, &cell))
		return VALUE_NULL;
	if (!read_context(cipher, slot))
		return VALUE_BAD;
	if (cipher->json)
		return apply_to_json(cipher, operation, slot, &cell, change);
	status = apply_to_cell(cipher, operation, &cell, &new_cell, &changed);
	if (status != DBCRYPT_OK)
		return bad_cell(cipher, status, &cell, &slot->tts_tid);
	if (!changed)
		return VALUE_CURRENT;
	(void) set_value(cipher, new_cell.value, change);
	set_companion(cipher, new_cell.companion, change);
	return VALUE_CHANGED;
}

ValueOutcome
cipher_reencrypt(ColumnCipher *cipher, TupleTableSlot *slot, bool check_current,
				 ColumnChange *change)
{
	return apply(cipher, check_current ? CELL_PROVE : CELL_REENCRYPT, slot, change);
}

ValueOutcome
cipher_encrypt(ColumnCipher *cipher, TupleTableSlot *slot, ColumnChange *change)
{
	return apply(cipher, CELL_ENCRYPT, slot, change);
}

ValueOutcome
cipher_decrypt(ColumnCipher *cipher, TupleTableSlot *slot, ColumnChange *change)
{
	return apply(cipher, CELL_DECRYPT, slot, change);
}

ValueOutcome
cipher_convert(ColumnCipher *cipher, TupleTableSlot *slot, ColumnChange *change)
{
	return apply(cipher, CELL_CONVERT, slot, change);
}

ValueOutcome
cipher_erase(ColumnCipher *cipher, TupleTableSlot *slot, ColumnChange *change)
{
	if (!row_belongs(cipher, slot))
		return VALUE_SKIPPED;
	if (slot_attisnull(slot, cipher->attnum))
		return VALUE_NULL;
	if (cipher->not_null)
	{
		(void) set_value(cipher, allocate_value(cipher, 0), change);
		set_companion(cipher, NULL, change);
		return VALUE_CHANGED;
	}
	if (OidIsValid(cipher->domain))
		domain_check((Datum) 0, true, cipher->domain, &cipher->domain_cache, cipher->query_context);
	change->count = 1;
	change->attnums[0] = cipher->attnum;
	change->values[0] = (Datum) 0;
	change->nulls[0] = true;
	set_companion(cipher, NULL, change);
	return VALUE_CHANGED;
}

/* State of a key of the ring, by our id. */
static CipherState
key_state(const char *key_id)
{
	dbcrypt_ring *ring = session_ring();

	for (size_t i = 0; i < dbcrypt_ring_count(ring); i++)
		if (strcmp(dbcrypt_ring_key_id(ring, i), key_id) == 0)
		{
			if (dbcrypt_ring_state(ring, i) & DBCRYPT_STATE_REVOKED)
				return CIPHER_REVOKED;
			return i == 0 ? CIPHER_PRIMARY : CIPHER_OLD;
		}
	return CIPHER_NOT_LOADED;
}

/* State of an encrypted cell, and our id of its key; with open also whether it opens. */
static CipherState
state_of_cell(ColumnCipher *cipher, const dbcrypt_cell *cell, bool open, char *key_id)
{
	dbcrypt_status status = identify_cell(cipher, cell, key_id);
	CipherState state;
	size_t key;

	if (status == DBCRYPT_OK)
	{
		state = key_state(key_id);
		if (open && (state == CIPHER_PRIMARY || state == CIPHER_OLD))
			status = prove_cell(cipher, cell, &key);
		if (status == DBCRYPT_OK)
			return state;
	}
	switch (status)
	{
		case DBCRYPT_NOT_AN_ENVELOPE:
			return is_damaged(cipher, cell) ? CIPHER_FAILED : CIPHER_PLAINTEXT;
		case DBCRYPT_NO_KEYS:
		case DBCRYPT_KEY_NOT_LOADED:
			return CIPHER_NOT_LOADED;
		case DBCRYPT_KEY_REVOKED:
			return CIPHER_REVOKED;
		default:
			return CIPHER_FAILED;
	}
}

/* Visits a cell, unless it holds no value. */
static void
examine_cell(ColumnCipher *cipher, const dbcrypt_cell *cell, bool open, ValueVisitor visit,
			 void *arg)
{
	char key_id[DBCRYPT_KEY_ID_LEN + 1];
	CipherState state;

	switch (dbcrypt_scheme_inspect(cipher->scheme, cell))
	{
		case DBCRYPT_CELL_NULL:
		case DBCRYPT_CELL_EMPTY:
			break;
		case DBCRYPT_CELL_PLAINTEXT:
			visit(arg, CIPHER_PLAINTEXT, "");
			break;
		case DBCRYPT_CELL_ENCRYPTED:
			state = state_of_cell(cipher, cell, open, key_id);
			visit(arg, state, key_id);
			break;
	}
}

/* Visits the values of the row in slot. */
static void
examine_row(ColumnCipher *cipher, TupleTableSlot *slot, bool open, ValueVisitor visit, void *arg)
{
	bool named = dbcrypt_scheme_traits_of(cipher->scheme)->names_key && cipher->json == NULL;
	dbcrypt_cell cell;

	if (!row_belongs(cipher, slot) || !read_cell(cipher, slot, &cell))
		return;
	if (open || !named)
	{
		bool soft_errors = cipher->soft_errors;
		bool readable;

		cipher->soft_errors = true;
		readable = read_context(cipher, slot);
		cipher->soft_errors = soft_errors;
		if (!readable)
		{
			char key_id[DBCRYPT_KEY_ID_LEN + 1] = "";

			if (named)
				(void) identify_cell(cipher, &cell, key_id);
			visit(arg, CIPHER_FAILED, key_id);
			return;
		}
	}
	if (cipher->json)
	{
		JsonWork work = {.cipher = cipher,
						 .visit = visit,
						 .visit_arg = arg,
						 .open = open,
						 .visit_context = CurrentMemoryContext};
		MemoryContext caller = MemoryContextSwitchTo(cipher->econtext->ecxt_per_tuple_memory);

		(void) json_fields_replace(
			cstring_to_text_with_len((const char *) cell.value, (int) cell.value_size),
			cipher->json, apply_to_field, &work);
		MemoryContextSwitchTo(caller);
	}
	else
		examine_cell(cipher, &cell, open, visit, arg);
}

CipherState
cipher_identify_envelope(ColumnCipher *cipher, TupleTableSlot *slot, char *key_id)
{
	bool isnull;
	Datum stored = slot_getattr(slot, cipher->attnum, &isnull);
	struct varlena *prefix;
	bool damaged;

	key_id[0] = '\0';
	if (isnull)
		return CIPHER_NULL;
	switch (value_read_header(stored, cipher->form, key_id))
	{
		case DBCRYPT_OK:
			return key_state(key_id);
		case DBCRYPT_NOT_AN_ENVELOPE:
			prefix = PG_DETOAST_DATUM_SLICE(stored, 0, 16);
			damaged = begins_like_envelope(cipher->form, (uint8_t *) VARDATA(prefix),
										   VARSIZE(prefix) - VARHDRSZ);
			pfree(prefix);
			return damaged ? CIPHER_FAILED : CIPHER_PLAINTEXT;
		default:
			return CIPHER_FAILED;
	}
}

void
cipher_examine(ColumnCipher *cipher, TupleTableSlot *slot, ValueVisitor visit, void *arg)
{
	examine_row(cipher, slot, true, visit, arg);
}

void
cipher_identify(ColumnCipher *cipher, TupleTableSlot *slot, ValueVisitor visit, void *arg)
{
	char key_id[DBCRYPT_KEY_ID_LEN + 1];
	CipherState state;

	if (cipher->scheme != scheme_native() || cipher->where || cipher->json)
		examine_row(cipher, slot, false, visit, arg);
	else if ((state = cipher_identify_envelope(cipher, slot, key_id)) != CIPHER_NULL)
		visit(arg, state, key_id);
}

/* Notes a value that is not under the primary key. */
static void
note_stale(void *arg, CipherState state, const char *key_id)
{
	if (state != CIPHER_PRIMARY)
		*(ValueOutcome *) arg = VALUE_CHANGED;
}

ValueOutcome
cipher_inspect(ColumnCipher *cipher, TupleTableSlot *slot)
{
	ValueOutcome outcome = VALUE_CURRENT;

	if (slot_attisnull(slot, cipher->attnum))
		return VALUE_NULL;
	cipher_identify(cipher, slot, note_stale, &outcome);
	return outcome;
}

dbcrypt_status
value_read_header(Datum value, dbcrypt_encoding form, char *key_id)
{
	struct varlena *prefix = PG_DETOAST_DATUM_SLICE(value, 0, 16);
	dbcrypt_status status;

	status = dbcrypt_read_header(form, (uint8_t *) VARDATA_ANY(prefix),
								 toast_raw_datum_size(value) - VARHDRSZ, key_id);
	pfree(prefix);
	return status;
}
