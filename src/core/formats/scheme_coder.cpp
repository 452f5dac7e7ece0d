/*
 * scheme_coder.cpp
 *		Coder's database encryption.
 *
 * Value: base64 of nonce || ciphertext || tag under the key itself. Companion:
 * the first 7 hex digits of SHA-256("aes256gcm" || key); NULL or '' says that
 * the value is plaintext. An empty plaintext stays so: some of Coder's columns are
 * never encrypted when blank.
 */
#include <cstring>

#include "../crypto/base64.h"
#include "scheme_gcm.h"

#include "../crypto/no_postgres.h"

namespace dbcrypt
{

namespace
{

constexpr dbcrypt_scheme_traits coder_traits = {
	.name = "coder",
	.companion = DBCRYPT_COMPANION_KEY_ID,
	.text = true,
	.binary = false,
	.aad = false,
	.hkdf = false,
	.names_key = true,
	.keeps_empty = false,
	.deterministic = false,
	.authenticated = true,
	.salt = false,
	.derivation = 0,
	.default_aad = nullptr,
	.foreign_key_column = nullptr,
};

class CoderScheme : public GcmScheme
{
public:
	CoderScheme() : GcmScheme(coder_traits, true) {}

	const char *key_name(const Key &key) const override { return key.coder_id_text(); }

	dbcrypt_cell_kind inspect(const dbcrypt_cell &cell) const override
	{
		if (cell.value == nullptr)
			return DBCRYPT_CELL_NULL;
		if (cell.companion != nullptr && cell.companion_size > 0)
			return DBCRYPT_CELL_ENCRYPTED;
		return cell.value_size == 0 ? DBCRYPT_CELL_EMPTY : DBCRYPT_CELL_PLAINTEXT;
	}

	bool names_are_shared(const Keyring &keyring) const override
	{
		return keyring.coder_ids_collide();
	}

protected:
	size_t find_named(const Keyring &keyring, const dbcrypt_cell &cell) const override
	{
		CoderId id;
		if (cell.companion == nullptr || cell.companion_size != id.size())
			return keyring.size();
		std::memcpy(id.data(), cell.companion, id.size());
		return keyring.find_coder(id);
	}

	bool parse(dbcrypt_encoding, const Key &, const dbcrypt_cell &cell, uint8_t *buffer,
			   Parts *parts) const override
	{
		size_t size;
		return base64_decode_as(Base64Reader::go, cell.value, cell.value_size, buffer, &size) &&
			   split_blob({buffer, size}, parts);
	}

	size_t encoded_size(dbcrypt_encoding, size_t blob_size) const override
	{
		return base64_encoded_size(blob_size);
	}

	void encode(dbcrypt_encoding, const Key &key, const uint8_t *, Bytes blob,
				dbcrypt_sealed *out) const override
	{
		base64_encode(blob.data(), blob.size(), out->value);
		out->companion_is_null = false;
		out->companion_size = key.coder_id().size();
		std::memcpy(out->companion, key.coder_id().data(), key.coder_id().size());
	}
};

const CoderScheme instance;

} // namespace

const Scheme &coder_scheme = instance;

} // namespace dbcrypt
