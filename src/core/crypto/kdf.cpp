#include "kdf.h"

#include <memory>

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>

#include "core_error.h"

#include "no_postgres.h"

namespace dbcrypt
{

namespace
{

struct FreeKdfContext
{
	void operator()(EVP_KDF_CTX *context) const { EVP_KDF_CTX_free(context); }
};

} // namespace

std::array<uint8_t, 32>
sha256(Bytes data)
{
	static const EVP_MD *const algorithm = EVP_MD_fetch(nullptr, "SHA256", nullptr);
	std::array<uint8_t, 32> digest;
	if (algorithm == nullptr ||
		EVP_Digest(data.data(), data.size(), digest.data(), nullptr, algorithm, nullptr) != 1)
	{
		ERR_clear_error();
		throw CoreError{DBCRYPT_INTERNAL};
	}
	return digest;
}

Secret
hkdf(const char *digest, const Secret &key, Bytes salt, Bytes info, size_t size)
{
	static EVP_KDF *const algorithm = EVP_KDF_fetch(nullptr, "HKDF", nullptr);
	std::unique_ptr<EVP_KDF_CTX, FreeKdfContext> context(EVP_KDF_CTX_new(algorithm));
	if (!context)
	{
		ERR_clear_error();
		throw CoreError{algorithm == nullptr ? DBCRYPT_INTERNAL : DBCRYPT_NO_MEMORY};
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
		throw CoreError{DBCRYPT_INTERNAL};
	}
	return derived;
}

Secret
pbkdf2_sha1(const Secret &password, Bytes salt, int rounds, size_t size)
{
	static const EVP_MD *const algorithm = EVP_MD_fetch(nullptr, "SHA1", nullptr);
	const Bytes text = reveal_secret(password);
	Secret derived(size);
	if (algorithm == nullptr ||
		PKCS5_PBKDF2_HMAC(reinterpret_cast<const char *>(text.data()),
						  static_cast<int>(text.size()), salt.data(), static_cast<int>(salt.size()),
						  rounds, algorithm, static_cast<int>(size),
						  reveal_secret(derived).data()) != 1)
	{
		ERR_clear_error();
		throw CoreError{DBCRYPT_INTERNAL};
	}
	return derived;
}

} // namespace dbcrypt
