/*
 * looks_random.h
 *		Whether a sample of a column's values looks like ciphertext: a hint, no proof.
 */
#ifndef DBCRYPT_LOOKS_RANDOM_H
#define DBCRYPT_LOOKS_RANDOM_H

#include "../crypto/secret.h"
#include "search_types.h"

namespace dbcrypt
{

/* Counts a value, and adds it to the sample if it is its turn. */
void sample_add(dbcrypt_sample *sample, dbcrypt_encoding encoding, Bytes value);

/* Adds what another sample holds. */
void sample_merge(dbcrypt_sample *sample, const dbcrypt_sample &other);

/*
 * Whether nearly all values decode to 28 bytes or more, and their bytes are distributed
 * as random ones. has_companion: a column beside it is named as that of a nonce, a salt
 * or a key; otherwise values that all have the length of a digest are taken for digests.
 * *decoded is the number of values that may be ciphertext.
 */
bool sample_looks_random(const dbcrypt_sample &sample, bool has_companion, uint32_t *decoded);

} // namespace dbcrypt

#endif
