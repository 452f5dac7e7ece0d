/*
 * cipher.c
 *		Opens and seals the values of one column of one relation.
 */
#include "postgres.h"

#include "access/detoast.h"
#include "access/htup_details.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "dbcrypt.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

/* Whether a type is a domain that forbids NULL, itself or below. */
static bool
domain_not_null(Oid type)
{
	bool		not_null = false;

	while (!not_null && get_typtype(type) == TYPTYPE_DOMAIN)
	{
		HeapTuple	tuple = SearchSysCache1(TYPEOID, ObjectIdGetDatum(type));
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
 * An AAD expression belongs to the owner of the table it was given for. A
 * child's owner may be another, who must not run it.
 */
static void
prepare_aad(ColumnCipher *cipher, const TargetColumn *target, EState *estate)
{
	Oid			userid;
	int			security;
	HeapTuple	tuple;

	cipher->aad = NULL;
	if (target->aad == NULL)
		return;
	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(target->relid));
	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for relation %u", target->relid);
	cipher->aad_owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
	ReleaseSysCache(tuple);

	GetUserIdAndSecContext(&userid, &security);
	SetUserIdAndSecContext(cipher->aad_owner, security);
	cipher->aad = ExecPrepareExpr(aad_parse(cipher->rel, cipher->attnum, target->aad), estate);
	SetUserIdAndSecContext(userid, security);
}

void
cipher_init(ColumnCipher *cipher, Relation rel, const TargetColumn *target, EState *estate)
{
	AttrNumber	attnum = get_attnum(RelationGetRelid(rel), target->name);
	Form_pg_attribute attribute = TupleDescAttr(RelationGetDescr(rel), attnum - 1);

	cipher->rel = rel;
	cipher->attnum = attnum;
	cipher->form = column_form(rel, attnum);
	cipher->domain = get_typtype(attribute->atttypid) == TYPTYPE_DOMAIN ? attribute->atttypid :
		InvalidOid;
	cipher->domain_cache = NULL;
	cipher->not_null = attribute->attnotnull || domain_not_null(attribute->atttypid);
	cipher->max_characters = -1;
	if (cipher->form == DBCRYPT_TEXT)
	{
		int32		typmod = attribute->atttypmod;

		(void) getBaseTypeAndTypmod(attribute->atttypid, &typmod);
		if (typmod >= (int32) VARHDRSZ)
			cipher->max_characters = typmod - VARHDRSZ;
	}
	cipher->econtext = GetPerTupleExprContext(estate);
	cipher->query_context = estate->es_query_cxt;
	cipher->soft_errors = false;
	cipher->bad_reason = NULL;
	prepare_aad(cipher, target, estate);
}

/*
 * Throws for a bad value, or with soft_errors returns VALUE_BAD. What is wrong
 * with the session's keys rather than with the value always throws.
 */
static ValueOutcome
bad_value(ColumnCipher *cipher, dbcrypt_status status, struct varlena *envelope,
		  const ValuePlace *place)
{
	char		key_id[DBCRYPT_KEY_ID_LEN + 1] = "";
	dbcrypt_ring *ring = session_ring();

	if (dbcrypt_read_header(cipher->form, (uint8_t *) VARDATA_ANY(envelope),
							VARSIZE_ANY_EXHDR(envelope), key_id) != DBCRYPT_OK)
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
	raise_value_status(status, cipher->form, envelope, place);
}

/* The stored value in per-tuple memory; false if it is NULL. */
static bool
read_value(ColumnCipher *cipher, TupleTableSlot *slot, struct varlena **value)
{
	MemoryContext caller;
	bool		isnull;
	Datum		stored = slot_getattr(slot, cipher->attnum, &isnull);

	if (isnull)
		return false;
	caller = MemoryContextSwitchTo(cipher->econtext->ecxt_per_tuple_memory);
	*value = PG_DETOAST_DATUM_PACKED(stored);
	MemoryContextSwitchTo(caller);
	return true;
}

/* The row's AAD; false with soft_errors if its expression is NULL there. */
static bool
read_aad(ColumnCipher *cipher, TupleTableSlot *slot, Bytes *aad)
{
	Oid			userid;
	int			security;
	bool		found;

	*aad = (Bytes){NULL, 0};
	if (cipher->aad == NULL)
		return true;
	GetUserIdAndSecContext(&userid, &security);
	SetUserIdAndSecContext(cipher->aad_owner, security);
	found = aad_evaluate(cipher->aad, cipher->econtext, slot, aad);
	SetUserIdAndSecContext(userid, security);
	if (found)
		return true;
	cipher->bad_reason = "AAD expression is null";
	if (!cipher->soft_errors)
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
						errmsg("%s", cipher->bad_reason),
						errhint("Use coalesce() where a column may be null.")));
	return false;
}

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

