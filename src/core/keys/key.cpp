#include "key.h"

#include <algorithm>
#include <utility>

#include "../crypto/aead_choice.h"
#include "../crypto/base64.h"
#include "../crypto/hex.h"
#include "../crypto/kdf.h"

#include "../crypto/no_postgres.h"

namespace dbcrypt
{

namespace
{

constexpr std::string_view native_info = "dbcrypt/1/aes-256-gcm";
constexpr std::string_view coder_prefix = "aes256gcm";

/* Reads two digits for each byte of out. False for what is not hex. */
bool
parse_hex(std::string_view text, std::span<uint8_t> out)
{
	for (size_t i = 0; i < out.size(); i++)
	{
		const int high = hex_value(static_cast<uint8_t>(text[2 * i]));
		const int low = hex_value(static_cast<uint8_t>(text[2 * i + 1]));
		if (high < 0 || low < 0)
			return false;
		out[i] = static_cast<uint8_t>(high << 4 | low);
	}
	return true;
}

/* A key as 64 hex digits. */
std::optional<Secret>
parse_hex_key(std::string_view text)
{
	Secret key(key_size);
	if (!parse_hex(text, reveal_secret(key)))
		return std::nullopt;
	return key;
}

/* A key as base64. */
std::optional<Secret>
parse_base64_key(std::string_view text)
{
	Secret decoded(base64_decoded_max_size(text.size()));
	size_t size;
	if (!base64_decode(reinterpret_cast<const uint8_t *>(text.data()), text.size(),
					   reveal_secret(decoded).data(), &size) ||
		size != key_size)
		return std::nullopt;
	Secret key(key_size);
	std::copy_n(reveal_secret(decoded).begin(), key_size, reveal_secret(key).begin());
	return key;
}

/*
 * GitLab's rule: the key is the first 32 bytes of the text. A UTF-8 character that
 * does not fit is left out as a whole, and the digit '0' fills what is left.
 */
std::optional<Secret>
parse_db_key_base(std::string_view text)
{
	if (text.empty())
		return std::nullopt;
	size_t size = std::min(text.size(), key_size);
	if (text.size() > key_size)
		while (size > 0 && (static_cast<uint8_t>(text[size]) & 0xC0) == 0x80)
			size--;
	Secret key(key_size);
	const auto bytes = reveal_secret(key);
	std::fill(bytes.begin(), bytes.end(), uint8_t{'0'});
	std::copy_n(text.begin(), size, bytes.begin());
	return key;
}

/* The bytes of a text. */
Bytes
bytes_of(std::string_view text)
{
	return {reinterpret_cast<const uint8_t *>(text.data()), text.size()};
}

/* Writes two lower-case digits for each byte, and no NUL. */
void
encode_hex(Bytes bytes, char *out)
{
	constexpr char digits[] = "0123456789abcdef";
	for (const uint8_t byte : bytes)
	{
		*out++ = digits[byte >> 4];
		*out++ = digits[byte & 15];
	}
}

} // namespace

bool
ends_text_key(char c)
{
	return std::string_view(" \t\r\n\f\v,'\"\\").find(c) != std::string_view::npos || c == '\0';
}

size_t
text_prefix_size(std::string_view text)
{
	for (const auto prefix : {text_key_prefix, short_text_key_prefix})
		if (text.starts_with(prefix))
			return prefix.size();
	return 0;
}

std::optional<Secret>
parse_key(std::string_view text)
{
	if (const size_t prefix = text_prefix_size(text))
		return parse_db_key_base(text.substr(prefix));
	if (text.size() == 2 * key_size)
		return parse_hex_key(text);
	if (text.size() == base64_encoded_size(key_size))
		return parse_base64_key(text);
	return std::nullopt;
}

bool
is_one_byte(const Secret &key)
{
	const auto bytes = reveal_secret(key);
	return std::all_of(bytes.begin(), bytes.end(), [&](uint8_t byte) { return byte == bytes[0]; });
}

bool
is_short_text(std::string_view text)
{
	const size_t prefix = text_prefix_size(text);
	const auto begins_character = [](char c)
	{
		return (static_cast<uint8_t>(c) & 0xC0) != 0x80;
	};
	return prefix > 0 && std::count_if(text.begin() + static_cast<ptrdiff_t>(prefix), text.end(),
									   begins_character) < static_cast<ptrdiff_t>(key_size);
}

KeyId
key_id_of(const Secret &key)
{
	const auto digest = sha256(reveal_secret(key));
	KeyId id;
	std::copy_n(digest.begin(), id.size(), id.begin());
	return id;
}

void
encode_key_id(const KeyId &id, char out[DBCRYPT_KEY_ID_LEN + 1])
{
	encode_hex(id, out);
	out[DBCRYPT_KEY_ID_LEN] = '\0';
}

std::optional<KeyId>
parse_key_id(std::string_view text)
{
	KeyId id;
	if (text.size() != 2 * id.size() || !parse_hex(text, id))
		return std::nullopt;
	return id;
}

Key::Key(SourceKey &&source)
	: bytes_(std::move(source.bytes)), weak_(source.weak), text_(std::move(source.text)),
	  id_(key_id_of(bytes_))
{
	encode_key_id(id_, id_text_);

	Secret prefixed(coder_prefix.size() + key_size);
	const auto after_prefix =
		std::copy(coder_prefix.begin(), coder_prefix.end(), reveal_secret(prefixed).begin());
	const auto key = reveal_secret(std::as_const(bytes_));
	std::copy(key.begin(), key.end(), after_prefix);
	const auto digest = sha256(reveal_secret(prefixed));
	char digits[8]; /* of which Coder takes 7 */
	encode_hex(Bytes(digest).first(4), digits);
	std::copy_n(digits, coder_id_.size(), coder_id_.begin());
	std::copy(coder_id_.begin(), coder_id_.end(), coder_id_text_);
	coder_id_text_[coder_id_.size()] = '\0';
}

Aead &
Key::native()
{
	if (!native_) [[unlikely]]
		native_ = make_aead(hkdf("SHA256", bytes_, {}, bytes_of(native_info), Aead::key_size));
	return *native_;
}

Aead &
Key::raw()
{
	if (!raw_) [[unlikely]]
	{
		Secret copy(key_size);
		const auto key = reveal_secret(std::as_const(bytes_));
		std::copy(key.begin(), key.end(), reveal_secret(copy).begin());
		raw_ = make_aead(std::move(copy));
	}
	return *raw_;
}

Aead &
Key::derived(Bytes salt, Bytes info)
{
	const auto same = [](Bytes a, const std::vector<uint8_t> &b)
	{
		return std::equal(a.begin(), a.end(), b.begin(), b.end());
	};
	if (!derived_ || !same(salt, derived_salt_) || !same(info, derived_info_)) [[unlikely]]
	{
		derived_.reset();
		derived_salt_.assign(salt.begin(), salt.end());
		derived_info_.assign(info.begin(), info.end());
		derived_ = make_aead(hkdf("SHA384", bytes_, salt, info, Aead::key_size));
	}
	return *derived_;
}

} // namespace dbcrypt
