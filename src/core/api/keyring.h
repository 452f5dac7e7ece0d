/*
 * keyring.h
 *		The key ring: where its keys come from, their states and canaries; fresh keys;
 *		keys in text.
 */
#ifndef DBCRYPT_API_KEYRING_H
#define DBCRYPT_API_KEYRING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../keys/key_types.h"
#include "status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A key ring: keys in order, the first primary, each with its cipher contexts. */
typedef struct dbcrypt_ring dbcrypt_ring;

/* An empty ring, or NULL without memory. */
dbcrypt_ring *dbcrypt_ring_new(void) DBCRYPT_NOEXCEPT;

/* Wipes every key; accepts NULL. */
void dbcrypt_ring_free(dbcrypt_ring *ring) DBCRYPT_NOEXCEPT;

/*
 * Adds the keys of a comma-separated list: 64 hex digits, the base64 of 32 bytes,
 * or text: followed by a GitLab db_key_base, of which the characters that fit in
 * 32 bytes count, padded with '0'; in a list it holds no white space, quote or
 * backslash. A list that is empty or white space adds none.
 * Duplicates of keys held already are dropped, here and below.
 */
dbcrypt_status dbcrypt_ring_add_list(dbcrypt_ring *ring, const char *list, size_t size,
									 dbcrypt_source_error *error) DBCRYPT_NOEXCEPT;

/*
 * Adds what a key file holds: exactly 32 raw bytes, or one key a line, with
 * '#' comments, blank lines and CR LF allowed; a text: key takes its whole line.
 * No key at all is DBCRYPT_KEY_FILE_EMPTY.
 */
dbcrypt_status dbcrypt_ring_add_contents(dbcrypt_ring *ring, const uint8_t *data, size_t size,
										 dbcrypt_source_error *error) DBCRYPT_NOEXCEPT;

/*
 * Adds a key file, or a directory's encryption-key-N files, highest N first.
 * Each file must be regular and obey PostgreSQL's rule for ssl_key_file: own
 * and at most 0600, or root's and at most 0640.
 */
dbcrypt_status dbcrypt_ring_add_file(dbcrypt_ring *ring, const char *path,
									 dbcrypt_source_error *error) DBCRYPT_NOEXCEPT;

/*
 * A number that changes when the file (or the directory, or a key file in it)
 * is replaced or written: identity, size, mode and times, hashed. 0 when it
 * cannot be read. Costs one stat for a file.
 */
uint64_t dbcrypt_file_stamp(const char *path) DBCRYPT_NOEXCEPT;

size_t dbcrypt_ring_count(const dbcrypt_ring *ring) DBCRYPT_NOEXCEPT;

/* NUL-terminated id of key i; belongs to the ring. */
const char *dbcrypt_ring_key_id(const dbcrypt_ring *ring, size_t i) DBCRYPT_NOEXCEPT;

/* state: an OR of dbcrypt_key_state. A new key has state 0. */
void dbcrypt_ring_set_state(dbcrypt_ring *ring, size_t i, unsigned state) DBCRYPT_NOEXCEPT;
unsigned dbcrypt_ring_state(const dbcrypt_ring *ring, size_t i) DBCRYPT_NOEXCEPT;

/* A fresh random key as base64: 44 characters and a NUL. */
dbcrypt_status dbcrypt_generate_key(char out[45]) DBCRYPT_NOEXCEPT;

/*
 * Overwrites with '*', keeping every length, the keys of a ring wherever they
 * stand in text. Without a ring, whatever could be a key or a piece of one: runs
 * of 20 or more characters of hex or base64, unless lower case letters alone, or
 * text: and what follows up to white space, a comma or a quote. Returns how many
 * were overwritten.
 */
size_t dbcrypt_mask_keys(char *text, size_t size, const dbcrypt_ring *only) DBCRYPT_NOEXCEPT;

/* Encrypts the canary text "dbcrypt" under key i, whatever its state, in text form. */
#define DBCRYPT_CANARY_SIZE 64 /* 40 + 7 bytes as base64 */
dbcrypt_status dbcrypt_make_canary(dbcrypt_ring *ring, size_t i,
								   char out[DBCRYPT_CANARY_SIZE + 1]) DBCRYPT_NOEXCEPT;

/* Whether key i opens this canary to the text "dbcrypt". */
bool dbcrypt_canary_ok(dbcrypt_ring *ring, size_t i, const char *canary,
					   size_t size) DBCRYPT_NOEXCEPT;

#ifdef __cplusplus
}
#endif

#endif
