/*
 * aead_ipsec_mb.h
 *		AES-256-GCM by Intel's Multi-Buffer Crypto for IPsec (x86-64): for the
 *		short values of a column a fifth of OpenSSL's time.
 */
#ifndef DBCRYPT_AEAD_IPSEC_MB_H
#define DBCRYPT_AEAD_IPSEC_MB_H

#ifdef DBCRYPT_IPSEC_MB

#include "aead.h"

struct gcm_key_data;
struct gcm_context_data;

namespace dbcrypt
{

class IpsecMbAead final : public Aead
{
public:
	/* Whether this processor has what it takes. Asked before the first is made. */
	static bool usable();

	explicit IpsecMbAead(Secret key);

	void seal(const uint8_t *nonce, const Aad &aad, Bytes plaintext, uint8_t *out) override;
	bool open(const uint8_t *nonce, const Aad &aad, Bytes sealed, uint8_t *out) override;

private:
	/* The expanded key and the state of one message, in memory that is wiped. */
	Secret memory_;
	gcm_key_data *key_;
	gcm_context_data *state_;
};

} // namespace dbcrypt

#endif

#endif
