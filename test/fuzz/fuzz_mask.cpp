/*
 * fuzz_mask.cpp
 *		Any text, with and without a key of the ring in it, through every way to mask.
 */
#include <cstdlib>
#include <string>
#include <string_view>

#include "api/keyring.h"

namespace
{

/* A ring of one key of each spelling. They are spelt alike in no other way. */
constexpr std::string_view hex = "00112233445566778899aabbccddeeffffeeddccbbaa99887766554433221100";
constexpr std::string_view base64 = "YWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWI=";
constexpr std::string_view text_key = "text:correct_horse_battery_staple";
constexpr std::string_view short_key = "text-short:correct_horse";

void
require(bool condition)
{
	if (!condition)
		std::abort();
}

dbcrypt_ring *
make_ring()
{
	dbcrypt_ring *const ring = dbcrypt_ring_new(true);
	dbcrypt_source_error error;
	for (const auto key : {hex, base64, text_key, short_key})
		require(dbcrypt_ring_add_list(ring, key.data(), key.size(), &error) == DBCRYPT_OK);
	return ring;
}

/* Only stars were written; a second pass finds nothing more. */
void
check_masked(const std::string &before, std::string after, const dbcrypt_ring *ring)
{
	require(after.size() == before.size());
	for (size_t i = 0; i < after.size(); i++)
		require(after[i] == before[i] || after[i] == '*');
	if (ring != nullptr)
		require(dbcrypt_mask_keys(after.data(), after.size(), ring) == 0);
}

/* A key of the ring, between two halves of the text, does not survive. */
void
plant(std::string_view text, std::string_view key, const dbcrypt_ring *ring)
{
	const size_t half = text.size() / 2;
	const std::string before = std::string(text.substr(0, half)) + " " + std::string(key) + " " +
							   std::string(text.substr(half));
	for (int how = 0; how < 3; how++)
	{
		std::string after = before;
		if (how == 2)
			dbcrypt_mask_key_literals(after.data(), after.size());
		else
			dbcrypt_mask_keys(after.data(), after.size(), how == 0 ? ring : nullptr);
		check_masked(before, after, how == 0 ? ring : nullptr);
		require(std::string_view(after).substr(half + 1, key.size()) ==
				std::string(key.size(), '*'));
	}
}

} // namespace

extern "C" int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const dbcrypt_ring *const ring = make_ring();
	const std::string text(reinterpret_cast<const char *>(data), size);
	for (const auto key : {hex, base64, text_key, short_key})
		plant(text, key, ring);
	return 0;
}
