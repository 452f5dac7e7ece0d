/*
 * envelope.h
 *		The native envelope, format 1. Only this file and its .cpp know the offsets.
 *
 *	offset	bytes	field
 *		 0		3	magic 75 B7 35: "dbc1" in base64
 *		 3		1	algorithm: 1 is AES-256-GCM
 *		 4		7	key id
 *		11		1	zero
 *		12	   12	nonce
 *		24		n	ciphertext
 *	  24+n	   16	tag, over the AAD header || caller's AAD and the ciphertext
 *
 * AES-256-GCM is NIST SP 800-38D. The text form is base64 (RFC 4648 section 4).
 * Sizes are bytes of the form that a function is given. aad is the caller's part.
 */
#ifndef DBCRYPT_ENVELOPE_H
#define DBCRYPT_ENVELOPE_H

#include "../crypto/status_code.h"
#include "../keys/key.h"
#include "../keys/keyring.h"
#include "value_types.h"

namespace dbcrypt
{

/* See dbcrypt_envelope_size and dbcrypt_decrypt_max_size. */
size_t envelope_size(dbcrypt_encoding encoding, size_t plaintext_size);
size_t envelope_decrypt_max_size(dbcrypt_encoding encoding, size_t size);

/*
 * Reads the header; see dbcrypt_read_header. start may point to the first bytes only;
 * size is the size of the whole envelope.
 */
dbcrypt_status envelope_read_header(dbcrypt_encoding encoding, const uint8_t *start, size_t size,
									KeyId *id);

/*
 * Encrypts under a key, whose state is not looked at. out has envelope_size bytes and
 * does not overlap the plaintext.
 */
void envelope_seal(Key &key, dbcrypt_encoding encoding, Bytes plaintext, Bytes aad, uint8_t *out);

/* The same with a given nonce. Only for tests with known answers. */
void envelope_seal_with_nonce(Key &key, dbcrypt_encoding encoding, Bytes plaintext, Bytes aad,
							  const uint8_t *nonce, uint8_t *out);

/* Decrypts. The caller has checked that the header names this key. */
dbcrypt_status envelope_open(Key &key, dbcrypt_encoding encoding, Bytes envelope, Bytes aad,
							 uint8_t *out, size_t *plaintext_size);

/*
 * Decrypts under one key and encrypts under another, with a new nonce. out has
 * envelope.size() bytes and does not overlap the envelope.
 */
dbcrypt_status envelope_reseal(Key &from, Key &to, dbcrypt_encoding encoding, Bytes envelope,
							   Bytes aad, uint8_t *out);

} // namespace dbcrypt

#endif
