/*
 * random.h
 *		Random 96-bit nonces (NIST SP 800-38D section 8.2.2) from a pool.
 */
#ifndef DBCRYPT_RANDOM_H
#define DBCRYPT_RANDOM_H

#include <cstddef>
#include <cstdint>

namespace dbcrypt
{

constexpr size_t nonce_size = 12;

/*
 * Writes nonce_size bytes that no other call in this process or in a child of
 * it gets. Throws Failure(DBCRYPT_RANDOM_FAILED).
 */
void fresh_nonce(uint8_t *out);

/* Fills a buffer with random bytes fit for a key; throws as above. */
void random_key_bytes(uint8_t *out, size_t size);

} // namespace dbcrypt

#endif
