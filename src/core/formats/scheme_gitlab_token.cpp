/*
 * scheme_gitlab_token.cpp
 *		GitLab's encrypted tokens, which it finds by their ciphertext.
 *
 * Value: '|' || base64(ciphertext || tag) || nonce, where the nonce is the first
 * 12 hex digits of SHA-256(plaintext). Older values have neither bar nor
 * nonce: their nonce is the first 12 bytes of the key. They are read; a rotation
 * writes them in the newer way.
 */
#include <algorithm>
#include <cstring>

#include "../crypto/base64.h"
#include "../crypto/kdf.h"
#include "scheme_gcm.h"

#include "../crypto/no_postgres.h"

namespace dbcrypt
{

namespace
{

constexpr dbcrypt_scheme_traits gitlab_token_traits = {
	.name = "gitlab_token",
	.companion = DBCRYPT_COMPANION_NONE,
	.text = true,
	.binary = false,
	.aad = false,
	.hkdf = false,
	.names_key = false,
	.keeps_empty = true,
	.deterministic = true,
	.authenticated = true,
	.salt = false,
	.derivation = 0,
	.default_aad = nullptr,
	.foreign_key_column = nullptr,
};

constexpr uint8_t bar = '|';

bool
is_hex_digit(uint8_t c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
}

class GitlabTokenScheme : public GcmScheme
{
public:
	GitlabTokenScheme() : GcmScheme(gitlab_token_traits, false) {}

protected:
	bool parse(dbcrypt_encoding, const Key &key, const dbcrypt_cell &cell, uint8_t *buffer,
			   Parts *parts) const override
	{
		Bytes text(cell.value, cell.value_size);
		if (text.size() > 1 + nonce_size && text[0] == bar)
		{
			const Bytes nonce = text.last(nonce_size);
			/* No other value of the key, respelt as a token, has such a nonce. */
			if (!std::all_of(nonce.begin(), nonce.end(), is_hex_digit))
				return false;
			std::memcpy(parts->nonce, nonce.data(), nonce_size);
			text = text.subspan(1, text.size() - 1 - nonce_size);
		}
		else
			std::memcpy(parts->nonce, reveal_secret(key.bytes()).data(), nonce_size);
		size_t size;
		base64_decode_as(Base64Reader::ruby, text.data(), text.size(), buffer, &size);
		return split_blob({buffer, size}, parts);
	}

	void make_nonce(Bytes plaintext, uint8_t *nonce) const override
	{
		const auto digest = sha256(plaintext);
		for (size_t i = 0; i < nonce_size; i++)
			nonce[i] = static_cast<uint8_t>(
				"0123456789abcdef"[i % 2 == 0 ? digest[i / 2] >> 4 : digest[i / 2] & 15]);
	}

	size_t encoded_size(dbcrypt_encoding, size_t blob_size) const override
	{
		return 1 + base64_encoded_size(blob_size) + nonce_size;
	}

	void encode(dbcrypt_encoding, const Key &, const uint8_t *nonce, Bytes blob,
				dbcrypt_sealed *out) const override
	{
		out->value[0] = bar;
		base64_encode(blob.data(), blob.size(), out->value + 1);
		std::memcpy(out->value + 1 + base64_encoded_size(blob.size()), nonce, nonce_size);
	}
};

const GitlabTokenScheme instance;

} // namespace

const Scheme &gitlab_token_scheme = instance;

} // namespace dbcrypt
