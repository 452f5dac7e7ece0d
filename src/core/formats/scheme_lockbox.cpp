/*
 * scheme_lockbox.cpp
 *		The Ruby gem Lockbox, and ToolJet, which uses the same format.
 *
 * Value: nonce || ciphertext || tag, in text columns as base64. The key is
 * HKDF-SHA384 (RFC 5869) of the keyring's key, with salt = table and info = 32 bytes
 * B4 || attribute. attribute is the name of the ciphertext column. ToolJet encrypts the
 * empty string in some places and leaves it empty in others: each stays as it is.
 */
#include <vector>

#include "../crypto/base64.h"
#include "scheme_gcm.h"

#include "../crypto/no_postgres.h"

namespace dbcrypt
{

namespace
{

constexpr dbcrypt_scheme_traits lockbox_traits = {
	.name = "lockbox",
	.companion = DBCRYPT_COMPANION_NONE,
	.text = true,
	.binary = true,
	.aad = true,
	.hkdf = true,
	.names_key = false,
	.keeps_empty = true,
	.deterministic = false,
	.authenticated = true,
	.salt = false,
	.derivation = 0,
	.default_aad = nullptr,
	.foreign_key_column = nullptr,
};

constexpr dbcrypt_scheme_traits tooljet_traits = {
	.name = "tooljet",
	.companion = DBCRYPT_COMPANION_NONE,
	.text = true,
	.binary = false,
	.aad = false,
	.hkdf = true,
	.names_key = false,
	.keeps_empty = true,
	.deterministic = false,
	.authenticated = true,
	.salt = false,
	.derivation = 0,
	.default_aad = nullptr,
	.foreign_key_column = nullptr,
};

class LockboxScheme : public GcmScheme
{
public:
	LockboxScheme(const dbcrypt_scheme_traits &its_traits, Base64Reader reader)
		: GcmScheme(its_traits, true), reader_(reader)
	{}

protected:
	Aead &aead_of(Key &key, const dbcrypt_context &context) const override
	{
		std::vector<uint8_t> info(32, 0xB4);
		info.insert(info.end(), context.attribute, context.attribute + context.attribute_size);
		return key.derived({context.table, context.table_size}, info);
	}

	bool parse(dbcrypt_encoding encoding, const Key &, const dbcrypt_cell &cell, uint8_t *buffer,
			   Parts *parts) const override
	{
		if (encoding == DBCRYPT_ENCODING_BINARY)
			return split_blob({cell.value, cell.value_size}, parts);
		size_t size;
		return base64_decode_as(reader_, cell.value, cell.value_size, buffer, &size) &&
			   split_blob({buffer, size}, parts);
	}

	size_t encoded_size(dbcrypt_encoding encoding, size_t blob_size) const override
	{
		return encoding == DBCRYPT_ENCODING_TEXT ? base64_encoded_size(blob_size) : blob_size;
	}

	void encode(dbcrypt_encoding encoding, const Key &, const uint8_t *, Bytes blob,
				dbcrypt_sealed *out) const override
	{
		if (encoding == DBCRYPT_ENCODING_TEXT)
			base64_encode(blob.data(), blob.size(), out->value);
	}

private:
	Base64Reader reader_;
};

const LockboxScheme lockbox(lockbox_traits, Base64Reader::ruby);
const LockboxScheme tooljet(tooljet_traits, Base64Reader::node);

} // namespace

const Scheme &lockbox_scheme = lockbox;
const Scheme &tooljet_scheme = tooljet;

} // namespace dbcrypt
