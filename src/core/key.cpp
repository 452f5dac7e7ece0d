#include "key.h"

#include <algorithm>
#include <memory>
#include <new>
#include <utility>

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>

#include "base64.h"
#include "failure.h"
#include "wall.h"

namespace dbcrypt
{

namespace
{

constexpr std::string_view native_info = "dbcrypt/1/aes-256-gcm";

int
hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

std::optional<Secret>
parse_hex(std::string_view text)
{
	Secret key(key_size);
	auto bytes = reveal_secret(key);
	for (size_t i = 0; i < key_size; i++)
	{
		const int high = hex_value(text[2 * i]);
		const int low = hex_value(text[2 * i + 1]);
		if (high < 0 || low < 0)
			return std::nullopt;
		bytes[i] = static_cast<uint8_t>(high << 4 | low);
	}
	return key;
}

std::optional<Secret>
parse_base64(std::string_view text)
{
	Secret room(base64_decoded_room(text.size()));
	size_t size;
	if (!base64_decode(reinterpret_cast<const uint8_t *>(text.data()), text.size(),
					   reveal_secret(room).data(), &size) ||
		size != key_size)
		return std::nullopt;
	Secret key(key_size);
	std::copy_n(reveal_secret(room).begin(), key_size, reveal_secret(key).begin());
	return key;
}

Bytes
bytes_of(std::string_view text)
{
	return {reinterpret_cast<const uint8_t *>(text.data()), text.size()};
}

struct FreeKdfContext
{
	void operator()(EVP_KDF_CTX *context) const { EVP_KDF_CTX_free(context); }
};

} // namespace

std::optional<Secret>
parse_key(std::string_view text)
{
	if (text.size() == 2 * key_size)
		return parse_hex(text);
	if (text.size() == base64_encoded_size(key_size))
		return parse_base64(text);
	return std::nullopt;
}

KeyId
key_id_of(const Secret &key)
{
	uint8_t digest[32];
	KeyId id;
	if (EVP_Q_digest(nullptr, "SHA256", nullptr, reveal_secret(key).data(), key.size(), digest,
					 nullptr) != 1)
	{
		ERR_clear_error();
		throw Failure{DBCRYPT_INTERNAL};
	}
	std::copy_n(digest, id.size(), id.begin());
	cleanse(digest, sizeof(digest));
	return id;
}

void
spell_key_id(const KeyId &id, char out[DBCRYPT_KEY_ID_LEN + 1])
{
	constexpr char digits[] = "0123456789abcdef";
	for (size_t i = 0; i < id.size(); i++)
	{
		out[2 * i] = digits[id[i] >> 4];
		out[2 * i + 1] = digits[id[i] & 15];
	}
	out[DBCRYPT_KEY_ID_LEN] = '\0';
}

Secret
hkdf(const char *digest, const Secret &key, Bytes salt, Bytes info, size_t size)
{
	static EVP_KDF *const algorithm = EVP_KDF_fetch(nullptr, "HKDF", nullptr);
	std::unique_ptr<EVP_KDF_CTX, FreeKdfContext> context(EVP_KDF_CTX_new(algorithm));
	if (!context)
	{
		ERR_clear_error();
		throw Failure{algorithm == nullptr ? DBCRYPT_INTERNAL : DBCRYPT_NO_MEMORY};
	}

	/* OSSL_PARAM wants pointers to data that may change; none does here. */
	const Bytes ikm = reveal_secret(key);
	const auto octets = [](const char *name, Bytes data)
	{
		return OSSL_PARAM_construct_octet_string(name, const_cast<uint8_t *>(data.data()),
												 data.size());
	};
	OSSL_PARAM parameters[5];
	size_t n = 0;
	parameters[n++] =
		OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, const_cast<char *>(digest), 0);
	parameters[n++] = octets(OSSL_KDF_PARAM_KEY, ikm);
	parameters[n++] = octets(OSSL_KDF_PARAM_INFO, info);
	if (!salt.empty())
		parameters[n++] = octets(OSSL_KDF_PARAM_SALT, salt);
	parameters[n] = OSSL_PARAM_construct_end();

	Secret derived(size);
	if (EVP_KDF_derive(context.get(), reveal_secret(derived).data(), size, parameters) != 1)
	{
		ERR_clear_error();
		throw Failure{DBCRYPT_INTERNAL};
	}
	return derived;
}

RingKey::RingKey(Secret bytes) : bytes_(std::move(bytes)), id_(key_id_of(bytes_))
{
	spell_key_id(id_, id_text_);
}

Aead &
RingKey::native()
{
	if (!native_) [[unlikely]]
		native_.emplace(hkdf("SHA256", bytes_, {}, bytes_of(native_info), Aead::key_size));
	return *native_;
}

} // namespace dbcrypt
