/*
 * scheme_recorded.h
 *		What the schemes without authentication share.
 *
 * Nothing in such a value tells whether a key is right: of 1,000 values of one block,
 * four open under a wrong one. So no key is tried. The whole column is under the key
 * that the context records, and every fault of a value or key has one status.
 */
#ifndef DBCRYPT_SCHEME_RECORDED_H
#define DBCRYPT_SCHEME_RECORDED_H

#include "scheme.h"

namespace dbcrypt
{

class RecordedScheme : public dbcrypt_scheme
{
public:
	using dbcrypt_scheme::dbcrypt_scheme;

	size_t open_max_size(dbcrypt_encoding encoding, size_t value_size) const override;
	dbcrypt_status open(Keyring &keyring, const dbcrypt_context &context, const dbcrypt_cell &cell,
						uint8_t *out, size_t *plaintext_size, size_t *key) const override;
	dbcrypt_status identify(Keyring &keyring, const dbcrypt_context &context,
							const dbcrypt_cell &cell, uint8_t *out, char *key_id) const override;
	dbcrypt_status seal(Keyring &keyring, const dbcrypt_context &context, Bytes plaintext,
						dbcrypt_sealed *out) const override;
	size_t rotate_max_size(dbcrypt_encoding encoding, const dbcrypt_cell &cell) const override;
	dbcrypt_status rotate(Keyring &keyring, const dbcrypt_context &context,
						  const dbcrypt_cell &cell, dbcrypt_sealed *out,
						  bool *changed) const override;

protected:
	/* Whether values can be under this key: false if they derive from a text it has not. */
	virtual bool fits(const Key &key) const = 0;

	/* Decrypts into open_max_size bytes; false for whatever is wrong. */
	virtual bool open_with(const Key &key, dbcrypt_encoding encoding, const dbcrypt_cell &cell,
						   uint8_t *out, size_t *plaintext_size) const = 0;

	/* Encrypts into seal_max_size bytes, and sets the sizes and companions. */
	virtual void seal_with(const Key &key, dbcrypt_encoding encoding, Bytes plaintext,
						   dbcrypt_sealed *out) const = 0;
};

} // namespace dbcrypt

#endif
