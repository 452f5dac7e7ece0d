/*
 * aead.h
 *		AES-256-GCM (NIST SP 800-38D) under one key, with contexts that are kept.
 */
#ifndef DBCRYPT_AEAD_H
#define DBCRYPT_AEAD_H

#include <memory>
#include <utility>

#include <openssl/evp.h>

#include "secret.h"

namespace dbcrypt
{

/* Additional authenticated data in two pieces, authenticated as head || tail. */
struct Aad
{
	Bytes head;
	Bytes tail;
};

class Aead
{
public:
	static constexpr size_t key_size = 32;
	static constexpr size_t tag_size = 16;
	/* Largest plaintext of one nonce, bytes: 2^36 - 32. */
	static constexpr uint64_t plaintext_limit = 68719476704;

	/* key: key_size bytes. */
	explicit Aead(Secret key) : key_(std::move(key)) {}

	/*
	 * Writes ciphertext || tag, plaintext.size() + tag_size bytes. out is
	 * plaintext.data() or does not overlap it.
	 */
	void seal(const uint8_t *nonce, const Aad &aad, Bytes plaintext, uint8_t *out);

	/*
	 * Opens ciphertext || tag (at least tag_size bytes) into out; in place as
	 * above. False when the tag does not fit: out then holds what the caller
	 * must wipe.
	 */
	bool open(const uint8_t *nonce, const Aad &aad, Bytes sealed, uint8_t *out);

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
