#include "key.h"

#include <algorithm>
#include <utility>

#include "../crypto/base64.h"
#include "../crypto/kdf.h"

#include "../crypto/no_postgres.h"

namespace dbcrypt
{

namespace
{

constexpr std::string_view native_info = "dbcrypt/1/aes-256-gcm";
constexpr std::string_view coder_prefix = "aes256gcm";

int
hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

std::optional<Secret>
parse_hex(std::string_view text)
{
	Secret key(key_size);
	auto bytes = reveal_secret(key);
	for (size_t i = 0; i < key_size; i++)
	{
		const int high = hex_value(text[2 * i]);
		const int low = hex_value(text[2 * i + 1]);
		if (high < 0 || low < 0)
			return std::nullopt;
		bytes[i] = static_cast<uint8_t>(high << 4 | low);
	}
	return key;
}

std::optional<Secret>
parse_base64(std::string_view text)
{
	Secret room(base64_decoded_room(text.size()));
	size_t size;
	if (!base64_decode(reinterpret_cast<const uint8_t *>(text.data()), text.size(),
					   reveal_secret(room).data(), &size) ||
		size != key_size)
		return std::nullopt;
	Secret key(key_size);
	std::copy_n(reveal_secret(room).begin(), key_size, reveal_secret(key).begin());
	return key;
}

/* GitLab's rule: whole UTF-8 characters while they fit, then '0' to the end. */
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

Bytes
bytes_of(std::string_view text)
{
	return {reinterpret_cast<const uint8_t *>(text.data()), text.size()};
}

void
spell_hex(Bytes bytes, char *out)
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

std::optional<Secret>
parse_key(std::string_view text)
{
	if (text.substr(0, text_key_prefix.size()) == text_key_prefix)
		return parse_db_key_base(text.substr(text_key_prefix.size()));
	if (text.size() == 2 * key_size)
		return parse_hex(text);
	if (text.size() == base64_encoded_size(key_size))
		return parse_base64(text);
	return std::nullopt;
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
spell_key_id(const KeyId &id, char out[DBCRYPT_KEY_ID_LEN + 1])
{
	spell_hex(id, out);
	out[DBCRYPT_KEY_ID_LEN] = '\0';
}

RingKey::RingKey(Secret bytes) : bytes_(std::move(bytes)), id_(key_id_of(bytes_))
{
	spell_key_id(id_, id_text_);

	Secret prefixed(coder_prefix.size() + key_size);
	const auto place =
		std::copy(coder_prefix.begin(), coder_prefix.end(), reveal_secret(prefixed).begin());
	const auto bytes_held = reveal_secret(std::as_const(bytes_));
	std::copy(bytes_held.begin(), bytes_held.end(), place);
	const auto digest = sha256(reveal_secret(prefixed));
	char digits[coder_id_size + 1];
	spell_hex(Bytes(digest).first((coder_id_size + 1) / 2), digits);
	std::copy_n(digits, coder_id_size, coder_id_);
	coder_id_[coder_id_size] = '\0';
}

Aead &
RingKey::native()
{
	if (!native_) [[unlikely]]
		native_ = make_aead(hkdf("SHA256", bytes_, {}, bytes_of(native_info), Aead::key_size));
	return *native_;
}

Aead &
RingKey::raw()
{
	if (!raw_) [[unlikely]]
	{
		Secret copy(key_size);
		const auto bytes = reveal_secret(std::as_const(bytes_));
		std::copy(bytes.begin(), bytes.end(), reveal_secret(copy).begin());
		raw_ = make_aead(std::move(copy));
	}
	return *raw_;
}

Aead &
RingKey::derived(Bytes salt, Bytes info)
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
