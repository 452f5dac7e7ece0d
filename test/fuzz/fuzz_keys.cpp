/*
 * fuzz_keys.cpp
 *		Any bytes as a key list, as a key file's contents, and as text to mask.
 */
#include <cstdlib>
#include <string>
#include <string_view>

#include "api/scheme.h"
#include "api/value.h"

namespace
{

void
require(bool condition)
{
	if (!condition)
		std::abort();
}

void
load(const uint8_t *data, size_t size, bool as_list)
{
	dbcrypt_ring *const ring = dbcrypt_ring_new(true);
	dbcrypt_source_error error;
	const auto status =
		as_list ? dbcrypt_ring_add_list(ring, reinterpret_cast<const char *>(data), size, &error)
				: dbcrypt_ring_add_contents(ring, data, size, &error);
	const size_t keys = dbcrypt_ring_count(ring);
	/* A ring that takes no weak keys takes the others. */
	dbcrypt_ring *const strict = dbcrypt_ring_new(false);
	const auto strictly =
		as_list ? dbcrypt_ring_add_list(strict, reinterpret_cast<const char *>(data), size, &error)
				: dbcrypt_ring_add_contents(strict, data, size, &error);
	require(strictly == status || strictly == DBCRYPT_WEAK_KEY);
	dbcrypt_ring_free(strict);
	require(status == DBCRYPT_OK ? as_list || keys > 0 : keys == 0);
	for (size_t i = 0; i < keys; i++)
		require(std::string_view(dbcrypt_ring_key_id(ring, i)).size() == DBCRYPT_KEY_ID_LEN);

	/* What was loaded from text must not survive masking; files may hold stranger text: keys. */
	const std::string_view given(reinterpret_cast<const char *>(data), size);
	const bool maskable = as_list || (size != 32 && given.find("text:") == given.npos &&
									  given.find("text-short:") == given.npos);
	std::string text(reinterpret_cast<const char *>(data), size);
	const std::string before = text;
	dbcrypt_mask_keys(text.data(), text.size(), ring);
	require(text.size() == before.size());
	for (size_t i = 0; i < size; i++)
		require(text[i] == before[i] || text[i] == '*');
	dbcrypt_ring *const left = dbcrypt_ring_new(true);
	if (keys > 0 && maskable)
		require(as_list ? dbcrypt_ring_add_list(left, text.data(), size, &error) == DBCRYPT_BAD_KEY
						: dbcrypt_ring_add_contents(left,
													reinterpret_cast<const uint8_t *>(text.data()),
													size, &error) != DBCRYPT_OK);
	dbcrypt_ring_free(left);
	dbcrypt_ring_free(ring);
}

} // namespace

extern "C" int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	load(data, size, true);
	load(data, size, false);
	std::string text(reinterpret_cast<const char *>(data), size);
	dbcrypt_mask_keys(text.data(), text.size(), nullptr);
	return 0;
}
