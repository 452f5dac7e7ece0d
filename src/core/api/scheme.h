/*
 * scheme.h
 *		The core's API for C: schemes, the layouts of a column's values. There is
 *		dbcrypt's own, and there are those of applications.
 */
#ifndef DBCRYPT_API_SCHEME_H
#define DBCRYPT_API_SCHEME_H

#include "../formats/value_types.h"
#include "keyring.h"

#ifdef __cplusplus
extern "C" {
#endif

/*
 * To rotate, verify or convert a column, these functions are enough for any scheme. A
 * cell is a value and its companion, which is stored in a column beside it, as text if
 * the value is text.
 */
typedef struct dbcrypt_scheme dbcrypt_scheme; /* a constant; not freed */

/* The scheme with this name, and scheme number i from 0; NULL if there is none. */
const dbcrypt_scheme *dbcrypt_scheme_find(const char *name) DBCRYPT_NOEXCEPT;
const dbcrypt_scheme *dbcrypt_scheme_at(size_t i) DBCRYPT_NOEXCEPT;

/* What is the same for all values of the scheme. The scheme owns it. */
const dbcrypt_scheme_traits *dbcrypt_scheme_traits_of(const dbcrypt_scheme *scheme)
	DBCRYPT_NOEXCEPT;

/*
 * How the scheme writes the id of the keyring's key i. native: the key id; coder: 7 hex
 * digits. The keyring owns it. NULL if the scheme's values name no key.
 */
const char *dbcrypt_scheme_key_name(const dbcrypt_scheme *scheme, const dbcrypt_ring *ring,
									size_t i) DBCRYPT_NOEXCEPT;

/*
 * Whether two keys of the keyring have the same name in the scheme, as of Coder's 28 bits
 * they may. Then every other function of the scheme that needs a key fails with
 * DBCRYPT_KEY_NAME_SHARED.
 */
bool dbcrypt_scheme_names_shared(const dbcrypt_scheme *scheme,
								 const dbcrypt_ring *ring) DBCRYPT_NOEXCEPT;

/* What a cell is, as far as the scheme can tell without a key. */
dbcrypt_cell_kind dbcrypt_scheme_inspect(const dbcrypt_scheme *scheme,
										 const dbcrypt_cell *cell) DBCRYPT_NOEXCEPT;

/* Bytes that dbcrypt_scheme_open needs for a value of this size: at most size + 3. */
size_t dbcrypt_scheme_open_max_size(const dbcrypt_scheme *scheme, dbcrypt_encoding encoding,
									size_t value_size) DBCRYPT_NOEXCEPT;

/*
 * Decrypts an encrypted cell. *key is the index of the key that did it. After an error
 * out contains no plaintext.
 * Errors: those of dbcrypt_decrypt. If the cell names no key, all keys are tried, and
 * DBCRYPT_AUTHENTICATION_FAILED means that none is right. In a scheme that is not
 * authenticated only the context's recorded_key is used: DBCRYPT_NOT_OPENED means that
 * anything is wrong, and DBCRYPT_OK may be chance.
 */
dbcrypt_status dbcrypt_scheme_open(const dbcrypt_scheme *scheme, dbcrypt_ring *ring,
								   const dbcrypt_context *context, const dbcrypt_cell *cell,
								   uint8_t *out, size_t *plaintext_size,
								   size_t *key) DBCRYPT_NOEXCEPT;

/*
 * Tells which key an encrypted cell is under. If the scheme names_key, the cell is not
 * decrypted; otherwise it is. If the scheme is not authenticated, that is the recorded
 * key, loaded or not. out as for dbcrypt_scheme_open. key_id is dbcrypt's key
 * id. It is "" with DBCRYPT_KEY_NOT_LOADED if the scheme writes ids in its own way and
 * the key is not loaded. A revoked key is no error here.
 * Errors: DBCRYPT_KEY_NOT_LOADED, DBCRYPT_NOT_AN_ENVELOPE, DBCRYPT_NEWER_FORMAT,
 * DBCRYPT_NEWER_ALGORITHM; if it decrypts, those of dbcrypt_scheme_open.
 */
dbcrypt_status dbcrypt_scheme_identify(const dbcrypt_scheme *scheme, dbcrypt_ring *ring,
									   const dbcrypt_context *context, const dbcrypt_cell *cell,
									   uint8_t *out,
									   char key_id[DBCRYPT_KEY_ID_LEN + 1]) DBCRYPT_NOEXCEPT;

/* Most bytes of the value of a plaintext; SIZE_MAX if it would be DBCRYPT_TOO_LARGE. */
size_t dbcrypt_scheme_seal_max_size(const dbcrypt_scheme *scheme, dbcrypt_encoding encoding,
									size_t plaintext_size) DBCRYPT_NOEXCEPT;

/*
 * Encrypts under the primary key, with a new nonce unless the scheme is deterministic.
 * The result is written as the application itself writes it.
 * Errors: those of dbcrypt_encrypt.
 */
dbcrypt_status dbcrypt_scheme_seal(const dbcrypt_scheme *scheme, dbcrypt_ring *ring,
								   const dbcrypt_context *context, const uint8_t *plaintext,
								   size_t plaintext_size, dbcrypt_sealed *out) DBCRYPT_NOEXCEPT;

/* Most bytes of the value that dbcrypt_scheme_rotate makes of a cell; SIZE_MAX as above. */
size_t dbcrypt_scheme_rotate_max_size(const dbcrypt_scheme *scheme, dbcrypt_encoding encoding,
									  const dbcrypt_cell *cell) DBCRYPT_NOEXCEPT;

/*
 * Re-encrypts a cell under the primary key; a plaintext is encrypted. *changed is false
 * and *out is empty if nothing is to do: the cell is under the primary key already, or
 * NULL, or empty and stored so by the scheme.
 * Errors: those of dbcrypt_scheme_open and dbcrypt_scheme_seal.
 */
dbcrypt_status dbcrypt_scheme_rotate(const dbcrypt_scheme *scheme, dbcrypt_ring *ring,
									 const dbcrypt_context *context, const dbcrypt_cell *cell,
									 dbcrypt_sealed *out, bool *changed) DBCRYPT_NOEXCEPT;

#ifdef __cplusplus
}
#endif

#endif
