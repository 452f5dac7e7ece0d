/*
 * aead.h
 *		AES-256-GCM (NIST SP 800-38D) under one key, with a nonce of 12 bytes.
 */
#ifndef DBCRYPT_AEAD_H
#define DBCRYPT_AEAD_H

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
	/* Largest plaintext in bytes: 2^36 - 32 (SP 800-38D section 5.2.1.1). */
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
	 * Decrypts ciphertext || tag, at least tag_size bytes. out is sealed.data() or
	 * does not overlap it. False when the tag is wrong; the caller must then wipe out.
	 */
	virtual bool open(const uint8_t *nonce, const Aad &aad, Bytes sealed, uint8_t *out) = 0;
};

} // namespace dbcrypt

#endif
