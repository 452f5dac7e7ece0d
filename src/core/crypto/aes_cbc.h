/*
 * aes_cbc.h
 *		AES-256-CBC (NIST SP 800-38A) with the padding of PKCS #7 (RFC 5652 section 6.3).
 *
 * For reading and writing what other applications do: it has no authentication. A
 * wrong key or a changed value is noticed only if the padding happens to be wrong.
 */
#ifndef DBCRYPT_AES_CBC_H
#define DBCRYPT_AES_CBC_H

#include "secret.h"

namespace dbcrypt
{

constexpr size_t cbc_block_size = 16; /* of the iv too */

/* Bytes of the ciphertext of so many bytes. */
constexpr size_t
cbc_ciphertext_size(size_t plaintext_size)
{
	return (plaintext_size / cbc_block_size + 1) * cbc_block_size;
}

/*
 * Decrypts; out has the ciphertext's size and may be the ciphertext itself. False for a
 * size or a padding that is wrong: out is then undefined, and to be wiped. The padding
 * is checked in constant time.
 */
bool cbc_open(const Secret &key, const uint8_t *iv, Bytes ciphertext, uint8_t *out,
			  size_t *plaintext_size);

/* Encrypts into cbc_ciphertext_size bytes. */
void cbc_seal(const Secret &key, const uint8_t *iv, Bytes plaintext, uint8_t *out);

} // namespace dbcrypt

#endif
