/*
 * search.h
 *		The core's API for C: finds encrypted values in places nobody has named.
 */
#ifndef DBCRYPT_API_SEARCH_H
#define DBCRYPT_API_SEARCH_H

#include "../formats/search_types.h"
#include "keyring.h"

#ifdef __cplusplus
extern "C" {
#endif

/* An envelope in a text: where its header begins and ends, and its key. */
typedef struct dbcrypt_found
{
	size_t begin;
	size_t end;
	char key_id[DBCRYPT_KEY_ID_LEN + 1];
} dbcrypt_found;

/*
 * Finds the first native envelope in a text from an offset on, written in base64 or hex;
 * false if there is none. Only its header must be whole; that may be broken into lines and
 * escaped, see ../formats/envelope_search.h. Takes time in proportion to size. To find
 * all, go on at found->end.
 */
bool dbcrypt_search_envelope(const uint8_t *text, size_t size, size_t from,
							 dbcrypt_found *found) DBCRYPT_NOEXCEPT;

/* Counts a value, and adds it to the sample if it is its turn. */
void dbcrypt_sample_add(dbcrypt_sample *sample, dbcrypt_encoding encoding, const uint8_t *value,
						size_t size) DBCRYPT_NOEXCEPT;

/* Adds what another sample holds. */
void dbcrypt_sample_merge(dbcrypt_sample *sample, const dbcrypt_sample *other) DBCRYPT_NOEXCEPT;

/*
 * Whether the values look like ciphertext: a hint, no proof. Nearly all of them must
 * decode to 28 bytes or more, nonce and tag, whose distribution is that of random bytes
 * (Pearson's chi-square test). has_companion: a column beside them is named as that of
 * a nonce, a salt or a key. *decoded: how many of sample->values may be ciphertext.
 */
bool dbcrypt_sample_looks_encrypted(const dbcrypt_sample *sample, bool has_companion,
									uint32_t *decoded) DBCRYPT_NOEXCEPT;

#ifdef __cplusplus
}
#endif

#endif
