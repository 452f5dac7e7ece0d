/*
 * scheme_attr_encrypted.cpp
 *		The Ruby gem attr_encrypted with AES-256-GCM, as GitLab uses it.
 *
 * Value: ciphertext || tag; companion: the nonce, called iv. In text columns both
 * are base64 in lines of 60 characters, each ended by a newline. '' is stored as
 * '' with no iv. Values of AES-256-CBC have an iv of 16 bytes and are of another
 * scheme, attr_encrypted_cbc.
 */
#include <cstring>
#include <vector>

#include "../crypto/base64.h"
#include "ruby_lines.h"
#include "scheme_gcm.h"

#include "../crypto/no_postgres.h"

namespace dbcrypt
{

namespace
{

constexpr dbcrypt_scheme_traits attr_encrypted_traits = {
	.name = "attr_encrypted",
	.companion = DBCRYPT_COMPANION_IV,
	.text = true,
	.binary = true,
	.aad = false,
	.hkdf = false,
	.names_key = false,
	.keeps_empty = true,
	.deterministic = false,
	.authenticated = true,
	.salt = false,
	.derivation = 0,
	.default_aad = nullptr,
	.foreign_key_column = nullptr,
};

class AttrEncryptedScheme : public GcmScheme
{
public:
	AttrEncryptedScheme() : GcmScheme(attr_encrypted_traits, false) {}

protected:
	bool parse(dbcrypt_encoding encoding, const Key &, const dbcrypt_cell &cell, uint8_t *buffer,
			   Parts *parts) const override
	{
		if (cell.companion == nullptr)
			return false;
		if (encoding == DBCRYPT_ENCODING_BINARY)
		{
			if (cell.companion_size != nonce_size)
				return false;
			std::memcpy(parts->nonce, cell.companion, nonce_size);
			return split_blob({cell.value, cell.value_size}, parts);
		}
		std::vector<uint8_t> iv(base64_reader_max_size(cell.companion_size));
		size_t size;
		base64_decode_as(Base64Reader::ruby, cell.companion, cell.companion_size, iv.data(), &size);
		if (size != nonce_size)
			return false;
		std::memcpy(parts->nonce, iv.data(), nonce_size);
		base64_decode_as(Base64Reader::ruby, cell.value, cell.value_size, buffer, &size);
		return split_blob({buffer, size}, parts);
	}

	size_t encoded_size(dbcrypt_encoding encoding, size_t blob_size) const override
	{
		return encoding == DBCRYPT_ENCODING_TEXT ? ruby_lines_size(blob_size) : blob_size;
	}

	void encode(dbcrypt_encoding encoding, const Key &, const uint8_t *nonce, Bytes blob,
				dbcrypt_sealed *out) const override
	{
		out->companion_is_null = false;
		if (encoding == DBCRYPT_ENCODING_BINARY)
		{
			out->companion_size = nonce_size;
			std::memcpy(out->companion, nonce, nonce_size);
			return;
		}
		ruby_lines_encode(blob, out->value);
		out->companion_size = ruby_lines_size(nonce_size);
		ruby_lines_encode({nonce, nonce_size}, out->companion);
	}
};

const AttrEncryptedScheme instance;

} // namespace

const Scheme &attr_encrypted_scheme = instance;

} // namespace dbcrypt
