#include "keys/key.h"

#include "crypto/kdf.h"

#include "support.h"

using namespace dbcrypt;
using namespace test;

namespace
{

Octets
bytes_of_key(std::string_view text)
{
	const auto key = parse_key(text);
	if (!key)
		return {};
	const auto bytes = reveal_secret(*key);
	return {bytes.begin(), bytes.end()};
}

} // namespace

TEST(Key, ParsesHexAndBase64)
{
	EXPECT_EQ(bytes_of_key(hex_key(0x61)), Octets(32, 0x61));
	EXPECT_EQ(bytes_of_key("YWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWE="), Octets(32, 0x61));
	EXPECT_EQ(bytes_of_key(std::string(32, 'a') + std::string(32, 'F')),
			  unhex(std::string(32, 'a') + std::string(32, 'f')));
}

TEST(Key, RefusesAnythingElse)
{
	const std::string base64 = "YWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWE=";
	for (const std::string &bad :
		 {std::string(), std::string("a"), hex_key(1).substr(1), hex_key(1) + "0",
		  hex_key(1).substr(0, 63) + "g", " " + hex_key(1).substr(1), base64.substr(0, 43),
		  base64 + "=", base64.substr(0, 42) + "==", base64.substr(0, 42) + "F=",
		  std::string(44, 'A') /* 33 bytes */, "-" + base64.substr(1)})
		EXPECT_TRUE(bytes_of_key(bad).empty()) << bad;
}

/* GitLab's rule for db_key_base. */
TEST(Key, TextIsCutAtAWholeCharacterAndFilledUp)
{
	EXPECT_EQ(bytes_of_key("text:aaaaaaaaaa"), octets("aaaaaaaaaa" + std::string(22, '0')));
	EXPECT_EQ(bytes_of_key("text:" + hex_key(0x61)), octets(hex_key(0x61).substr(0, 32)));
	EXPECT_EQ(bytes_of_key("text:" + std::string(32, 'x')), Octets(32, 'x'));
	/* Characters of two and of four bytes that do not fit. */
	EXPECT_EQ(bytes_of_key("text:" + std::string(31, 'x') + "\xC3\xA9z"),
			  octets(std::string(31, 'x') + "0"));
	EXPECT_EQ(bytes_of_key("text:" + std::string(29, 'x') + "\xF0\x9F\x94\x91z"),
			  octets(std::string(29, 'x') + "000"));
	EXPECT_EQ(bytes_of_key("text:" + std::string(28, 'x') + "\xF0\x9F\x94\x91z"),
			  octets(std::string(28, 'x') + "\xF0\x9F\x94\x91"));
	EXPECT_TRUE(bytes_of_key("text:").empty());
}

/* text-short: is the same key as text:, and says that somebody knows that it is short. */
TEST(Key, ShortTextIsTheSameKey)
{
	EXPECT_EQ(bytes_of_key("text-short:abc"), bytes_of_key("text:abc"));
	EXPECT_TRUE(bytes_of_key("text-short:").empty());
	EXPECT_TRUE(bytes_of_key("text-shor:abc").empty());
}

TEST(Key, IsWeakWhereItIsOneByteOrAShortText)
{
	EXPECT_TRUE(is_one_byte(secret(Octets(32, 0))));
	EXPECT_TRUE(is_one_byte(secret(Octets(32, 0xA5))));
	for (const size_t other : {0U, 1U, 31U})
	{
		Octets bytes(32, 7);
		bytes[other] = 8;
		EXPECT_FALSE(is_one_byte(secret(bytes))) << other;
	}
	const std::string characters = "\xC3\xA9\xE2\x82\xAC\xF0\x9F\x94\x91"; /* of 2, 3 and 4 bytes */
	for (const std::string prefix : {"text:", "text-short:"})
	{
		EXPECT_TRUE(is_short_text(prefix + "a"));
		EXPECT_TRUE(is_short_text(prefix + std::string(31, 'x')));
		EXPECT_FALSE(is_short_text(prefix + std::string(32, 'x')));
		EXPECT_TRUE(is_short_text(prefix + std::string(28, 'x') + characters));
		EXPECT_FALSE(is_short_text(prefix + std::string(29, 'x') + characters));
	}
	EXPECT_FALSE(is_short_text(hex_key(1)));
	EXPECT_FALSE(is_short_text(""));
}

TEST(Key, IdIsTheStartOfSha256)
{
	char id[DBCRYPT_KEY_ID_LEN + 1];
	encode_key_id(key_id_of(secret(Octets(32, 0))), id);
	/* SHA-256 of 32 zero bytes: 66687aadf862bd776c8fc18b8e9f8e20... */
	EXPECT_STREQ(id, "66687aadf862bd");
}

/* RFC 5869, appendix A.1 to A.3. */
TEST(Key, HkdfKnownAnswers)
{
	const auto answer = [](const Octets &ikm, const Octets &salt, const Octets &info, size_t size)
	{
		const Secret derived = hkdf("SHA256", secret(ikm), salt, info, size);
		const auto bytes = reveal_secret(derived);
		return hex({bytes.begin(), bytes.end()});
	};
	EXPECT_EQ(
		answer(Octets(22, 0x0b), unhex("000102030405060708090a0b0c"), unhex("f0f1f2f3f4f5f6f7f8f9"),
			   42),
		"3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865");
	EXPECT_EQ(
		answer(Octets(22, 0x0b), {}, {}, 42),
		"8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8");
}

TEST(Secret, MovesAndNeverCopies)
{
	Secret a = secret({1, 2, 3});
	const uint8_t *const place = reveal_secret(a).data();
	Secret b = std::move(a);
	EXPECT_EQ(reveal_secret(b).data(), place);
	EXPECT_EQ(b.size(), 3U);
	Secret c = secret({9});
	c = std::move(b);
	EXPECT_EQ(reveal_secret(c).data(), place);
	static_assert(!std::is_copy_constructible_v<Secret> && !std::is_copy_assignable_v<Secret>);
}

TEST(Secret, Cleanses)
{
	Octets bytes(64, 7);
	dbcrypt_cleanse(bytes.data(), bytes.size());
	EXPECT_EQ(bytes, Octets(64, 0));
	dbcrypt_cleanse(nullptr, 0);
	{
		WipeUnlessKept wipe(bytes.data(), 8);
		bytes.assign(64, 7);
	}
	EXPECT_EQ(Octets(bytes.begin(), bytes.begin() + 8), Octets(8, 0));
	{
		WipeUnlessKept wipe(bytes.data() + 8, 8);
		wipe.keep();
	}
	EXPECT_EQ(Octets(bytes.begin() + 8, bytes.end()), Octets(56, 7));
}
