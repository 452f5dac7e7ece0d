#include "native.h"

#include "envelope.h"

#include "../crypto/no_postgres.h"

namespace dbcrypt
{

dbcrypt_status
native_encrypt(Ring &ring, dbcrypt_form form, Bytes plaintext, Bytes aad, uint8_t *out)
{
	dbcrypt_status status;
	RingKey *const key = ring.primary(&status);
	if (key == nullptr)
		return status;
	if (envelope_size(form, plaintext.size()) == SIZE_MAX)
		return DBCRYPT_TOO_LARGE;
	envelope_seal(*key, form, plaintext, aad, out);
	return DBCRYPT_OK;
}

dbcrypt_status
native_decrypt(Ring &ring, dbcrypt_form form, Bytes envelope, Bytes aad, uint8_t *out,
			   size_t *plaintext_size)
{
	KeyId id;
	auto status = envelope_read_header(form, envelope.data(), envelope.size(), &id);
	if (status != DBCRYPT_OK)
		return status;
	RingKey *const key = ring.reader(id, &status);
	if (key == nullptr)
		return status;
	return envelope_open(*key, form, envelope, aad, out, plaintext_size);
}

dbcrypt_status
native_reencrypt(Ring &ring, dbcrypt_form form, Bytes envelope, Bytes aad, uint8_t *out,
				 bool *changed)
{
	*changed = false;
	KeyId id;
	auto status = envelope_read_header(form, envelope.data(), envelope.size(), &id);
	if (status != DBCRYPT_OK)
		return status;
	if (ring.size() > 0 && ring.at(0).id() == id)
		return DBCRYPT_OK;
	RingKey *const from = ring.reader(id, &status);
	if (from == nullptr)
		return status;
	RingKey *const to = ring.primary(&status);
	if (to == nullptr)
		return status;
	status = envelope_reseal(*from, *to, form, envelope, aad, out);
	*changed = status == DBCRYPT_OK;
	return status;
}

} // namespace dbcrypt
