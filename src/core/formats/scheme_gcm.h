/*
 * scheme_gcm.h
 *		What the applications' schemes share: AES-256-GCM with a 12-byte nonce,
 *		under the ring key itself or one derived from it.
 *
 * A blob is what such a scheme stores of a value before spelling it: the nonce,
 * if the value holds it in front, then ciphertext || tag.
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
	/* nonce_in_front: whether a blob starts with its nonce. */
	GcmScheme(const dbcrypt_scheme_traits &its_traits, bool nonce_in_front)
		: dbcrypt_scheme(its_traits), lead_(nonce_in_front ? nonce_size : 0)
	{}

	size_t open_room(dbcrypt_form form, size_t value_size) const override;
	dbcrypt_status open(Ring &ring, const dbcrypt_context &context, const dbcrypt_cell &cell,
						uint8_t *out, size_t *plaintext_size, size_t *key) const override;
	dbcrypt_status identify(Ring &ring, const dbcrypt_context &context, const dbcrypt_cell &cell,
							uint8_t *out, char *key_id) const override;
	size_t seal_room(dbcrypt_form form, size_t plaintext_size) const override;
	dbcrypt_status seal(Ring &ring, const dbcrypt_context &context, Bytes plaintext,
						dbcrypt_sealed *out) const override;
	size_t rotate_room(dbcrypt_form form, const dbcrypt_cell &cell) const override;
	dbcrypt_status rotate(Ring &ring, const dbcrypt_context &context, const dbcrypt_cell &cell,
						  dbcrypt_sealed *out, bool *changed) const override;

	/* seal under a key whatever its state and with a given nonce: for known answers alone. */
	void seal_with_nonce(RingKey &key, const dbcrypt_context &context, Bytes plaintext,
						 const uint8_t *nonce, dbcrypt_sealed *out) const;

protected:
	/* An encrypted cell taken apart. */
	struct Parts
	{
		uint8_t nonce[nonce_size];
		Bytes sealed; /* ciphertext || tag */
	};

	/*
	 * Takes a cell apart, with key in case the nonce depends on it. In text form
	 * the blob is decoded into room (open_room bytes), in binary form it stays in
	 * the cell. parts->sealed is at least as long as a tag. False if malformed.
	 */
	virtual bool parse(dbcrypt_form form, const RingKey &key, const dbcrypt_cell &cell,
					   uint8_t *room, Parts *parts) const = 0;

	/* Size of the value that spells a blob; SIZE_MAX never occurs. */
	virtual size_t spelled_size(dbcrypt_form form, size_t blob_size) const = 0;

	/*
	 * Spells a blob, which stands at the end of value's spelled_size bytes or
	 * further on and may be overwritten. The companion is preset to NULL.
	 */
	virtual void spell(dbcrypt_form form, const RingKey &key, const uint8_t *nonce, Bytes blob,
					   dbcrypt_sealed *out) const = 0;

	/* Whether this cell is under this key, where the scheme names keys. */
	virtual bool names(const RingKey &key, const dbcrypt_cell &cell) const;

	virtual void make_nonce(Bytes plaintext, uint8_t *nonce) const;

	virtual Aead &cipher(RingKey &key, const dbcrypt_context &context) const;

	/* For parse: a decoded blob to parts, its nonce too if that is in front. */
	bool take_blob(Bytes blob, Parts *parts) const;

private:
	Aad aad(const dbcrypt_context &context) const;
	size_t blob_limit(dbcrypt_form form, size_t value_size) const;
	size_t named(const Ring &ring, const dbcrypt_cell &cell) const;
	dbcrypt_status open_with(RingKey &key, const dbcrypt_context &context, const dbcrypt_cell &cell,
							 uint8_t *room, size_t *plaintext_size) const;
	dbcrypt_status find_and_open(Ring &ring, const dbcrypt_context &context,
								 const dbcrypt_cell &cell, uint8_t *room, size_t *plaintext_size,
								 size_t *key) const;
	void seal_at(RingKey &key, const dbcrypt_context &context, Bytes plaintext,
				 const uint8_t *nonce, uint8_t *blob, dbcrypt_sealed *out) const;

	size_t lead_;
};

} // namespace dbcrypt

#endif
