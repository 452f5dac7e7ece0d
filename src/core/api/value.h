/*
 * value.h
 *		Native envelopes, format 1 (see README, "The envelope").
 */
#ifndef DBCRYPT_API_VALUE_H
#define DBCRYPT_API_VALUE_H

#include "../formats/value_types.h"
#include "keyring.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Size of the envelope of a plaintext; SIZE_MAX when no buffer could hold it. */
size_t dbcrypt_envelope_size(dbcrypt_form form, size_t plaintext_size) DBCRYPT_NOEXCEPT;

/*
 * Encrypts under the primary key, which must be registered, not revoked and of
 * good canary. out holds dbcrypt_envelope_size bytes and does not overlap the
 * plaintext.
 */
dbcrypt_status dbcrypt_encrypt(dbcrypt_ring *ring, dbcrypt_form form, const uint8_t *plaintext,
							   size_t plaintext_size, const uint8_t *aad, size_t aad_size,
							   uint8_t *out) DBCRYPT_NOEXCEPT;

/*
 * Room that dbcrypt_decrypt needs for an envelope of this size: the plaintext
 * and the tag. Never more than the envelope itself.
 */
size_t dbcrypt_decrypt_room(dbcrypt_form form, size_t envelope_size) DBCRYPT_NOEXCEPT;

/*
 * Decrypts with the one key that the envelope names. out holds
 * dbcrypt_decrypt_room bytes; *plaintext_size says how many are plaintext.
 * After a failure out holds no plaintext.
 */
dbcrypt_status dbcrypt_decrypt(dbcrypt_ring *ring, dbcrypt_form form, const uint8_t *envelope,
							   size_t envelope_size, const uint8_t *aad, size_t aad_size,
							   uint8_t *out, size_t *plaintext_size) DBCRYPT_NOEXCEPT;

/*
 * Decrypts and encrypts again under the primary key, with a fresh nonce. out
 * holds envelope_size bytes, which is also the result's size. An envelope under
 * the primary key already sets *changed false and leaves out alone, without
 * opening it.
 */
dbcrypt_status dbcrypt_reencrypt(dbcrypt_ring *ring, dbcrypt_form form, const uint8_t *envelope,
								 size_t envelope_size, const uint8_t *aad, size_t aad_size,
								 uint8_t *out, bool *changed) DBCRYPT_NOEXCEPT;

/*
 * Reads the header alone: OK and the key id (with its NUL) if the value has the
 * shape of an envelope. On DBCRYPT_NEWER_* the key id is not set.
 * envelope may be a prefix of envelope_size's bytes, at least 16 of them if the
 * value is that long.
 */
dbcrypt_status dbcrypt_read_header(dbcrypt_form form, const uint8_t *envelope, size_t envelope_size,
								   char key_id[DBCRYPT_KEY_ID_LEN + 1]) DBCRYPT_NOEXCEPT;

#ifdef __cplusplus
}
#endif

#endif
