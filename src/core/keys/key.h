/*
 * key.h
 *		A ring key: how it is spelled, its id, and the keys derived from it.
 */
#ifndef DBCRYPT_KEY_H
#define DBCRYPT_KEY_H

#include <array>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "../crypto/aead.h"
#include "../crypto/secret.h"
#include "key_types.h"

namespace dbcrypt
{

constexpr size_t key_size = 32;

using KeyId = std::array<uint8_t, DBCRYPT_KEY_ID_LEN / 2>;

/* Before a GitLab db_key_base, which is text and not the spelling of a key. */
constexpr std::string_view text_key_prefix = "text:";

/* Whether c ends a text: key where it stands among other text, as in a list or statement. */
bool ends_text_key(char c);

/* The key that 64 hex digits, the base64 of 32 bytes or text:... spell, else nothing. */
std::optional<Secret> parse_key(std::string_view text);

/* The first bytes of SHA-256(key). */
KeyId key_id_of(const Secret &key);

/* A key id as lower-case hex and a NUL. */
void spell_key_id(const KeyId &id, char out[DBCRYPT_KEY_ID_LEN + 1]);

/* A key of the ring with its contexts. */
class RingKey
{
public:
	/* bytes: key_size of them. */
	explicit RingKey(Secret bytes);

	const KeyId &id() const { return id_; }
	const char *id_text() const { return id_text_; }
	const Secret &bytes() const { return bytes_; }
	/* Coder's: the first 7 hex digits of SHA-256("aes256gcm" || key), and a NUL. */
	const char *coder_id() const { return coder_id_; }

	/* Ciphers, made at their first use: native envelopes' ... */
	Aead &native();
	/* ... that of the key as it is, ... */
	Aead &raw();
	/* ... and that of HKDF-SHA384 with this salt and info; the last one is kept. */
	Aead &derived(Bytes salt, Bytes info);

	static constexpr size_t coder_id_size = 7;

	unsigned state = 0; /* an OR of dbcrypt_key_state */

private:
	Secret bytes_;
	KeyId id_;
	char id_text_[DBCRYPT_KEY_ID_LEN + 1];
	char coder_id_[coder_id_size + 1];
	std::unique_ptr<Aead> native_;
	std::unique_ptr<Aead> raw_;
	std::unique_ptr<Aead> derived_;
	std::vector<uint8_t> derived_salt_;
	std::vector<uint8_t> derived_info_;
};

} // namespace dbcrypt

#endif
