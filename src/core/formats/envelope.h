/*
 * envelope.h
 *		The native envelope, format 1. Nothing else knows its offsets.
 *
 *	offset	bytes	field
 *		 0		3	magic 75 B7 35, which base64 spells "dbc1"
 *		 3		1	algorithm: 1 is AES-256-GCM
 *		 4		7	key id
 *		11		1	zero
 *		12	   12	nonce
 *		24		n	ciphertext
 *	  24+n	   16	tag, over the AAD header || caller's AAD and the ciphertext
 *
 * The text form is base64. Every function takes the form; sizes are bytes of
 * that form. aad is the caller's part.
 */
#ifndef DBCRYPT_ENVELOPE_H
#define DBCRYPT_ENVELOPE_H

#include "../crypto/status_code.h"
#include "../keys/key.h"
#include "../keys/keyring.h"
#include "value_types.h"

namespace dbcrypt
{

/* See dbcrypt_envelope_size and dbcrypt_decrypt_room. */
size_t envelope_size(dbcrypt_form form, size_t plaintext_size);
size_t envelope_decrypt_room(dbcrypt_form form, size_t size);

/* Reads the header. start: as dbcrypt_read_header's envelope; size: of the whole. */
dbcrypt_status envelope_read_header(dbcrypt_form form, const uint8_t *start, size_t size,
									KeyId *id);

/* Encrypts under a key whatever its state; out: envelope_size bytes, no overlap. */
void envelope_seal(RingKey &key, dbcrypt_form form, Bytes plaintext, Bytes aad, uint8_t *out);

/* The same with a given nonce: for known answers alone. */
void envelope_seal_with_nonce(RingKey &key, dbcrypt_form form, Bytes plaintext, Bytes aad,
							  const uint8_t *nonce, uint8_t *out);

/* Decrypts with a key that the caller has checked against the header. */
dbcrypt_status envelope_open(RingKey &key, dbcrypt_form form, Bytes envelope, Bytes aad,
							 uint8_t *out, size_t *plaintext_size);

/* From one key to another; out: envelope.size() bytes, no overlap. */
dbcrypt_status envelope_reseal(RingKey &from, RingKey &to, dbcrypt_form form, Bytes envelope,
							   Bytes aad, uint8_t *out);

} // namespace dbcrypt

#endif
