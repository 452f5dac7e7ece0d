/*
 * kdf.h
 *		SHA-256 and HKDF (RFC 5869).
 */
#ifndef DBCRYPT_KDF_H
#define DBCRYPT_KDF_H

#include <array>

#include "secret.h"

namespace dbcrypt
{

std::array<uint8_t, 32> sha256(Bytes data);

/* HKDF with the named digest; size is the output length in bytes. */
Secret hkdf(const char *digest, const Secret &key, Bytes salt, Bytes info, size_t size);

} // namespace dbcrypt

#endif
