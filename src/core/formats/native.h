/*
 * native.h
 *		Native envelopes under a keyring: finds the key and checks that it may be used.
 *
 * Parameters and results are those of dbcrypt_encrypt, dbcrypt_decrypt and
 * dbcrypt_reencrypt.
 */
#ifndef DBCRYPT_NATIVE_H
#define DBCRYPT_NATIVE_H

#include "../crypto/status_code.h"
#include "../keys/keyring.h"
#include "value_types.h"

namespace dbcrypt
{

dbcrypt_status native_encrypt(Keyring &keyring, dbcrypt_encoding encoding, Bytes plaintext,
							  Bytes aad, uint8_t *out);

/* keyring.last() is then the key that the envelope names, if it is loaded. */
dbcrypt_status native_decrypt(Keyring &keyring, dbcrypt_encoding encoding, Bytes envelope,
							  Bytes aad, uint8_t *out, size_t *plaintext_size);

dbcrypt_status native_reencrypt(Keyring &keyring, dbcrypt_encoding encoding, Bytes envelope,
								Bytes aad, uint8_t *out, bool *changed);

} // namespace dbcrypt

#endif
