/*
 * canary.h
 *		A key's canary: tells two keys with one id apart, and opens nothing.
 */
#ifndef DBCRYPT_CANARY_H
#define DBCRYPT_CANARY_H

#include <array>

#include "../crypto/base64.h"
#include "key.h"

namespace dbcrypt
{

constexpr size_t canary_size = base64_encoded_size(7 + Aead::tag_size); /* characters */

/*
 * The text "dbcrypt", encrypted with AES-256-GCM under a key of its own
 * (HKDF-SHA256, info "dbcrypt/1/canary") and written as base64: ciphertext || tag. It
 * is too short for an envelope, and no value is encrypted under that key. A key has
 * one canary only: the nonce is zero, for nothing else is ever encrypted.
 */
std::array<char, canary_size> canary_of(const Key &key);

} // namespace dbcrypt

#endif
