// The search for envelopes within other bytes, and what looks encrypted.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "api/search.h"
#include "crypto/base64.h"
#include "crypto/random.h"

namespace
{

const std::string base64 = "dbc1AXLNboQixAcA";
const std::string hex = "75b7350172cd6e8422c40700";
const std::string key_id = "72cd6e8422c407";

struct Found
{
	size_t begin;
	std::string key_id;
	bool operator==(const Found &) const = default;
};

std::vector<Found>
search(const std::string &text)
{
	// A copy of its own, so that the sanitizer sees a read behind its end.
	const std::vector<char> copy(text.begin(), text.end());
	std::vector<Found> all;
	dbcrypt_found found{};
	while (dbcrypt_search_envelope(reinterpret_cast<const uint8_t *>(copy.data()), copy.size(),
								   found.end, &found))
		all.push_back({found.begin, found.key_id});
	return all;
}

TEST(Search, FindsAHeaderAtEveryPlace)
{
	for (const auto &spelling : {base64, hex})
		for (size_t before = 0; before < 40; before++)
			for (size_t after = 0; after < 20; after++)
			{
				const std::string text =
					std::string(before, '7') + spelling + std::string(after, 'd');
				ASSERT_EQ(search(text), (std::vector<Found>{{before, key_id}})) << text;
			}
}

TEST(Search, FindsEverySpelling)
{
	std::string upper = hex;
	std::transform(upper.begin(), upper.end(), upper.begin(), ::toupper);
	EXPECT_EQ(search("\\x" + upper), (std::vector<Found>{{2, key_id}}));
	EXPECT_EQ(search(R"({"a":"dbc1Af\/\/\/\/\/\/\/\/AA"})"),
			  (std::vector<Found>{{6, "fffffffffffff0"}}));
	EXPECT_EQ(search(base64 + base64 + hex),
			  (std::vector<Found>{{0, key_id}, {16, key_id}, {32, key_id}}));
}

// The header with one character, or each, replaced by what a program makes of it.
std::string
spelled(size_t at, const std::string &before, const std::string &after)
{
	std::string text;
	for (size_t i = 0; i < base64.size(); i++)
	{
		char digits[8];
		std::snprintf(digits, sizeof(digits), "%02x", static_cast<unsigned>(base64[i]));
		text += at == i || at == std::string::npos ? before + digits + after
												   : std::string(1, base64[i]);
	}
	return text;
}

TEST(Search, FindsEscapedCharacters)
{
	using Escape = std::pair<std::string, std::string>;
	for (const auto &[before, after] :
		 {Escape(R"(\u00)", ""), Escape(R"(\\u00)", ""), Escape(R"(\\\\u00)", ""),
		  Escape(R"(\\\\\\\\u00)", ""), Escape("%", ""), Escape("%25", ""), Escape("%2525", ""),
		  Escape("&#x", ";"), Escape("&amp;#x00", ";")})
		for (size_t at = 0; at <= base64.size(); at++)
			for (size_t blanks = 0; blanks < 12; blanks++)
			{
				const std::string text =
					std::string(blanks, ' ') +
					spelled(at < base64.size() ? at : std::string::npos, before, after) + "x";
				ASSERT_EQ(search(text), (std::vector<Found>{{blanks, key_id}})) << text;
			}
	EXPECT_EQ(search("dbc1Af&#43;&#43;//%2F%2B&#47;&amp;#47;AA").size(), 1U);
	EXPECT_EQ(search(R"(dbc1Af\u002b\u002B\/\\\/\\u002f///AA)").size(), 1U);
	EXPECT_EQ(search("dbc1Af-___-___AA").size(), 1U);
	EXPECT_EQ(search("dbc1Af-___-___AA"), search("dbc1Af+///+///AA"));
}

TEST(Search, FindsAHeaderInLines)
{
	for (const std::string &line_break :
		 {std::string("\n"), std::string("\r\n"), std::string("\n\t "), std::string("=\r\n"),
		  std::string("=\n"), std::string(R"(\n)"), std::string(R"(\r\n)"), std::string(R"(\\n)"),
		  std::string("%0D%0A"), std::string("&#13;&#10;"), std::string("&#xa;"),
		  std::string(R"(\u000a)")})
		for (const auto &spelling : {base64, hex})
			for (size_t width = 1; width < spelling.size(); width++)
			{
				std::string text = "x";
				for (size_t at = 0; at < spelling.size(); at += width)
					text += (at > 0 ? line_break : "") + spelling.substr(at, width);
				ASSERT_EQ(search(text), (std::vector<Found>{{1, key_id}})) << text;
			}
}

TEST(Search, FindsNoHeaderThatIsTooLong)
{
	const std::string longest = "dbc1" + std::string(DBCRYPT_LONGEST_HEADER - 16, '\n');
	EXPECT_EQ(search(longest + "AXLNboQixAcA").size(), 1U);
	EXPECT_TRUE(search(longest + "\nAXLNboQixAcA").empty());
	EXPECT_TRUE(search(std::string(1000, '\\') + "u0064bc").empty());
	EXPECT_EQ(search(std::string(20, '\\') + "u0064bc1AXLNboQixAcA"),
			  (std::vector<Found>{{5, key_id}}));
}

TEST(Search, PassesOverWhatIsNoHeader)
{
	for (const std::string &text :
		 {std::string(), std::string("dbc1"), std::string("75b735"), base64.substr(0, 15),
		  hex.substr(0, 23),
		  std::string("dbc1AXLNboQixAcB"),		   // another format
		  std::string("dbc1AnLNboQixAcA"),		   // another algorithm
		  std::string("dbc1AXLNboQixA A"),		   // no base64
		  std::string("75b7350172cd6e8422c40701"), // another format
		  std::string("75b7350172cd6e8422c407g0"), std::string(R"(\u0164bc1AXLNboQixAcA)"),
		  std::string(R"(\u006bc1AXLNboQixAcA)"), // no digit
		  std::string("&#100bc1AXLNboQixAcA"),	  // no end
		  std::string("&#x164;bc1AXLNboQixAcA"), std::string("d\rbc1AXLNboQixAcA"),
		  std::string("%6"), std::string("&amp;#"), std::string("\\"), std::string("\\u006")})
		EXPECT_TRUE(search(text).empty()) << text;
}

TEST(Search, AStartThatFailsHidesNothingBehindIt)
{
	EXPECT_EQ(search("dbc1dbc1dbc1" + base64), (std::vector<Found>{{12, key_id}}));
	EXPECT_EQ(search("75b775b735" + hex), (std::vector<Found>{{10, key_id}}));
}

using Values = std::vector<std::vector<uint8_t>>;

bool
looks_encrypted(dbcrypt_encoding encoding, const Values &values, bool has_companion = false)
{
	dbcrypt_sample sample{};
	uint32_t decoded;
	for (const auto &value : values)
		dbcrypt_sample_add(&sample, encoding, value.data(), value.size());
	return dbcrypt_sample_looks_encrypted(&sample, has_companion, &decoded);
}

// Values of random bytes, of these sizes in turn.
Values
random_values(size_t count, std::initializer_list<size_t> sizes)
{
	Values values;
	for (size_t i = 0; i < count; i++)
	{
		std::vector<uint8_t> value(*(sizes.begin() + static_cast<ptrdiff_t>(i % sizes.size())));
		for (size_t j = 0; j < value.size(); j++)
		{
			uint8_t nonce[12];
			dbcrypt::random_nonce(nonce);
			value[j] = nonce[11];
		}
		values.push_back(value);
	}
	return values;
}

Values
as_base64(const Values &values)
{
	Values texts;
	for (const auto &value : values)
	{
		texts.emplace_back(dbcrypt::base64_encoded_size(value.size()));
		dbcrypt::base64_encode(value.data(), value.size(), texts.back().data());
	}
	return texts;
}

TEST(Looks, RandomBytesLookEncrypted)
{
	const Values values = random_values(300, {28, 45, 60, 200});
	EXPECT_TRUE(looks_encrypted(DBCRYPT_ENCODING_BINARY, values));
	EXPECT_TRUE(looks_encrypted(DBCRYPT_ENCODING_TEXT, as_base64(values)));
	EXPECT_FALSE(looks_encrypted(DBCRYPT_ENCODING_TEXT, values));
}

TEST(Looks, DigestsDoNotUnlessACompanionSaysSo)
{
	for (const size_t size : {28, 32, 48, 64})
	{
		const Values values = random_values(100, {size});
		EXPECT_FALSE(looks_encrypted(DBCRYPT_ENCODING_BINARY, values)) << size;
		EXPECT_TRUE(looks_encrypted(DBCRYPT_ENCODING_BINARY, values, true)) << size;
	}
	EXPECT_FALSE(looks_encrypted(DBCRYPT_ENCODING_BINARY, random_values(100, {12, 16, 20}), true));
}

TEST(Looks, TextAndFilesDoNot)
{
	Values words;
	for (int i = 0; i < 200; i++)
	{
		const std::string text =
			"The quick brown fox number " + std::to_string(i) + " jumps over it";
		words.emplace_back(text.begin(), text.end());
	}
	EXPECT_FALSE(looks_encrypted(DBCRYPT_ENCODING_BINARY, words));
	EXPECT_FALSE(looks_encrypted(DBCRYPT_ENCODING_TEXT, as_base64(words)));
	Values files = random_values(200, {100, 200});
	for (auto &file : files)
		std::memcpy(file.data(), "\x89PNG", 4);
	EXPECT_FALSE(looks_encrypted(DBCRYPT_ENCODING_BINARY, files));
}

TEST(Looks, TooLittleDoesNot)
{
	EXPECT_FALSE(looks_encrypted(DBCRYPT_ENCODING_BINARY, {}));
	EXPECT_FALSE(looks_encrypted(DBCRYPT_ENCODING_BINARY, random_values(1, {500})));
	EXPECT_FALSE(looks_encrypted(DBCRYPT_ENCODING_BINARY, random_values(2, {40, 41})));
	EXPECT_FALSE(looks_encrypted(DBCRYPT_ENCODING_BINARY, Values(100, random_values(1, {60})[0])));
}

TEST(Looks, SamplesTheWholeColumn)
{
	// The first half is ciphertext, the second plaintext: also in two processes.
	const Values values = as_base64(random_values(4000, {45, 60}));
	dbcrypt_sample sample{};
	dbcrypt_sample other{};
	uint32_t decoded;
	for (const auto &value : values)
		dbcrypt_sample_add(&sample, DBCRYPT_ENCODING_TEXT, value.data(), value.size());
	EXPECT_TRUE(dbcrypt_sample_looks_encrypted(&sample, false, &decoded));
	EXPECT_EQ(decoded, sample.values);
	EXPECT_EQ(sample.seen, 4000U);
	EXPECT_GE(sample.values, DBCRYPT_SAMPLE_VALUES / 2U);
	for (size_t i = 0; i < values.size(); i++)
		dbcrypt_sample_add(&other, DBCRYPT_ENCODING_TEXT,
						   reinterpret_cast<const uint8_t *>("plain"), 5);
	dbcrypt_sample_merge(&sample, &other);
	EXPECT_FALSE(dbcrypt_sample_looks_encrypted(&sample, false, &decoded));
	EXPECT_EQ(sample.seen, 8000U);
}

} // namespace
