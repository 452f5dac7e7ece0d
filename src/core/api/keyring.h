/*
 * keyring.h
 *		The core's API for C: the keyring, its keys, their states and canaries; new keys;
 *		masking of keys in text.
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

/*
 * A keyring: keys in order. The first one is primary: it encrypts. All of them
 * decrypt. Not safe for threads.
 */
typedef struct dbcrypt_ring dbcrypt_ring;

/* An empty keyring, which takes weak keys or refuses them; NULL if there is no memory. */
dbcrypt_ring *dbcrypt_ring_new(bool allow_weak) DBCRYPT_NOEXCEPT;

/* Wipes every key; accepts NULL. */
void dbcrypt_ring_free(dbcrypt_ring *ring) DBCRYPT_NOEXCEPT;

/*
 * Adds the keys of a comma-separated list. A key has 32 bytes and is written as
 * - 64 hex digits, or
 * - 44 characters of base64 (RFC 4648 section 4), or
 * - text: and a GitLab db_key_base. Its first 32 bytes are the key: only whole UTF-8
 *   characters, and the digit '0' up to 32 bytes. Some schemes derive from the whole
 *   text. In a list it contains no white space, comma, quote or backslash; or
 * - text-short: and such a text of fewer than 32 characters.
 *
 * A weak key is one of 32 equal bytes, or a text of fewer than 32 characters. A keyring
 * that takes none refuses them, but for text-short:.
 *
 * A list of white space adds nothing. Errors: DBCRYPT_BAD_KEY, DBCRYPT_WEAK_KEY, with
 * *error set.
 *
 * For this function and the next two: a key that the keyring has already is not added
 * again; DBCRYPT_KEY_TEXTS_DIFFER if its text would be lost. After an error the keyring
 * is as before. error may be NULL.
 */
dbcrypt_status dbcrypt_ring_add_list(dbcrypt_ring *ring, const char *list, size_t size,
									 dbcrypt_source_error *error) DBCRYPT_NOEXCEPT;

/*
 * Adds the keys of a key file that the caller has read: either exactly 32 bytes, which
 * are the key, or text with one key a line. Comments (from '#' to the end of the line),
 * empty lines and CR LF are allowed. A text key is the rest of its line and may
 * contain '#'.
 * Errors: DBCRYPT_BAD_KEY; DBCRYPT_WEAK_KEY; DBCRYPT_KEY_FILE_EMPTY if there is no key.
 */
dbcrypt_status dbcrypt_ring_add_contents(dbcrypt_ring *ring, const uint8_t *data, size_t size,
										 dbcrypt_source_error *error) DBCRYPT_NOEXCEPT;

/*
 * Adds the keys of a key file of at most 1 MB, or of a directory with files
 * encryption-key-N, highest N first. Each file must be a regular file and obey
 * PostgreSQL's rule for ssl_key_file: owned by this user with permissions 0600 or
 * less, or owned by root with 0640 or less.
 * Errors: DBCRYPT_BAD_KEY, DBCRYPT_WEAK_KEY and the statuses DBCRYPT_KEY_FILE_*; errno is set for
 * DBCRYPT_KEY_FILE_MISSING and DBCRYPT_KEY_FILE_UNREADABLE.
 */
dbcrypt_status dbcrypt_ring_add_file(dbcrypt_ring *ring, const char *path,
									 dbcrypt_source_error *error) DBCRYPT_NOEXCEPT;

/*
 * A number that changes when the file is replaced or written; for a directory, also
 * when a key file in it is. It is a hash of inode, size, mode, owner and times. 0 if
 * it cannot be read. For a file it takes one stat().
 */
uint64_t dbcrypt_file_stamp(const char *path) DBCRYPT_NOEXCEPT;

/* How many keys the keyring has. */
size_t dbcrypt_ring_count(const dbcrypt_ring *ring) DBCRYPT_NOEXCEPT;

/*
 * Index of the key with this id (14 lower-case hex digits and a NUL);
 * dbcrypt_ring_count() if there is none. Takes the same time for any number of keys.
 */
size_t dbcrypt_ring_find(dbcrypt_ring *ring, const char *key_id) DBCRYPT_NOEXCEPT;

/* Id of key i, with a NUL. The keyring owns it. */
const char *dbcrypt_ring_key_id(const dbcrypt_ring *ring, size_t i) DBCRYPT_NOEXCEPT;

/* Whether key i is weak. */
bool dbcrypt_ring_key_is_weak(const dbcrypt_ring *ring, size_t i) DBCRYPT_NOEXCEPT;

/* Sets, or returns, the state of key i: an OR of dbcrypt_key_state; 0 for a new key. */
void dbcrypt_ring_set_state(dbcrypt_ring *ring, size_t i, unsigned state) DBCRYPT_NOEXCEPT;
unsigned dbcrypt_ring_state(const dbcrypt_ring *ring, size_t i) DBCRYPT_NOEXCEPT;

/*
 * A new key from OpenSSL's generator for secrets, as base64: 44 characters and a NUL.
 * Errors: DBCRYPT_RANDOM_FAILED.
 */
dbcrypt_status dbcrypt_generate_key(char out[45]) DBCRYPT_NOEXCEPT;

/*
 * Overwrites keys in a text with '*', one for each character. Returns how many it
 * overwrote. Takes time in proportion to size, whatever the text is.
 *
 * With a keyring: its keys, in each way that they can be written, wherever they are.
 * With NULL: everything that could be a key or a part of one. That is 20 or more
 * characters of hex or base64, if one of them is a digit, an upper-case letter or '+';
 * and text: or text-short: with what follows it, up to white space, a comma, a quote or a
 * backslash.
 */
size_t dbcrypt_mask_keys(char *text, size_t size, const dbcrypt_ring *only) DBCRYPT_NOEXCEPT;

/*
 * The same of what is written exactly as a key is: 64 hex digits, the base64 of 32
 * bytes, text: or text-short: with what follows it.
 */
size_t dbcrypt_mask_key_literals(char *text, size_t size) DBCRYPT_NOEXCEPT;

/* Characters of a canary. */
#define DBCRYPT_CANARY_SIZE 32

/*
 * The canary of key i, with a NUL: a check value by which two keys with one id differ.
 * The text "dbcrypt" encrypted with AES-256-GCM (NIST SP 800-38D) under a key that is
 * derived for it alone, by HKDF-SHA256 (RFC 5869); as base64. It is no envelope and
 * decrypts as no value. The state of the key is not looked at.
 */
dbcrypt_status dbcrypt_make_canary(const dbcrypt_ring *ring, size_t i,
								   char out[DBCRYPT_CANARY_SIZE + 1]) DBCRYPT_NOEXCEPT;

/* Whether this is the canary of key i. */
bool dbcrypt_canary_ok(const dbcrypt_ring *ring, size_t i, const char *canary,
					   size_t size) DBCRYPT_NOEXCEPT;

#ifdef __cplusplus
}
#endif

#endif
