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
	for (const std::string text : {"context:abc", "text: abc", "'text:'", "text"})
		EXPECT_EQ(masked(text, nullptr, 0), text);
	TestRing other("text:short");
	EXPECT_EQ(masked("a text:short b", other), "a ********** b");
	EXPECT_EQ(masked("a text:shorter b", other, 0), "a text:shorter b");
}
