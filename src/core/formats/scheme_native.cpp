/*
 * scheme_native.cpp
 *		dbcrypt's own envelope as a scheme.
 */
#include "envelope.h"
#include "native.h"
#include "scheme.h"

#include "../crypto/no_postgres.h"

namespace dbcrypt
{

namespace
{

constexpr dbcrypt_scheme_traits native_traits = {
	.name = "native",
	.companion = DBCRYPT_COMPANION_NONE,
	.text = true,
	.binary = true,
	.aad = true,
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

/* Of a cell, and of a context, what the envelope takes. */
Bytes
value_of(const dbcrypt_cell &cell)
{
	return {cell.value, cell.value_size};
}

Bytes
aad_of(const dbcrypt_context &context)
{
	return {context.aad, context.aad_size};
}

/* A native value has no companion. */
void
no_companion(dbcrypt_sealed *out)
{
	out->companion_is_null = true;
	out->companion_size = 0;
	out->salt_size = 0;
}

class NativeScheme : public dbcrypt_scheme
{
public:
	NativeScheme() : dbcrypt_scheme(native_traits) {}

	const char *key_name(const Key &key) const override { return key.id_text(); }

	size_t open_max_size(dbcrypt_encoding encoding, size_t value_size) const override
	{
		return envelope_decrypt_max_size(encoding, value_size);
	}

	dbcrypt_status open(Keyring &keyring, const dbcrypt_context &context, const dbcrypt_cell &cell,
						uint8_t *out, size_t *plaintext_size, size_t *key) const override
	{
		const auto status = native_decrypt(keyring, context.encoding, value_of(cell),
										   aad_of(context), out, plaintext_size);
		/* native_decrypt remembers the key that it used. */
		*key = keyring.last();
		return status;
	}

	dbcrypt_status identify(Keyring &, const dbcrypt_context &context, const dbcrypt_cell &cell,
							uint8_t *, char *key_id) const override
	{
		KeyId id;
		key_id[0] = '\0';
		const auto status =
			envelope_read_header(context.encoding, cell.value, cell.value_size, &id);
		if (status == DBCRYPT_OK)
			encode_key_id(id, key_id);
		return status;
	}

	size_t seal_max_size(dbcrypt_encoding encoding, size_t plaintext_size) const override
	{
		return envelope_size(encoding, plaintext_size);
	}

	dbcrypt_status seal(Keyring &keyring, const dbcrypt_context &context, Bytes plaintext,
						dbcrypt_sealed *out) const override
	{
		no_companion(out);
		out->value_size = envelope_size(context.encoding, plaintext.size());
		return native_encrypt(keyring, context.encoding, plaintext, aad_of(context), out->value);
	}

	size_t rotate_max_size(dbcrypt_encoding, const dbcrypt_cell &cell) const override
	{
		return cell.value_size;
	}

	dbcrypt_status rotate(Keyring &keyring, const dbcrypt_context &context,
						  const dbcrypt_cell &cell, dbcrypt_sealed *out,
						  bool *changed) const override
	{
		no_companion(out);
		*changed = false;
		if (cell.value == nullptr)
			return DBCRYPT_OK;
		out->value_size = cell.value_size;
		return native_reencrypt(keyring, context.encoding, value_of(cell), aad_of(context),
								out->value, changed);
	}
};

const NativeScheme instance;

} // namespace

const Scheme &native_scheme = instance;

} // namespace dbcrypt
