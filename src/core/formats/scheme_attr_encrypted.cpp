/*
 * scheme_attr_encrypted.cpp
 *		The Ruby gem attr_encrypted with AES-256-GCM, as GitLab uses it.
 *
 * Value: ciphertext || tag; companion: the nonce, called iv. In text columns both
 * are base64 in lines of 60 characters, each ended by a newline. '' is stored as
 * '' with no iv. Values of
 * AES-256-CBC have an iv of 16 bytes and are refused for that reason.
 */
#include <algorithm>
#include <cstring>
#include <vector>

#include "../crypto/base64.h"
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
	.default_aad = nullptr,
	.foreign_key_column = nullptr,
};

/* Bytes that a line of 60 characters encodes. */
constexpr size_t line_size = 45;

size_t
lines_size(size_t size)
{
	return base64_encoded_size(size) + (size + line_size - 1) / line_size;
}

/* As Ruby's pack("m") does. out may overlap in, as base64_encode allows. */
void
encode_lines(Bytes in, uint8_t *out)
{
	while (!in.empty())
	{
		const size_t size = std::min(in.size(), line_size);
		base64_encode(in.data(), size, out);
		out += base64_encoded_size(size);
		*out++ = '\n';
		in = in.subspan(size);
	}
}

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
		return encoding == DBCRYPT_ENCODING_TEXT ? lines_size(blob_size) : blob_size;
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
		encode_lines(blob, out->value);
		out->companion_size = lines_size(nonce_size);
		encode_lines({nonce, nonce_size}, out->companion);
	}
};

const AttrEncryptedScheme instance;

} // namespace

const Scheme &attr_encrypted_scheme = instance;

} // namespace dbcrypt
