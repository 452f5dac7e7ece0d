/*
 * value.h
 *		The core's API for C: single values in dbcrypt's own envelope, format 1.
 *
 * AES-256-GCM (NIST SP 800-38D) with a random nonce of 96 bits (section 8.2.2) and a
 * tag of 128 bits. The key is HKDF-SHA256 (RFC 5869) of the keyring's key. Layout:
 * docs/reference.md, "The envelope"; formats/envelope.h.
 */
#ifndef DBCRYPT_API_VALUE_H
#define DBCRYPT_API_VALUE_H

#include "../formats/value_types.h"
#include "keyring.h"

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Forgets the random bytes that were drawn for nonces and not used. To be called at the
 * start of each statement: no nonce is then older than the statement that uses it, in a
 * forked process, or after a machine was restored from a snapshot or cloned between two
 * statements (where the kernel is told of it, Linux 5.18 with vmgenid; otherwise OpenSSL's
 * generator may repeat itself). A copy of a machine made during a statement repeats at most
 * the 341 nonces of the pool.
 */
void dbcrypt_drop_nonces(void) DBCRYPT_NOEXCEPT;

/* Size of the envelope of a plaintext; SIZE_MAX if it would be DBCRYPT_TOO_LARGE. */
size_t dbcrypt_envelope_size(dbcrypt_encoding encoding, size_t plaintext_size) DBCRYPT_NOEXCEPT;

/*
 * Encrypts under the primary key. out has dbcrypt_envelope_size bytes and does not
 * overlap the plaintext. aad may be NULL if its size is 0.
 * Errors: DBCRYPT_NO_KEYS, DBCRYPT_KEY_REVOKED, DBCRYPT_KEY_RETIRED,
 * DBCRYPT_KEY_NOT_REGISTERED, DBCRYPT_KEY_CANARY_MISMATCH, DBCRYPT_TOO_LARGE,
 * DBCRYPT_RANDOM_FAILED.
 */
dbcrypt_status dbcrypt_encrypt(dbcrypt_ring *ring, dbcrypt_encoding encoding,
							   const uint8_t *plaintext, size_t plaintext_size, const uint8_t *aad,
							   size_t aad_size, uint8_t *out) DBCRYPT_NOEXCEPT;

/*
 * Bytes that dbcrypt_decrypt needs for an envelope of this size: for the plaintext and
 * the tag of 16 bytes. Never more than the envelope has.
 */
size_t dbcrypt_decrypt_max_size(dbcrypt_encoding encoding, size_t envelope_size) DBCRYPT_NOEXCEPT;

/*
 * Decrypts with the key that the envelope names, and no other. out has
 * dbcrypt_decrypt_max_size bytes; *plaintext_size of them are plaintext. After an error
 * out contains no plaintext.
 * Errors: DBCRYPT_NOT_AN_ENVELOPE, DBCRYPT_NEWER_FORMAT, DBCRYPT_NEWER_ALGORITHM,
 * DBCRYPT_NO_KEYS, DBCRYPT_KEY_NOT_LOADED, DBCRYPT_KEY_REVOKED,
 * DBCRYPT_AUTHENTICATION_FAILED.
 */
dbcrypt_status dbcrypt_decrypt(dbcrypt_ring *ring, dbcrypt_encoding encoding,
							   const uint8_t *envelope, size_t envelope_size, const uint8_t *aad,
							   size_t aad_size, uint8_t *out,
							   size_t *plaintext_size) DBCRYPT_NOEXCEPT;

/*
 * Decrypts, and encrypts under the primary key with a new nonce. out has envelope_size
 * bytes; the new envelope has the same size. If the envelope names the primary key
 * already, it is not decrypted: *changed is false and out is not written.
 * Errors: those of dbcrypt_decrypt and dbcrypt_encrypt.
 */
dbcrypt_status dbcrypt_reencrypt(dbcrypt_ring *ring, dbcrypt_encoding encoding,
								 const uint8_t *envelope, size_t envelope_size, const uint8_t *aad,
								 size_t aad_size, uint8_t *out, bool *changed) DBCRYPT_NOEXCEPT;

/*
 * Reads the header and needs no key: DBCRYPT_OK and the key id with a NUL if the value
 * looks like an envelope. envelope_size is the size of the whole value; envelope may
 * point to its first 16 bytes only.
 * Errors: DBCRYPT_NOT_AN_ENVELOPE, DBCRYPT_NEWER_FORMAT, DBCRYPT_NEWER_ALGORITHM; the
 * key id is then not set.
 */
dbcrypt_status dbcrypt_read_header(dbcrypt_encoding encoding, const uint8_t *envelope,
								   size_t envelope_size,
								   char key_id[DBCRYPT_KEY_ID_LEN + 1]) DBCRYPT_NOEXCEPT;

#ifdef __cplusplus
}
#endif

#endif
