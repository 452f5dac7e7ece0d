/*
 * scheme.h
 *		The interface of a scheme, and the table of all. A new scheme is one file
 *		and one line in that table.
 *
 * Parameters and promises are those of core.h's dbcrypt_scheme_* functions.
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

	virtual const char *key_name(const dbcrypt::RingKey &key) const;
	virtual dbcrypt_cell_kind inspect(const dbcrypt_cell &cell) const;

	virtual size_t open_room(dbcrypt_form form, size_t value_size) const = 0;
	virtual dbcrypt_status open(dbcrypt::Ring &ring, const dbcrypt_context &context,
								const dbcrypt_cell &cell, uint8_t *out, size_t *plaintext_size,
								size_t *key) const = 0;
	virtual dbcrypt_status identify(dbcrypt::Ring &ring, const dbcrypt_context &context,
									const dbcrypt_cell &cell, uint8_t *out, char *key_id) const = 0;

	virtual size_t seal_room(dbcrypt_form form, size_t plaintext_size) const = 0;
	virtual dbcrypt_status seal(dbcrypt::Ring &ring, const dbcrypt_context &context,
								dbcrypt::Bytes plaintext, dbcrypt_sealed *out) const = 0;

	virtual size_t rotate_room(dbcrypt_form form, const dbcrypt_cell &cell) const = 0;
	virtual dbcrypt_status rotate(dbcrypt::Ring &ring, const dbcrypt_context &context,
								  const dbcrypt_cell &cell, dbcrypt_sealed *out,
								  bool *changed) const = 0;
};

namespace dbcrypt
{

using Scheme = ::dbcrypt_scheme;

/* The schemes, each in the file of its name. */
extern const Scheme &native_scheme;
extern const Scheme &coder_scheme;
extern const Scheme &lockbox_scheme;
extern const Scheme &tooljet_scheme;
extern const Scheme &attr_encrypted_scheme;
extern const Scheme &gitlab_token_scheme;
extern const Scheme &containarium_scheme;

/* The scheme of that name, or nullptr; and the i-th of all, or nullptr past the last. */
const Scheme *scheme_named(std::string_view name);
const Scheme *scheme_at(size_t i);

} // namespace dbcrypt

#endif
