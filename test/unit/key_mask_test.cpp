#include <algorithm>
#include <ctime>

#include "support.h"

using namespace test;

namespace
{

const std::string base64_key = "YWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWE="; /* 61 x 32 */

std::string
masked(std::string text, const dbcrypt_ring *only = nullptr, size_t expected = 1)
{
	EXPECT_EQ(dbcrypt_mask_keys(text.data(), text.size(), only), expected) << text;
	return text;
}

std::string
stars(size_t n)
{
	return std::string(n, '*');
}

} // namespace

TEST(KeyMask, KeysOfBothSpellings)
{
	EXPECT_EQ(masked("SET dbcrypt.keys = '" + hex_key(0x6F) + "'"),
			  "SET dbcrypt.keys = '" + stars(64) + "'");
	EXPECT_EQ(masked("'" + base64_key + "," + hex_key(1) + "'", nullptr, 2),
			  "'" + stars(44) + "," + stars(64) + "'");
	EXPECT_EQ(masked(base64_key), stars(44));
	EXPECT_EQ(masked("\\x" + std::string(64, 'A')), "\\" + stars(65));
	EXPECT_EQ(masked("keys=" + base64_key), "keys=" + stars(44));
	/* The last character has trailing bits: a key typed wrong is hidden as well. */
	EXPECT_EQ(masked(std::string(43, 'Z') + "="), stars(44));
}

TEST(KeyMask, KeysMistypedOrCut)
{
	for (const std::string &text :
		 {hex_key(1) + "0", hex_key(1).substr(1), hex_key(1) + hex_key(2), base64_key.substr(1),
		  "a" + base64_key, base64_key.substr(0, 43), base64_key + "=", std::string(44, 'A'),
		  hex_key(1).substr(0, 20), std::string("YWFhYWFhYWF-YWFhYWFhYWFh_WFhYWFhYWFhYWFhYWE=")})
		EXPECT_EQ(masked("('dbcrypt.keys', '" + text + "...')"),
				  "('dbcrypt.keys', '" + stars(text.size()) + "...')");
}

TEST(KeyMask, LeavesTheRest)
{
	for (const std::string &text :
		 {std::string(), std::string("hello"), std::string(100, '='), hex_key(1).substr(0, 19),
		  std::string("dbcrypt.keys needs shared_preload_libraries"),
		  std::string("\"/etc/postgresql/main/postgresql.conf\""),
		  std::string("encryption key 72cd6e8422c407")})
		EXPECT_EQ(masked(text, nullptr, 0), text);
}

TEST(KeyMask, WithARingOnlyItsKeysButAnywhere)
{
	TestRing ring(hex_key(0x61) + "," + hex_key(0x17));
	EXPECT_EQ(masked(base64_key, ring), stars(44));
	EXPECT_EQ(masked(hex_key(0x17), ring), stars(64));
	EXPECT_EQ(masked(hex_key(0x18), ring, 0), hex_key(0x18));
	EXPECT_EQ(masked("Qk" + std::string(40, 'F') + "E=", ring, 0),
			  "Qk" + std::string(40, 'F') + "E=");
	EXPECT_EQ(masked("abc" + hex_key(0x17) + "def", ring), "abc" + stars(64) + "def");
	EXPECT_EQ(masked("n" + base64_key, ring), "n" + stars(44));
	EXPECT_EQ(masked(hex_key(0x17) + hex_key(0x61), ring, 2), stars(128));
}

TEST(KeyMask, TextKeys)
{
	EXPECT_EQ(masked("SET dbcrypt.keys = 'text:abc,text:x'", nullptr, 2),
			  "SET dbcrypt.keys = '********,******'");
	EXPECT_EQ(masked("'text-short:abc,text:text-short:a'", nullptr, 2),
			  "'**************,*****************'");
	for (const std::string text :
		 {"context:abc", "text: abc", "'text:'", "text", "context-short:abc", "'text-short:'",
		  "text-short", "text-shor:abc"})
		EXPECT_EQ(masked(text, nullptr, 0), text);
	TestRing other("text:short");
	EXPECT_EQ(masked("a text:short b", other), "a ********** b");
	EXPECT_EQ(masked("a text:shorter b", other, 0), "a text:shorter b");
	/* One key in both spellings. */
	EXPECT_EQ(masked("a text-short:short b", other), "a **************** b");
	EXPECT_EQ(masked("a text:short b", TestRing("text-short:short")), "a ********** b");
}

TEST(KeyMask, LiteralsAreWholeKeysOnly)
{
	const auto literals = [](std::string text, size_t expected)
	{
		EXPECT_EQ(dbcrypt_mask_key_literals(text.data(), text.size()), expected) << text;
		return text;
	};
	EXPECT_EQ(literals("SET dbcrypt.kyes = '" + hex_key(1) + "', '" + base64_key + "'", 2),
			  "SET dbcrypt.kyes = '" + stars(64) + "', '" + stars(44) + "'");
	EXPECT_EQ(literals("'text:abc'", 1), "'********'");
	EXPECT_EQ(literals("'text-short:abc'", 1), "'**************'");
	for (const std::string &text : {hex_key(1) + "0", hex_key(1).substr(1), base64_key.substr(1),
									"a" + base64_key, std::string(44, 'A')})
		EXPECT_EQ(literals(text, 0), text);
}

TEST(KeyMask, ManyKeysInARing)
{
	std::string list;
	for (int i = 1; i < 200; i++)
		list += hex_key(static_cast<uint8_t>(i)) + (i < 199 ? "," : "");
	TestRing ring(list);
	EXPECT_EQ(masked("x" + hex_key(150) + "y", ring), "x" + stars(64) + "y");
	EXPECT_EQ(masked(list, ring, 199).find_first_not_of("*,"), std::string::npos);
}

/*
 * Time grows with the size of the text, whatever it is made of: CPU time, the best of
 * some tries, of a text and of one eight times as long. Quadratic would be 64 times.
 */
TEST(KeyMask, TimeIsLinear)
{
	TestRing ring(hex_key(0x61) + "," + base64_key + ",text:short");
	for (const std::string piece :
		 {" ", "\"", "'", "0", "a1", "A", "=", "text:", "text:a", "text-short:", "text-short:a",
		  "dbcrypt", "dbcrypt.", "/*", "--", "61", "YWFh", "*"})
		for (int how = 0; how < 3; how++)
		{
			const auto seconds = [&](size_t size)
			{
				double best = 1e9;
				for (int i = 0; i < 3; i++)
				{
					std::string text;
					while (text.size() < size)
						text += piece;
					const clock_t start = std::clock();
					if (how == 2)
						dbcrypt_mask_key_literals(text.data(), text.size());
					else
						dbcrypt_mask_keys(text.data(), text.size(),
										  how == 1 ? static_cast<const dbcrypt_ring *>(ring)
												   : nullptr);
					best = std::min(best, static_cast<double>(std::clock() - start));
				}
				return best / CLOCKS_PER_SEC;
			};
			const double small = seconds(1U << 17);
			EXPECT_LT(seconds(1U << 20), 24 * small + 0.05) << piece << ", " << how;
		}
}
