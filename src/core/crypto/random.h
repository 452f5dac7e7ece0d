/*
 * random.h
 *		Random bytes: nonces of 96 bits (NIST SP 800-38D section 8.2.2), and keys.
 */
#ifndef DBCRYPT_RANDOM_H
#define DBCRYPT_RANDOM_H

#include <cstddef>
#include <cstdint>

namespace dbcrypt
{

constexpr size_t nonce_size = 12; /* bytes */

/*
 * Writes nonce_size random bytes. They come from a pool of this process; a child
 * process begins with an empty pool, so no bytes are used twice. Throws
 * CoreError(DBCRYPT_RANDOM_FAILED).
 */
void random_nonce(uint8_t *out);

/* Empties the pool: the next nonce is drawn from the generators. */
void drop_nonces();

/* Fills a buffer with random bytes for a key. Throws the same. */
void random_key_bytes(uint8_t *out, size_t size);

} // namespace dbcrypt

#endif
