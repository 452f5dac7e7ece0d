/*
 * scheme.h
 *		Schemes: how the values of a column are laid out, ours or an application's.
 */
#ifndef DBCRYPT_API_SCHEME_H
#define DBCRYPT_API_SCHEME_H

#include "../formats/value_types.h"
#include "keyring.h"

#ifdef __cplusplus
extern "C" {
#endif

/*
 * The rotation, verification and conversion of a column need nothing but these
 * functions: no scheme is known by name outside the core. A cell is a value with
 * its companion, which lives in a column beside it and has the value's form.
 */
typedef struct dbcrypt_scheme dbcrypt_scheme; /* constant, never freed */

/* The scheme of that name, or NULL; and the i-th of all, or NULL past the last. */
const dbcrypt_scheme *dbcrypt_scheme_find(const char *name) DBCRYPT_NOEXCEPT;
const dbcrypt_scheme *dbcrypt_scheme_at(size_t i) DBCRYPT_NOEXCEPT;

const dbcrypt_scheme_traits *dbcrypt_scheme_traits_of(const dbcrypt_scheme *scheme)
	DBCRYPT_NOEXCEPT;

/*
 * How the scheme spells the id of ring key i (native: our key id; coder: its 7
 * hex digits); belongs to the ring. NULL where its values name no key.
 */
const char *dbcrypt_scheme_key_name(const dbcrypt_scheme *scheme, const dbcrypt_ring *ring,
									size_t i) DBCRYPT_NOEXCEPT;

dbcrypt_cell_kind dbcrypt_scheme_inspect(const dbcrypt_scheme *scheme,
										 const dbcrypt_cell *cell) DBCRYPT_NOEXCEPT;

/* Room that opening an encrypted value of that size needs; never more than size + 3. */
size_t dbcrypt_scheme_open_room(const dbcrypt_scheme *scheme, dbcrypt_form form,
								size_t value_size) DBCRYPT_NOEXCEPT;

/*
 * Decrypts an encrypted cell. *key is the ring's index of the key that opened it.
 * After a failure out holds no plaintext. Where no key is named, a value that no
 * key of the ring opens is DBCRYPT_AUTHENTICATION_FAILED.
 */
dbcrypt_status dbcrypt_scheme_open(const dbcrypt_scheme *scheme, dbcrypt_ring *ring,
								   const dbcrypt_context *context, const dbcrypt_cell *cell,
								   uint8_t *out, size_t *plaintext_size,
								   size_t *key) DBCRYPT_NOEXCEPT;

/*
 * Which key an encrypted cell is under, as cheaply as the scheme can tell: where
 * it names_key without opening it, else by opening. out as above. key_id is our
 * key id and is "" with DBCRYPT_KEY_NOT_LOADED where the scheme names a key in a
 * spelling that only a loaded key explains.
 */
dbcrypt_status dbcrypt_scheme_identify(const dbcrypt_scheme *scheme, dbcrypt_ring *ring,
									   const dbcrypt_context *context, const dbcrypt_cell *cell,
									   uint8_t *out,
									   char key_id[DBCRYPT_KEY_ID_LEN + 1]) DBCRYPT_NOEXCEPT;

/* Room for the value of a plaintext, bytes; SIZE_MAX when no buffer could hold it. */
size_t dbcrypt_scheme_seal_room(const dbcrypt_scheme *scheme, dbcrypt_form form,
								size_t plaintext_size) DBCRYPT_NOEXCEPT;

/*
 * Encrypts under the primary key, which must be as for dbcrypt_encrypt, with a
 * fresh nonce unless deterministic, spelled as the application spells it.
 */
dbcrypt_status dbcrypt_scheme_seal(const dbcrypt_scheme *scheme, dbcrypt_ring *ring,
								   const dbcrypt_context *context, const uint8_t *plaintext,
								   size_t plaintext_size, dbcrypt_sealed *out) DBCRYPT_NOEXCEPT;

/* Room for the value that rotating a cell gives; SIZE_MAX as above. */
size_t dbcrypt_scheme_rotate_room(const dbcrypt_scheme *scheme, dbcrypt_form form,
								  const dbcrypt_cell *cell) DBCRYPT_NOEXCEPT;

/*
 * Brings a cell under the primary key. Sets *changed false, and *out to nothing,
 * where that is so already or the cell is NULL or empty and kept so; plaintext is
 * encrypted. Where no key is named, the tag says which of the ring it is under.
 */
dbcrypt_status dbcrypt_scheme_rotate(const dbcrypt_scheme *scheme, dbcrypt_ring *ring,
									 const dbcrypt_context *context, const dbcrypt_cell *cell,
									 dbcrypt_sealed *out, bool *changed) DBCRYPT_NOEXCEPT;

#ifdef __cplusplus
}
#endif

#endif
