/*
 * scheme_attr_encrypted_cbc.cpp
 *		The Ruby gem attr_encrypted with AES-256-CBC, as GitLab uses it for some columns.
 *
 * Value: ciphertext, padded; companion: the iv of 16 bytes. In attr_encrypted_cbc a
 * second companion is the salt of 16 bytes, and the key is PBKDF2 of the whole
 * db_key_base and the salt; in attr_encrypted_cbc_unsalted it is the same 32 bytes as for
 * AES-GCM. In text columns all three are base64 in lines; '_' is before that of the
 * salt, and a salt without '_' is itself the salt. '' is stored as '' with no iv.
 *
 * Nothing in a value tells whether a key is right: see scheme_recorded.h.
 */
#include <cstring>
#include <vector>

#include "../crypto/aes_cbc.h"
#include "../crypto/base64.h"
#include "../crypto/kdf.h"
#include "../crypto/random.h"
#include "ruby_lines.h"
#include "scheme_recorded.h"

#include "../crypto/no_postgres.h"

namespace dbcrypt
{

namespace
{

constexpr size_t iv_size = cbc_block_size;
constexpr size_t salt_size = 16;
constexpr int rounds = 2000;
constexpr uint8_t salt_mark = '_';

/* Above this the longest encoding of a value would not fit in any buffer. */
constexpr size_t plaintext_limit = SIZE_MAX / 4;

constexpr dbcrypt_scheme_traits
traits_of(const char *name, bool salted)
{
	return {
		.name = name,
		.companion = DBCRYPT_COMPANION_IV,
		.text = true,
		.binary = true,
		.aad = false,
		.hkdf = false,
		.names_key = true,
		.keeps_empty = true,
		.deterministic = false,
		.authenticated = false,
		.salt = salted,
		.derivation = salted ? 1100U : 0U,
		.default_aad = nullptr,
		.foreign_key_column = nullptr,
	};
}

/* The bytes of a column; empty for NULL, which is as wrong as empty. */
std::vector<uint8_t>
decoded(dbcrypt_encoding encoding, const uint8_t *data, size_t size)
{
	if (data == nullptr || encoding == DBCRYPT_ENCODING_BINARY)
		return data == nullptr ? std::vector<uint8_t>() : std::vector<uint8_t>(data, data + size);
	std::vector<uint8_t> bytes(base64_reader_max_size(size));
	base64_decode_as(Base64Reader::ruby, data, size, bytes.data(), &size);
	bytes.resize(size);
	return bytes;
}

/* The salt that a column holds, as the gem reads it. */
std::vector<uint8_t>
salt_of(dbcrypt_encoding encoding, const dbcrypt_cell &cell)
{
	if (encoding == DBCRYPT_ENCODING_TEXT && cell.salt != nullptr && cell.salt_size > 0 &&
		cell.salt[0] == salt_mark)
		return decoded(encoding, cell.salt + 1, cell.salt_size - 1);
	return decoded(DBCRYPT_ENCODING_BINARY, cell.salt, cell.salt_size);
}

/* Writes the bytes of a companion column. */
size_t
write_companion(dbcrypt_encoding encoding, Bytes bytes, uint8_t *out)
{
	if (encoding == DBCRYPT_ENCODING_BINARY)
	{
		std::memcpy(out, bytes.data(), bytes.size());
		return bytes.size();
	}
	ruby_lines_encode(bytes, out);
	return ruby_lines_size(bytes.size());
}

class AttrEncryptedCbcScheme : public RecordedScheme
{
public:
	AttrEncryptedCbcScheme(const char *name, bool salted) : RecordedScheme(traits_of(name, salted))
	{}

	size_t seal_max_size(dbcrypt_encoding encoding, size_t plaintext_size) const override
	{
		if (plaintext_size > plaintext_limit)
			return SIZE_MAX;
		const size_t size = cbc_ciphertext_size(plaintext_size);
		return encoding == DBCRYPT_ENCODING_TEXT ? ruby_lines_size(size) : size;
	}

protected:
	bool fits(const Key &key) const override { return !traits.salt || key.text().size() > 0; }

	bool open_with(const Key &key, dbcrypt_encoding encoding, const dbcrypt_cell &cell,
				   uint8_t *out, size_t *plaintext_size) const override
	{
		const auto iv = decoded(encoding, cell.companion, cell.companion_size);
		const auto salt = salt_of(encoding, cell);
		const auto ciphertext = decoded(encoding, cell.value, cell.value_size);
		if (iv.size() != iv_size || (traits.salt && salt.empty()))
			return false;
		return traits.salt ? cbc_open(pbkdf2_sha1(key.text(), salt, rounds, key_size), iv.data(),
									  ciphertext, out, plaintext_size)
						   : cbc_open(key.bytes(), iv.data(), ciphertext, out, plaintext_size);
	}

	void seal_with(const Key &key, dbcrypt_encoding encoding, Bytes plaintext,
				   dbcrypt_sealed *out) const override
	{
		uint8_t iv[iv_size];
		uint8_t salt[salt_size];
		random_key_bytes(iv, iv_size);
		out->companion_is_null = false;
		out->companion_size = write_companion(encoding, iv, out->companion);
		std::vector<uint8_t> ciphertext(cbc_ciphertext_size(plaintext.size()));
		if (traits.salt)
		{
			const size_t mark = encoding == DBCRYPT_ENCODING_TEXT ? 1 : 0;
			random_key_bytes(salt, salt_size);
			out->salt[0] = salt_mark;
			out->salt_size = mark + write_companion(encoding, salt, out->salt + mark);
			cbc_seal(pbkdf2_sha1(key.text(), salt, rounds, key_size), iv, plaintext,
					 ciphertext.data());
		}
		else
			cbc_seal(key.bytes(), iv, plaintext, ciphertext.data());
		out->value_size = seal_max_size(encoding, plaintext.size());
		if (encoding == DBCRYPT_ENCODING_TEXT)
			ruby_lines_encode(ciphertext, out->value);
		else
			std::memcpy(out->value, ciphertext.data(), ciphertext.size());
	}
};

const AttrEncryptedCbcScheme salted("attr_encrypted_cbc", true);
const AttrEncryptedCbcScheme unsalted("attr_encrypted_cbc_unsalted", false);

} // namespace

const Scheme &attr_encrypted_cbc_scheme = salted;
const Scheme &attr_encrypted_cbc_unsalted_scheme = unsalted;

} // namespace dbcrypt
