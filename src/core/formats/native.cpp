#include "native.h"

#include "envelope.h"

#include "../crypto/no_postgres.h"

namespace dbcrypt
{

dbcrypt_status
native_encrypt(Keyring &keyring, dbcrypt_encoding encoding, Bytes plaintext, Bytes aad,
			   uint8_t *out)
{
	dbcrypt_status status;
	Key *const key = keyring.primary(&status);
	if (key == nullptr)
		return status;
	if (envelope_size(encoding, plaintext.size()) == SIZE_MAX)
		return DBCRYPT_TOO_LARGE;
	envelope_seal(*key, encoding, plaintext, aad, out);
	return DBCRYPT_OK;
}

dbcrypt_status
native_decrypt(Keyring &keyring, dbcrypt_encoding encoding, Bytes envelope, Bytes aad, uint8_t *out,
			   size_t *plaintext_size)
{
	KeyId id;
	auto status = envelope_read_header(encoding, envelope.data(), envelope.size(), &id);
	if (status != DBCRYPT_OK)
		return status;
	Key *const key = keyring.key_for_decryption(id, &status);
	if (key == nullptr)
		return status;
	return envelope_open(*key, encoding, envelope, aad, out, plaintext_size);
}

dbcrypt_status
native_reencrypt(Keyring &keyring, dbcrypt_encoding encoding, Bytes envelope, Bytes aad,
				 uint8_t *out, bool *changed)
{
	*changed = false;
	KeyId id;
	auto status = envelope_read_header(encoding, envelope.data(), envelope.size(), &id);
	if (status != DBCRYPT_OK)
		return status;
	if (keyring.size() > 0 && keyring.at(0).id() == id)
		return DBCRYPT_OK;
	Key *const from = keyring.key_for_decryption(id, &status);
	if (from == nullptr)
		return status;
	Key *const to = keyring.primary(&status);
	if (to == nullptr)
		return status;
	status = envelope_reseal(*from, *to, encoding, envelope, aad, out);
	*changed = status == DBCRYPT_OK;
	return status;
}

} // namespace dbcrypt
