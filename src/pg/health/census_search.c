/*
 * census_search.c
 *		Finds envelopes in one value of any type that can hold text or bytea.
 *
 * The stored bytes are searched, not the type's text: JSON, hstore and arrays keep
 * strings as they are, and no output function runs, which could be anybody's. What is
 * looked into part by part is what may hide an envelope's start: bytea begins with it
 * in an array too, and a row's fields may be compressed.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "executor/tuptable.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/lsyscache.h"
#include "utils/typcache.h"

#include "core/api/search.h"
#include "core/api/value.h"
#include "health/census_search.h"

/* PostgreSQL's types of variable length that hold no text. */
static const Oid no_text[] = {NUMERICOID, BITOID,	  VARBITOID,	 INETOID,	  CIDROID,
							  PATHOID,	  POLYGONOID, INT2VECTOROID, OIDVECTOROID};

/* Whether values of a type with a length as in pg_type have room for an envelope's text. */
static bool
has_room(int16 length)
{
	return length < 0 || length >= (int) dbcrypt_envelope_size(DBCRYPT_ENCODING_TEXT, 0);
}

/* How a type that is no domain is searched, its elements aside. */
static SearchKind
kind_of(Oid type)
{
	switch (type)
	{
		case TEXTOID:
		case VARCHAROID:
		case BPCHAROID:
			return SEARCH_TEXT;
		case BYTEAOID:
			return SEARCH_BYTEA;
	}
	for (int i = 0; i < lengthof(no_text); i++)
		if (no_text[i] == type)
			return SEARCH_NOT;
	switch (get_typtype(type))
	{
		case TYPTYPE_COMPOSITE:
			return SEARCH_COMPOSITE;
		case TYPTYPE_BASE:
		case TYPTYPE_RANGE:
		case TYPTYPE_MULTIRANGE:
			return has_room(get_typlen(type)) ? SEARCH_BYTES : SEARCH_NOT;
		default:
			return type == RECORDOID ? SEARCH_COMPOSITE : SEARCH_NOT;
	}
}

void
search_plan(SearchPlan *plan, Oid type)
{
	SearchPlan element;
	Oid element_type;

	type = getBaseType(type);
	memset(plan, 0, sizeof(*plan));
	plan->kind = kind_of(type);
	plan->length = get_typlen(type);
	element_type = plan->kind == SEARCH_BYTES ? get_element_type(type) : InvalidOid;
	if (!OidIsValid(element_type))
		return;

	search_plan(&element, element_type);
	if (element.kind == SEARCH_NOT)
		plan->kind = SEARCH_NOT;
	if (element.kind != SEARCH_BYTEA && element.kind != SEARCH_COMPOSITE &&
		element.kind != SEARCH_ARRAY)
		return;
	plan->kind = SEARCH_ARRAY;
	plan->element_plan = palloc(sizeof(SearchPlan));
	*plan->element_plan = element;
}

void
search_bytes(const uint8_t *data, size_t size, EnvelopeVisitor visit, void *arg)
{
	dbcrypt_found found = {0};

	while (dbcrypt_search_envelope(data, size, found.end, &found))
		visit(arg, found.key_id);
}

size_t
search_whole_size(size_t size)
{
	return size < 16 ? size : Max(size, dbcrypt_envelope_size(DBCRYPT_ENCODING_BINARY, 0));
}

/* What begins a value: a binary envelope, or one of a newer format. False for neither. */
static bool
search_start(dbcrypt_encoding encoding, const uint8_t *data, size_t size, EnvelopeVisitor visit,
			 void *arg)
{
	char key_id[DBCRYPT_KEY_ID_LEN + 1];

	switch (dbcrypt_read_header(encoding, data, size, key_id))
	{
		case DBCRYPT_OK:
			visit(arg, key_id);
			return true;
		case DBCRYPT_NEWER_FORMAT:
		case DBCRYPT_NEWER_ALGORITHM:
			visit(arg, "");
			return true;
		default:
			return false;
	}
}

