#include "crypto/base64.h"

#include <cstring>

#include "support.h"

using namespace dbcrypt;
using namespace test;

namespace
{

std::string
encoded(const Octets &in)
{
	Octets out(base64_encoded_size(in.size()));
	base64_encode(in.data(), in.size(), out.data());
	return text(out);
}

/* "!" when refused. The buffer has only the room that is promised. */
std::string
decoded(std::string_view in)
{
	const Octets source = octets(in);
	Octets out(base64_decoded_max_size(in.size()));
	size_t size = 0;
	if (!base64_decode(source.data(), source.size(), out.data(), &size))
		return "!";
	return {out.begin(), out.begin() + static_cast<ptrdiff_t>(size)};
}

Octets
sample(size_t size)
{
	Octets bytes(size);
	for (size_t i = 0; i < size; i++)
		bytes[i] = static_cast<uint8_t>(i * 167 + i / 3);
	return bytes;
}

} // namespace

/* RFC 4648 section 10. */
TEST(Base64, RfcVectors)
{
	const std::pair<const char *, const char *> cases[] = {{"", ""},
														   {"f", "Zg=="},
														   {"fo", "Zm8="},
														   {"foo", "Zm9v"},
														   {"foob", "Zm9vYg=="},
														   {"fooba", "Zm9vYmE="},
														   {"foobar", "Zm9vYmFy"}};
	for (const auto &[plain, spelled] : cases)
	{
		EXPECT_EQ(encoded(octets(plain)), spelled);
		EXPECT_EQ(decoded(spelled), plain);
	}
}

TEST(Base64, EveryLengthAndEveryByte)
{
	for (size_t size = 0; size < 400; size++)
	{
		const Octets bytes = sample(size);
		EXPECT_EQ(decoded(encoded(bytes)), text(bytes)) << size;
	}
}

TEST(Base64, EncodesInPlace)
{
	for (size_t size = 0; size < 400; size++)
	{
		const Octets bytes = sample(size);
		Octets buffer(base64_encoded_size(size));
		uint8_t *const place = buffer.data() + (buffer.size() - size);
		if (size > 0)
			std::memcpy(place, bytes.data(), size);
		base64_encode(place, size, buffer.data());
		EXPECT_EQ(text(buffer), encoded(bytes)) << size;
	}
}

TEST(Base64, WritesNothingPastTheDecodedBytes)
{
	for (size_t size = 0; size < 100; size++)
	{
		const Octets source = octets(encoded(sample(size)));
		Octets out(size);
		size_t got = 0;
		EXPECT_TRUE(base64_decode(source.data(), source.size(), out.data(), &got));
		EXPECT_EQ(got, size);
	}
}

TEST(Base64, RefusesStrayCharactersAnywhere)
{
	const std::string good = encoded(sample(40)); /* 56 characters, padding 2 */
	for (size_t at = 0; at < good.size(); at++)
		for (const char stray : {'\0', '\n', ' ', '-', '_', '*', '\x80', '\xFF', '.', '\r'})
		{
			std::string bad = good;
			bad[at] = stray;
			EXPECT_EQ(decoded(bad), "!") << at << " " << int{stray};
		}
	for (size_t at = 0; at + 2 < good.size(); at++)
	{
		std::string bad = good;
		bad[at] = '=';
		EXPECT_EQ(decoded(bad), "!") << at;
	}
}

TEST(Base64, RefusesWrongPaddingAndTrailingBits)
{
	for (const char *bad : {"Z", "Zg", "Zg=", "Zm8", "Zg===", "Z===", "====", "=", "Zm9vYg=",
							"Zg==Zg==", "Zm9vYg==\n", "Zh==", "Zm9=", "Zv==", "Z=g=", "=Zg="})
		EXPECT_EQ(decoded(bad), "!") << bad;
}
