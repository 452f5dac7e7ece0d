/*
 * scheme_gcm.h
 *		What the applications' schemes share: AES-256-GCM (NIST SP 800-38D) with a
 *		nonce of 12 bytes, under the key itself or a key derived from it.
 *
 * A blob is what such a scheme stores of a value before it is encoded as text: the
 * nonce, if the scheme keeps it in the value, then ciphertext || tag.
 */
#ifndef DBCRYPT_SCHEME_GCM_H
#define DBCRYPT_SCHEME_GCM_H

#include "../crypto/random.h"
#include "scheme.h"

namespace dbcrypt
{

class GcmScheme : public dbcrypt_scheme
{
public:
	/* nonce_in_front: whether a blob begins with its nonce. */
	GcmScheme(const dbcrypt_scheme_traits &its_traits, bool nonce_in_front)
		: dbcrypt_scheme(its_traits), nonce_prefix_(nonce_in_front ? nonce_size : 0)
	{}

	size_t open_max_size(dbcrypt_encoding encoding, size_t value_size) const override;
	dbcrypt_status open(Keyring &keyring, const dbcrypt_context &context, const dbcrypt_cell &cell,
						uint8_t *out, size_t *plaintext_size, size_t *key) const override;
	dbcrypt_status identify(Keyring &keyring, const dbcrypt_context &context,
							const dbcrypt_cell &cell, uint8_t *out, char *key_id) const override;
	size_t seal_max_size(dbcrypt_encoding encoding, size_t plaintext_size) const override;
	dbcrypt_status seal(Keyring &keyring, const dbcrypt_context &context, Bytes plaintext,
						dbcrypt_sealed *out) const override;
	size_t rotate_max_size(dbcrypt_encoding encoding, const dbcrypt_cell &cell) const override;
	dbcrypt_status rotate(Keyring &keyring, const dbcrypt_context &context,
						  const dbcrypt_cell &cell, dbcrypt_sealed *out,
						  bool *changed) const override;

	/*
	 * Like seal, but with a given key, whose state is not looked at, and a given nonce.
	 * Only for tests with known answers.
	 */
	void seal_with_nonce(Key &key, const dbcrypt_context &context, Bytes plaintext,
						 const uint8_t *nonce, dbcrypt_sealed *out) const;

protected:
	/* The parts of an encrypted cell. */
	struct Parts
	{
		uint8_t nonce[nonce_size];
		Bytes sealed; /* ciphertext || tag */
	};

	/*
	 * Splits a cell into its parts. key is for schemes whose nonce depends on it. A
	 * text value is decoded into buffer (open_max_size bytes); parts of a binary value
	 * point into the cell. parts->sealed has at least the size of a tag. False for a
	 * malformed cell.
	 */
	virtual bool parse(dbcrypt_encoding encoding, const Key &key, const dbcrypt_cell &cell,
					   uint8_t *buffer, Parts *parts) const = 0;

	/* Bytes of the value that encodes a blob of this size. */
	virtual size_t encoded_size(dbcrypt_encoding encoding, size_t blob_size) const = 0;

	/*
	 * Writes the value, and the companion where the scheme has one. The blob lies in
	 * out->value: at the end of the encoded_size bytes, or behind them. It may be
	 * overwritten. The companion is NULL before the call.
	 */
	virtual void encode(dbcrypt_encoding encoding, const Key &key, const uint8_t *nonce, Bytes blob,
						dbcrypt_sealed *out) const = 0;

	/*
	 * Index of the key that the cell names; keyring.size() if that is not loaded. Only
	 * for schemes whose cells name their key.
	 */
	virtual size_t find_named(const Keyring &keyring, const dbcrypt_cell &cell) const;

	/* The nonce of a new value: random, unless the scheme has a rule of its own. */
	virtual void make_nonce(Bytes plaintext, uint8_t *nonce) const;

	/* The cipher of a key in this context: that of the key itself, if not overridden. */
	virtual Aead &aead_of(Key &key, const dbcrypt_context &context) const;

	/* For parse: splits a decoded blob. Sets parts->nonce only if the blob has it. */
	bool split_blob(Bytes blob, Parts *parts) const;

private:
	Aad aad(const dbcrypt_context &context) const;
	size_t blob_limit(dbcrypt_encoding encoding, size_t value_size) const;
	dbcrypt_status open_with(Key &key, const dbcrypt_context &context, const dbcrypt_cell &cell,
							 uint8_t *buffer, size_t *plaintext_size) const;
	dbcrypt_status find_and_open(Keyring &keyring, const dbcrypt_context &context,
								 const dbcrypt_cell &cell, uint8_t *buffer, size_t *plaintext_size,
								 size_t *key) const;
	void seal_at(Key &key, const dbcrypt_context &context, Bytes plaintext, const uint8_t *nonce,
				 uint8_t *blob, dbcrypt_sealed *out) const;

	size_t nonce_prefix_; /* bytes of nonce at the start of a blob: 12 or 0 */
};

} // namespace dbcrypt

#endif
