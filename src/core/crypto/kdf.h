/*
 * kdf.h
 *		Key derivation: SHA-256 (FIPS 180-4), HKDF (RFC 5869) and PBKDF2 (RFC 8018).
 *
 * All throw CoreError(DBCRYPT_INTERNAL) when OpenSSL fails.
 */
#ifndef DBCRYPT_KDF_H
#define DBCRYPT_KDF_H

#include <array>

#include "secret.h"

namespace dbcrypt
{

/* SHA-256 of data. */
std::array<uint8_t, 32> sha256(Bytes data);

/*
 * HKDF with the digest of that name in OpenSSL. An empty salt is a salt of zeros
 * (RFC 5869 section 2.2). size is the length of the result in bytes.
 */
Secret hkdf(const char *digest, const Secret &key, Bytes salt, Bytes info, size_t size);

/* PBKDF2 with HMAC-SHA-1; slow on purpose, in proportion to rounds. */
Secret pbkdf2_sha1(const Secret &password, Bytes salt, int rounds, size_t size);

} // namespace dbcrypt

#endif
