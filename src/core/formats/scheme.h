/*
 * scheme.h
 *		The interface of a scheme, and the table of all schemes.
 *
 * A new scheme is one file scheme_NAME.cpp and one line in DBCRYPT_SCHEMES. Parameters
 * and results are those of the functions dbcrypt_scheme_* of the API.
 */
#ifndef DBCRYPT_SCHEME_H
#define DBCRYPT_SCHEME_H

#include <string_view>

#include "../crypto/status_code.h"
#include "../keys/keyring.h"
#include "value_types.h"

struct dbcrypt_scheme
{
	explicit dbcrypt_scheme(const dbcrypt_scheme_traits &its_traits) : traits(its_traits) {}
	dbcrypt_scheme(const dbcrypt_scheme &) = delete;
	dbcrypt_scheme &operator=(const dbcrypt_scheme &) = delete;
	virtual ~dbcrypt_scheme() = default;

	const dbcrypt_scheme_traits traits;

	virtual const char *key_name(const dbcrypt::Key &key) const;
	virtual bool names_are_shared(const dbcrypt::Keyring &) const { return false; }
	virtual dbcrypt_cell_kind inspect(const dbcrypt_cell &cell) const;

	virtual size_t open_max_size(dbcrypt_encoding encoding, size_t value_size) const = 0;
	virtual dbcrypt_status open(dbcrypt::Keyring &keyring, const dbcrypt_context &context,
								const dbcrypt_cell &cell, uint8_t *out, size_t *plaintext_size,
								size_t *key) const = 0;
	virtual dbcrypt_status identify(dbcrypt::Keyring &keyring, const dbcrypt_context &context,
									const dbcrypt_cell &cell, uint8_t *out, char *key_id) const = 0;

	virtual size_t seal_max_size(dbcrypt_encoding encoding, size_t plaintext_size) const = 0;
	virtual dbcrypt_status seal(dbcrypt::Keyring &keyring, const dbcrypt_context &context,
								dbcrypt::Bytes plaintext, dbcrypt_sealed *out) const = 0;

	virtual size_t rotate_max_size(dbcrypt_encoding encoding, const dbcrypt_cell &cell) const = 0;
	virtual dbcrypt_status rotate(dbcrypt::Keyring &keyring, const dbcrypt_context &context,
								  const dbcrypt_cell &cell, dbcrypt_sealed *out,
								  bool *changed) const = 0;
};

namespace dbcrypt
{

using Scheme = ::dbcrypt_scheme;

/*
 * The table of all schemes. Each is in scheme_NAME.cpp; tooljet is in scheme_lockbox.cpp,
 * attr_encrypted_cbc_unsalted in scheme_attr_encrypted_cbc.cpp.
 */
#define DBCRYPT_SCHEMES(SCHEME) \
	SCHEME(native)              \
	SCHEME(coder)               \
	SCHEME(lockbox)             \
	SCHEME(tooljet)             \
	SCHEME(attr_encrypted)      \
	SCHEME(gitlab_token)        \
	SCHEME(containarium)        \
	SCHEME(attr_encrypted_cbc)  \
	SCHEME(attr_encrypted_cbc_unsalted)

#define DBCRYPT_DECLARE_SCHEME(name) extern const Scheme &name##_scheme;
DBCRYPT_SCHEMES(DBCRYPT_DECLARE_SCHEME)
#undef DBCRYPT_DECLARE_SCHEME

/* Makes a sealed cell empty, without companions. out->value stays. */
void clear_sealed(dbcrypt_sealed *out);

/* The scheme with this name, and scheme number i from 0; nullptr if there is none. */
const Scheme *scheme_named(std::string_view name);
const Scheme *scheme_at(size_t i);

} // namespace dbcrypt

#endif
