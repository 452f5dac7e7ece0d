/*
 * aead_ipsec_mb.h
 *		AES-256-GCM by Intel's Multi-Buffer Crypto for IPsec (x86-64). For short values
 *		it takes a fifth of OpenSSL's time.
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
	/* Whether this processor can run it. Ask before you make the first one. */
	static bool is_supported();

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
