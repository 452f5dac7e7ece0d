#include "canary.h"

#include <string_view>

#include "../crypto/aead_choice.h"
#include "../crypto/kdf.h"

#include "../crypto/no_postgres.h"

namespace dbcrypt
{

namespace
{

constexpr std::string_view canary_text = "dbcrypt";
constexpr std::string_view canary_info = "dbcrypt/1/canary";

/* The bytes of a text. */
Bytes
bytes_of(std::string_view text)
{
	return {reinterpret_cast<const uint8_t *>(text.data()), text.size()};
}

} // namespace

std::array<char, canary_size>
canary_of(const Key &key)
{
	constexpr uint8_t nonce[12] = {};
	std::array<uint8_t, canary_text.size() + Aead::tag_size> sealed;
	static_assert(base64_encoded_size(sealed.size()) == canary_size);

	const auto aead =
		make_aead(hkdf("SHA256", key.bytes(), {}, bytes_of(canary_info), Aead::key_size));
	aead->seal(nonce, {}, bytes_of(canary_text), sealed.data());

	std::array<char, canary_size> canary;
	base64_encode(sealed.data(), sealed.size(), reinterpret_cast<uint8_t *>(canary.data()));
	return canary;
}

} // namespace dbcrypt
