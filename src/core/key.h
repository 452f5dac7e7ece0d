/*
 * key.h
 *		A ring key: how it is spelled, its id, and the keys derived from it.
 */
#ifndef DBCRYPT_KEY_H
#define DBCRYPT_KEY_H

#include <array>
#include <optional>
#include <string_view>

#include "aead.h"
#include "core.h"
#include "secret.h"

namespace dbcrypt
{

constexpr size_t key_size = 32;

using KeyId = std::array<uint8_t, DBCRYPT_KEY_ID_LEN / 2>;

/* The key that 64 hex digits or the base64 of 32 bytes spell, else nothing. */
std::optional<Secret> parse_key(std::string_view text);

/* The first bytes of SHA-256(key). */
KeyId key_id_of(const Secret &key);

/* A key id as lower-case hex and a NUL. */
void spell_key_id(const KeyId &id, char out[DBCRYPT_KEY_ID_LEN + 1]);

/* HKDF (RFC 5869) with the named digest; size is the output length in bytes. */
Secret hkdf(const char *digest, const Secret &key, Bytes salt, Bytes info, size_t size);

/* A key of the ring with its contexts. */
class RingKey
{
public:
	/* bytes: key_size of them. */
	explicit RingKey(Secret bytes);

	const KeyId &id() const { return id_; }
	const char *id_text() const { return id_text_; }
	const Secret &bytes() const { return bytes_; }

	/* The cipher of native envelopes, derived at its first use. */
	Aead &native();

	unsigned state = 0; /* an OR of dbcrypt_key_state */

private:
	Secret bytes_;
	KeyId id_;
	char id_text_[DBCRYPT_KEY_ID_LEN + 1];
	std::optional<Aead> native_;
};

} // namespace dbcrypt

#endif
