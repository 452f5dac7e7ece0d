/*
 * native.h
 *		Native envelopes under a key ring: which key, and may it.
 *
 * Parameters as in core.h.
 */
#ifndef DBCRYPT_NATIVE_H
#define DBCRYPT_NATIVE_H

#include "../crypto/status_code.h"
#include "../keys/keyring.h"
#include "value_types.h"

namespace dbcrypt
{

dbcrypt_status native_encrypt(Ring &ring, dbcrypt_form form, Bytes plaintext, Bytes aad,
							  uint8_t *out);

/* The key that opened it is ring.last(). */
dbcrypt_status native_decrypt(Ring &ring, dbcrypt_form form, Bytes envelope, Bytes aad,
							  uint8_t *out, size_t *plaintext_size);

dbcrypt_status native_reencrypt(Ring &ring, dbcrypt_form form, Bytes envelope, Bytes aad,
								uint8_t *out, bool *changed);

} // namespace dbcrypt

#endif