/* Visits what a text or bytea holds: an envelope, or others within. False for none. */
static bool
search_string(dbcrypt_encoding encoding, const uint8_t *data, size_t size, EnvelopeVisitor visit,
			  void *arg)
{
	dbcrypt_found found = {0};
	bool any = false;

	if (encoding == DBCRYPT_ENCODING_BINARY)
		any = search_start(encoding, data, search_whole_size(size), visit, arg);
	while (dbcrypt_search_envelope(data, size, found.end, &found))
	{
		visit(arg, found.key_id);
		any = true;
	}
	/* Of a text, the search has seen all but a newer format. */
	if (!any && encoding == DBCRYPT_ENCODING_TEXT)
		any = search_start(encoding, data, size, visit, arg);
	return any;
}

/* Visits the elements of an array. */
static void
search_array(const SearchPlan *plan, Datum value, EnvelopeVisitor visit, void *arg)
{
	ArrayType *array = DatumGetArrayTypeP(value);
	ArrayIterator elements = array_create_iterator(array, 0, NULL);
	Datum element;
	bool isnull;

	while (array_iterate(elements, &element, &isnull))
	{
		CHECK_FOR_INTERRUPTS();
		if (!isnull)
			search_value(plan->element_plan, element, NULL, visit, arg);
	}
	array_free_iterator(elements);
}

/* Visits the fields of a row. */
static void
search_composite(Datum value, EnvelopeVisitor visit, void *arg)
{
	HeapTupleHeader row = DatumGetHeapTupleHeader(value);
	TupleDesc desc =
		lookup_rowtype_tupdesc_copy(HeapTupleHeaderGetTypeId(row), HeapTupleHeaderGetTypMod(row));
	HeapTupleData tuple = {.t_len = HeapTupleHeaderGetDatumLength(row), .t_data = row};
	Datum *values = palloc(sizeof(Datum) * desc->natts);
	bool *nulls = palloc(sizeof(bool) * desc->natts);

	check_stack_depth();
	heap_deform_tuple(&tuple, desc, values, nulls);
	for (int i = 0; i < desc->natts; i++)
	{
		SearchPlan plan;

		if (nulls[i] || TupleDescAttr(desc, i)->attisdropped)
			continue;
		search_plan(&plan, TupleDescAttr(desc, i)->atttypid);
		search_value(&plan, values[i], NULL, visit, arg);
	}
}

/* Visits what a value holds that is of one piece. */
static void
search_piece(const SearchPlan *plan, Datum value, dbcrypt_sample *sample, EnvelopeVisitor visit,
			 void *arg)
{
	dbcrypt_encoding encoding =
		plan->kind == SEARCH_BYTEA ? DBCRYPT_ENCODING_BINARY : DBCRYPT_ENCODING_TEXT;
	struct varlena *bytes = NULL;
	const uint8_t *data = (const uint8_t *) DatumGetPointer(value);
	size_t size;

	if (plan->length == -1)
	{
		bytes = PG_DETOAST_DATUM_PACKED(value);
		data = (const uint8_t *) VARDATA_ANY(bytes);
		size = VARSIZE_ANY_EXHDR(bytes);
	}
	else
		size = plan->length == -2 ? strlen(DatumGetCString(value)) : (size_t) plan->length;
	if (plan->kind == SEARCH_BYTES)
		search_bytes(data, size, visit, arg);
	else if (!search_string(encoding, data, size, visit, arg) && sample)
		dbcrypt_sample_add(sample, encoding, data, size);
	if (bytes && (Pointer) bytes != DatumGetPointer(value))
		pfree(bytes);
}

void
search_value(const SearchPlan *plan, Datum value, dbcrypt_sample *sample, EnvelopeVisitor visit,
			 void *arg)
{
	switch (plan->kind)
	{
		case SEARCH_NOT:
			break;
		case SEARCH_ARRAY:
			search_array(plan, value, visit, arg);
			break;
		case SEARCH_COMPOSITE:
			search_composite(value, visit, arg);
			break;
		case SEARCH_TEXT:
		case SEARCH_BYTEA:
		case SEARCH_BYTES:
			search_piece(plan, value, sample, visit, arg);
			break;
	}
}
