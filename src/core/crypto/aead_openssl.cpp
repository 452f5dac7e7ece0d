#include "aead_openssl.h"

#include <algorithm>
#include <cstring>
#include <new>

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/params.h>
#include <openssl/provider.h>

#include "core_error.h"
#include "joined_aad.h"

#include "no_postgres.h"

namespace dbcrypt
{

namespace
{

/* One EVP call takes an int; a multiple of the block size. */
constexpr size_t chunk_size = size_t{1} << 30;

/* The cipher, fetched once and kept for the life of the process. */
const EVP_CIPHER *
aes_256_gcm()
{
	static const EVP_CIPHER *const cipher = EVP_CIPHER_fetch(nullptr, "AES-256-GCM", nullptr);
	return cipher;
}

/* Throws if a function of OpenSSL has failed. */
void
check(int result)
{
	if (result != 1) [[unlikely]]
	{
		ERR_clear_error();
		throw CoreError{DBCRYPT_INTERNAL};
	}
}

/* Feeds data of any size; out is nullptr for AAD. */
void
update(EVP_CIPHER_CTX *context, uint8_t *out, Bytes in)
{
	while (!in.empty())
	{
		const size_t size = std::min(in.size(), chunk_size);
		int done;
		check(EVP_CipherUpdate(context, out, &done, in.data(), static_cast<int>(size)));
		in = in.subspan(size);
		if (out != nullptr)
			out += size;
	}
}

} // namespace

bool
OpenSslAead::is_default_provider()
{
	return aes_256_gcm() != nullptr &&
		   std::strcmp(OSSL_PROVIDER_get0_name(EVP_CIPHER_get0_provider(aes_256_gcm())),
					   "default") == 0;
}

/* A context that holds the expanded key, for many values; encrypt: 1 or 0 as in EVP. */
OpenSslAead::Context
OpenSslAead::new_context(int encrypt) const
{
	Context context(EVP_CIPHER_CTX_new());
	if (!context)
		throw std::bad_alloc();
	if (aes_256_gcm() == nullptr)
		check(0);
	check(EVP_CipherInit_ex2(context.get(), aes_256_gcm(), reveal_secret(key_).data(), nullptr,
							 encrypt, nullptr));
	return context;
}

void
OpenSslAead::seal(const uint8_t *nonce, const Aad &aad, Bytes plaintext, uint8_t *out)
{
	if (!sealer_) [[unlikely]]
		sealer_ = new_context(1);
	EVP_CIPHER_CTX *const context = sealer_.get();
	uint8_t *const tag = out + plaintext.size();
	int done;

	check(EVP_CipherInit_ex2(context, nullptr, nullptr, nonce, -1, nullptr));
	update(context, nullptr, JoinedAad(aad).bytes());
	update(context, out, plaintext);
	check(EVP_CipherFinal_ex(context, tag, &done));
	OSSL_PARAM tag_place[] = {OSSL_PARAM_octet_string(OSSL_CIPHER_PARAM_AEAD_TAG, tag, tag_size),
							  OSSL_PARAM_END};
	check(EVP_CIPHER_CTX_get_params(context, tag_place));
}

bool
OpenSslAead::open(const uint8_t *nonce, const Aad &aad, Bytes sealed, uint8_t *out)
{
	if (!opener_) [[unlikely]]
		opener_ = new_context(0);
	EVP_CIPHER_CTX *const context = opener_.get();
	const size_t size = sealed.size() - tag_size;
	uint8_t tag[tag_size];
	int done;

	std::memcpy(tag, sealed.data() + size, tag_size);
	check(EVP_CipherInit_ex2(context, nullptr, nullptr, nonce, -1, nullptr));
	update(context, nullptr, JoinedAad(aad).bytes());
	update(context, out, sealed.first(size));
	const OSSL_PARAM tag_given[] = {
		OSSL_PARAM_octet_string(OSSL_CIPHER_PARAM_AEAD_TAG, tag, tag_size), OSSL_PARAM_END};
	check(EVP_CIPHER_CTX_set_params(context, tag_given));
	if (EVP_CipherFinal_ex(context, out + size, &done) != 1)
	{
		ERR_clear_error();
		return false;
	}
	return true;
}

} // namespace dbcrypt