/* Reports a new value of the column, after the checks of its type. */
static ValueOutcome
set_value(ColumnCipher *cipher, struct varlena *value, ColumnChange *change)
{
	if (cipher->max_characters >= 0 &&
		pg_mbstrlen_with_len(VARDATA(value), VARSIZE(value) - VARHDRSZ) > cipher->max_characters)
		ereport(ERROR, (errcode(ERRCODE_STRING_DATA_RIGHT_TRUNCATION),
						errmsg("value too long for type character varying(%d)",
							   cipher->max_characters),
						errhint("An encrypted value is a third longer than its plaintext and 56 "
								"characters more: ALTER the column's type to text.")));
	if (OidIsValid(cipher->domain))
		domain_check(PointerGetDatum(value), false, cipher->domain, &cipher->domain_cache,
					 cipher->query_context);
	change->count = 1;
	change->attnums[0] = cipher->attnum;
	change->values[0] = PointerGetDatum(value);
	change->nulls[0] = false;
	return VALUE_CHANGED;
}

/* Decrypts into a varlena of per-tuple memory, set only on success. */
static dbcrypt_status
open_value(ColumnCipher *cipher, struct varlena *envelope, Bytes aad, struct varlena **plaintext)
{
	size_t		size = VARSIZE_ANY_EXHDR(envelope);
	struct varlena *result = allocate_value(cipher, dbcrypt_decrypt_room(cipher->form, size));
	dbcrypt_status status;

	status = dbcrypt_decrypt(session_ring(), cipher->form, (uint8_t *) VARDATA_ANY(envelope), size,
							 aad.data, aad.size, (uint8_t *) VARDATA(result), &size);
	if (status != DBCRYPT_OK)
		return status;
	SET_VARSIZE(result, size + VARHDRSZ);
	*plaintext = result;
	return DBCRYPT_OK;
}

/* Decrypts for the proof alone; the plaintext does not outlive the call. */
static dbcrypt_status
prove_value(ColumnCipher *cipher, struct varlena *envelope, Bytes aad)
{
	struct varlena *plaintext;
	dbcrypt_status status = open_value(cipher, envelope, aad, &plaintext);

	if (status == DBCRYPT_OK)
	{
		dbcrypt_cleanse(VARDATA(plaintext), VARSIZE(plaintext) - VARHDRSZ);
		pfree(plaintext);
	}
	return status;
}

ValueOutcome
cipher_reencrypt(ColumnCipher *cipher, TupleTableSlot *slot, bool check_current,
				 ColumnChange *change)
{
	ValuePlace	place = {cipher->rel, cipher->attnum, slot->tts_tid};
	struct varlena *envelope;
	struct varlena *result;
	Bytes		aad;
	size_t		size;
	bool		changed = false;
	dbcrypt_status status;

	if (!read_value(cipher, slot, &envelope))
		return VALUE_NULL;
	if (!read_aad(cipher, slot, &aad))
		return VALUE_BAD;

	size = VARSIZE_ANY_EXHDR(envelope);
	result = allocate_value(cipher, size);
	status = dbcrypt_reencrypt(session_ring(), cipher->form, (uint8_t *) VARDATA_ANY(envelope),
							   size, aad.data, aad.size, (uint8_t *) VARDATA(result), &changed);
	if (status == DBCRYPT_OK && !changed && check_current)
		status = prove_value(cipher, envelope, aad);
	if (status != DBCRYPT_OK)
		return bad_value(cipher, status, envelope, &place);
	return changed ? set_value(cipher, result, change) : VALUE_CURRENT;
}

ValueOutcome
cipher_encrypt(ColumnCipher *cipher, TupleTableSlot *slot, ColumnChange *change)
{
	ValuePlace	place = {cipher->rel, cipher->attnum, slot->tts_tid};
	char		key_id[DBCRYPT_KEY_ID_LEN + 1];
	struct varlena *value;
	struct varlena *result;
	Bytes		aad;
	Bytes		plaintext;
	dbcrypt_ring *ring;
	dbcrypt_status status;

	if (!read_value(cipher, slot, &value))
		return VALUE_NULL;
	if (!read_aad(cipher, slot, &aad))
		return VALUE_BAD;
	if (dbcrypt_read_header(cipher->form, (uint8_t *) VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value),
							key_id) != DBCRYPT_NOT_AN_ENVELOPE)
	{
		status = prove_value(cipher, value, aad);
		return status == DBCRYPT_OK ? VALUE_CURRENT : bad_value(cipher, status, value, &place);
	}

	if (cipher->form == DBCRYPT_TEXT)
		plaintext = text_to_utf8(value);
	else
		plaintext = (Bytes){(uint8_t *) VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value)};
	result = allocate_value(cipher, dbcrypt_envelope_size(cipher->form, plaintext.size));
	ring = session_ring();
	status = dbcrypt_encrypt(ring, cipher->form, plaintext.data, plaintext.size, aad.data, aad.size,
							 (uint8_t *) VARDATA(result));
	if (status != DBCRYPT_OK)
		raise_status(status, cipher->form,
					 dbcrypt_ring_count(ring) > 0 ? dbcrypt_ring_key_id(ring, 0) : NULL, &place);
	return set_value(cipher, result, change);
}

