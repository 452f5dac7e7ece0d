/*
 * cipher.c
 *		Opens and seals the values of one column of one relation.
 */
#include "postgres.h"

#include "access/detoast.h"
#include "dbcrypt.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

void
cipher_init(ColumnCipher *cipher, Relation rel, AttrNumber attnum, const char *aad, EState *estate)
{
	Form_pg_attribute attribute = TupleDescAttr(RelationGetDescr(rel), attnum - 1);
	Expr	   *expression = aad_parse(rel, attnum, aad);

	cipher->rel = rel;
	cipher->attnum = attnum;
	cipher->form = column_form(rel, attnum);
	cipher->domain = get_typtype(attribute->atttypid) == TYPTYPE_DOMAIN ? attribute->atttypid :
		InvalidOid;
	cipher->domain_cache = NULL;
	cipher->econtext = GetPerTupleExprContext(estate);
	cipher->query_context = estate->es_query_cxt;
	cipher->aad = expression ? ExecPrepareExpr(expression, estate) : NULL;
}

/* Decrypts for the proof alone; the plaintext does not outlive the call. */
static dbcrypt_status
open_value(ColumnCipher *cipher, struct varlena *envelope, Bytes aad)
{
	size_t		size = VARSIZE_ANY_EXHDR(envelope);
	size_t		room = dbcrypt_decrypt_room(cipher->form, size);
	size_t		plaintext_size = 0;
	uint8_t    *plaintext = palloc(Max(room, 1));
	dbcrypt_status status;

	status = dbcrypt_decrypt(session_ring(), cipher->form, (uint8_t *) VARDATA_ANY(envelope), size,
							 aad.data, aad.size, plaintext, &plaintext_size);
	dbcrypt_cleanse(plaintext, plaintext_size);
	pfree(plaintext);
	return status;
}

ValueOutcome
cipher_reencrypt(ColumnCipher *cipher, TupleTableSlot *slot, bool check_current, Datum *value)
{
	ValuePlace	place = {cipher->rel, cipher->attnum, slot->tts_tid};
	MemoryContext caller;
	struct varlena *envelope;
	struct varlena *result;
	Bytes		aad = {NULL, 0};
	size_t		size;
	bool		isnull;
	bool		changed = false;
	dbcrypt_status status;
	Datum		stored = slot_getattr(slot, cipher->attnum, &isnull);

	if (isnull)
		return VALUE_NULL;

	if (cipher->aad)
		aad = aad_evaluate(cipher->aad, cipher->econtext, slot, &place);

	caller = MemoryContextSwitchTo(cipher->econtext->ecxt_per_tuple_memory);
	envelope = PG_DETOAST_DATUM_PACKED(stored);
	size = VARSIZE_ANY_EXHDR(envelope);
	result = palloc(size + VARHDRSZ);
	SET_VARSIZE(result, size + VARHDRSZ);
	status = dbcrypt_reencrypt(session_ring(), cipher->form, (uint8_t *) VARDATA_ANY(envelope),
							   size, aad.data, aad.size, (uint8_t *) VARDATA(result), &changed);
	if (status == DBCRYPT_OK && !changed && check_current)
		status = open_value(cipher, envelope, aad);
	if (status != DBCRYPT_OK)
		raise_value_status(status, cipher->form, envelope, &place);
	MemoryContextSwitchTo(caller);

	if (!changed)
		return VALUE_CURRENT;
	*value = PointerGetDatum(result);
	if (OidIsValid(cipher->domain))
		domain_check(*value, false, cipher->domain, &cipher->domain_cache, cipher->query_context);
	return VALUE_CHANGED;
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
