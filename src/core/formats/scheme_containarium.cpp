/*
 * scheme_containarium.cpp
 *		Containarium's secrets.
 *
 * Value: ciphertext || tag under the key itself, bound to the caller's AAD (user
 * name || 00 || secret name). Companion: the nonce. Rows that have a
 * wrapped key of their own are not supported.
 */
#include <cstring>

#include "scheme_gcm.h"

#include "../crypto/no_postgres.h"

namespace dbcrypt
{

namespace
{

constexpr dbcrypt_scheme_traits containarium_traits = {
	.name = "containarium",
	.companion = DBCRYPT_COMPANION_NONCE,
	.text = false,
	.binary = true,
	.aad = true,
	.hkdf = false,
	.names_key = false,
	.keeps_empty = false,
	.deterministic = false,
	.authenticated = true,
	.salt = false,
	.derivation = 0,
	.default_aad = "convert_to(username, 'UTF8') || '\\x00'::bytea || convert_to(name, 'UTF8')",
	.foreign_key_column = "wrapped_dek",
};

class ContainariumScheme : public GcmScheme
{
public:
	ContainariumScheme() : GcmScheme(containarium_traits, false) {}

protected:
	bool parse(dbcrypt_encoding, const Key &, const dbcrypt_cell &cell, uint8_t *,
			   Parts *parts) const override
	{
		if (cell.companion == nullptr || cell.companion_size != nonce_size)
			return false;
		std::memcpy(parts->nonce, cell.companion, nonce_size);
		return split_blob({cell.value, cell.value_size}, parts);
	}

	size_t encoded_size(dbcrypt_encoding, size_t blob_size) const override { return blob_size; }

	void encode(dbcrypt_encoding, const Key &, const uint8_t *nonce, Bytes,
				dbcrypt_sealed *out) const override
	{
		out->companion_is_null = false;
		out->companion_size = nonce_size;
		std::memcpy(out->companion, nonce, nonce_size);
	}
};

const ContainariumScheme instance;

} // namespace

const Scheme &containarium_scheme = instance;

} // namespace dbcrypt