ValueOutcome
cipher_decrypt(ColumnCipher *cipher, TupleTableSlot *slot, ColumnChange *change)
{
	ValuePlace	place = {cipher->rel, cipher->attnum, slot->tts_tid};
	struct varlena *envelope;
	struct varlena *plaintext;
	Bytes		aad;
	dbcrypt_status status;

	if (!read_value(cipher, slot, &envelope))
		return VALUE_NULL;
	if (!read_aad(cipher, slot, &aad))
		return VALUE_BAD;
	status = open_value(cipher, envelope, aad, &plaintext);
	if (status != DBCRYPT_OK)
		return bad_value(cipher, status, envelope, &place);
	if (cipher->form == DBCRYPT_TEXT)
	{
		MemoryContext caller = MemoryContextSwitchTo(cipher->econtext->ecxt_per_tuple_memory);

		plaintext = utf8_to_text(plaintext);
		MemoryContextSwitchTo(caller);
	}
	return set_value(cipher, plaintext, change);
}

ValueOutcome
cipher_erase(ColumnCipher *cipher, TupleTableSlot *slot, ColumnChange *change)
{
	if (slot_attisnull(slot, cipher->attnum))
		return VALUE_NULL;
	if (cipher->not_null)
		return set_value(cipher, allocate_value(cipher, 0), change);
	if (OidIsValid(cipher->domain))
		domain_check((Datum) 0, true, cipher->domain, &cipher->domain_cache,
					 cipher->query_context);
	change->count = 1;
	change->attnums[0] = cipher->attnum;
	change->values[0] = (Datum) 0;
	change->nulls[0] = true;
	return VALUE_CHANGED;
}

ValueOutcome
cipher_inspect(ColumnCipher *cipher, TupleTableSlot *slot)
{
	char		key_id[DBCRYPT_KEY_ID_LEN + 1];
	bool		isnull;
	Datum		stored = slot_getattr(slot, cipher->attnum, &isnull);
	dbcrypt_ring *ring = session_ring();

	if (isnull)
		return VALUE_NULL;
	if (dbcrypt_ring_count(ring) > 0 &&
		value_read_header(stored, cipher->form, key_id) == DBCRYPT_OK &&
		strcmp(key_id, dbcrypt_ring_key_id(ring, 0)) == 0)
		return VALUE_CURRENT;
	return VALUE_CHANGED;
}

CipherState
cipher_examine(ColumnCipher *cipher, TupleTableSlot *slot, char *key_id)
{
	struct varlena *envelope;
	Bytes		aad;
	dbcrypt_ring *ring;

	key_id[0] = '\0';
	if (!read_value(cipher, slot, &envelope))
		return CIPHER_NULL;
	switch (dbcrypt_read_header(cipher->form, (uint8_t *) VARDATA_ANY(envelope),
								VARSIZE_ANY_EXHDR(envelope), key_id))
	{
		case DBCRYPT_OK:
			break;
		case DBCRYPT_NOT_AN_ENVELOPE:
			return CIPHER_PLAINTEXT;
		default:
			return CIPHER_FAILED;
	}
	cipher->soft_errors = true;
	if (!read_aad(cipher, slot, &aad))
		return CIPHER_FAILED;
	switch (prove_value(cipher, envelope, aad))
	{
		case DBCRYPT_OK:
			break;
		case DBCRYPT_NO_KEYS:
		case DBCRYPT_KEY_NOT_LOADED:
			return CIPHER_NOT_LOADED;
		case DBCRYPT_KEY_REVOKED:
			return CIPHER_REVOKED;
		default:
			return CIPHER_FAILED;
	}
	ring = session_ring();
	return strcmp(key_id, dbcrypt_ring_key_id(ring, 0)) == 0 ? CIPHER_PRIMARY : CIPHER_OLD;
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
