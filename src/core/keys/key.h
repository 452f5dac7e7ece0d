/*
 * key.h
 *		One key: how it is written, its ids, and the ciphers that use it.
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

constexpr size_t key_size = 32; /* bytes */

/* The first 7 bytes of SHA-256(key). */
using KeyId = std::array<uint8_t, DBCRYPT_KEY_ID_LEN / 2>;

/* Coder's: the first 7 hex digits of SHA-256("aes256gcm" || key). */
using CoderId = std::array<char, 7>;

/* Before a GitLab db_key_base. The text itself is the key; it is not hex or base64. */
constexpr std::string_view text_key_prefix = "text:";

/* The same where the text is known to be short. */
constexpr std::string_view short_text_key_prefix = "text-short:";

/* The length of the prefix that a text key begins with, 0 for another key. */
size_t text_prefix_size(std::string_view text);

/* Whether c ends a text: key that stands among other text, as in a list or a statement. */
bool ends_text_key(char c);

/*
 * The key that is written as 64 hex digits, as the base64 of 32 bytes, or as
 * text:... or text-short:...; nothing for anything else. See dbcrypt_ring_add_list.
 */
std::optional<Secret> parse_key(std::string_view text);

/* Whether a key is one byte again and again: a placeholder, or made by hand. */
bool is_one_byte(const Secret &key);

/* Whether a text key has fewer than 32 characters (UTF-8): a password, or no random one. */
bool is_short_text(std::string_view text);

/* A key as a source holds it. */
struct SourceKey
{
	Secret bytes;
	bool weak;
	Secret text = Secret(0); /* the whole of a text key, of which bytes are the first 32 */
};

/* The id of a key. */
KeyId key_id_of(const Secret &key);

/* Writes a key id as lower-case hex and a NUL. */
void encode_key_id(const KeyId &id, char out[DBCRYPT_KEY_ID_LEN + 1]);

/* The key id that is written as 14 hex digits, of either case; nothing for anything else. */
std::optional<KeyId> parse_key_id(std::string_view text);

/* A key of the keyring, with its ciphers. Each cipher is made when it is first used. */
class Key
{
public:
	/* source.bytes: key_size of them. */
	explicit Key(SourceKey &&source);

	const KeyId &id() const { return id_; }
	const CoderId &coder_id() const { return coder_id_; }
	const Secret &bytes() const { return bytes_; }
	bool is_weak() const { return weak_; }

	/* The whole of a text key, from which some schemes derive; empty for other keys. */
	const Secret &text() const { return text_; }

	/* Both ids as text with a NUL. The key owns the text. */
	const char *id_text() const { return id_text_; }
	const char *coder_id_text() const { return coder_id_text_; }

	/* For native envelopes: HKDF-SHA256(key, no salt, "dbcrypt/1/aes-256-gcm"). */
	Aead &native();

	/* For schemes that use the key as it is. */
	Aead &raw();

	/*
	 * For lockbox: HKDF-SHA384(key, salt, info). Kept until another salt or info is
	 * asked for.
	 */
	Aead &derived(Bytes salt, Bytes info);

	unsigned state = 0; /* an OR of dbcrypt_key_state */

private:
	Secret bytes_;
	bool weak_;
	Secret text_;
	KeyId id_;
	CoderId coder_id_;
	char id_text_[DBCRYPT_KEY_ID_LEN + 1];
	char coder_id_text_[std::tuple_size_v<CoderId> + 1];
	std::unique_ptr<Aead> native_;
	std::unique_ptr<Aead> raw_;
	std::unique_ptr<Aead> derived_;
	std::vector<uint8_t> derived_salt_;
	std::vector<uint8_t> derived_info_;
};

} // namespace dbcrypt

#endif
