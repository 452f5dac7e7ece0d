/*
 * aead.h
 *		AES-256-GCM (NIST SP 800-38D) under one key.
 */
#ifndef DBCRYPT_AEAD_H
#define DBCRYPT_AEAD_H

#include <memory>

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

	Aead() = default;
	Aead(const Aead &) = delete;
	Aead &operator=(const Aead &) = delete;
	virtual ~Aead() = default;

	/*
	 * Writes ciphertext || tag, plaintext.size() + tag_size bytes. nonce: 12
	 * bytes. out is plaintext.data() or does not overlap it.
	 */
	virtual void seal(const uint8_t *nonce, const Aad &aad, Bytes plaintext, uint8_t *out) = 0;

	/*
	 * Opens ciphertext || tag (at least tag_size bytes) into out; in place as
	 * above. False when the tag does not fit: out then holds what the caller
	 * must wipe.
	 */
	virtual bool open(const uint8_t *nonce, const Aad &aad, Bytes sealed, uint8_t *out) = 0;
};

/*
 * The fastest there is here: intel-ipsec-mb where it is built in, the processor
 * has AES-NI and PCLMULQDQ, and OpenSSL has its default provider; otherwise OpenSSL.
 * key: Aead::key_size bytes.
 */
std::unique_ptr<Aead> make_aead(Secret key);

/* Asks the processor what it can do, which a forked child need not ask again. */
void prepare_aead();

} // namespace dbcrypt

#endif
