/*
 * aead_openssl.h
 *		AES-256-GCM by OpenSSL. Its contexts are kept from one value to the next.
 *
 * OpenSSL takes the memory of its contexts, with the expanded key in them, from the heap
 * and offers no other: it wipes it when they are freed, but does not lock it.
 */
#ifndef DBCRYPT_AEAD_OPENSSL_H
#define DBCRYPT_AEAD_OPENSSL_H

#include <memory>
#include <utility>

#include <openssl/evp.h>

#include "aead.h"

namespace dbcrypt
{

class OpenSslAead final : public Aead
{
public:
	/*
	 * Whether OpenSSL takes AES-256-GCM from its default provider. False if another one
	 * is configured, such as the FIPS provider.
	 */
	static bool is_default_provider();

	explicit OpenSslAead(Secret key) : key_(std::move(key)) {}

	void seal(const uint8_t *nonce, const Aad &aad, Bytes plaintext, uint8_t *out) override;
	bool open(const uint8_t *nonce, const Aad &aad, Bytes sealed, uint8_t *out) override;

private:
	struct FreeContext
	{
		void operator()(EVP_CIPHER_CTX *context) const { EVP_CIPHER_CTX_free(context); }
	};
	using Context = std::unique_ptr<EVP_CIPHER_CTX, FreeContext>;

	Context new_context(int encrypt) const;

	Secret key_;
	Context sealer_;
	Context opener_;
};

} // namespace dbcrypt

#endif
