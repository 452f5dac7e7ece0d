/*
 * fuzz_search.cpp
 *		Any bytes as a text with envelopes in it: finds what a slow search finds, no
 *		more and no less. Any bytes as values of a column: no crash.
 */
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "api/search.h"
#include "api/value.h"

namespace
{

void
require(bool condition)
{
	if (!condition)
		std::abort();
}

/* Whether a header begins here, as dbcrypt_read_header sees it. */
bool
begins_here(const std::vector<uint8_t> &text, size_t at, char *key_id)
{
	std::vector<uint8_t> plain;
	for (size_t i = at; i < text.size() && plain.size() < 16; i++)
		if (text[i] != '\\' || i + 1 == text.size() || text[i + 1] != '/')
			plain.push_back(text[i]);
	if (text[at] != '\\' && plain.size() == 16 &&
		dbcrypt_read_header(DBCRYPT_ENCODING_TEXT, plain.data(), 56, key_id) == DBCRYPT_OK)
		return true;
	if (text.size() - at < 24)
		return false;
	uint8_t header[12];
	for (size_t i = 0; i < sizeof(header); i++)
	{
		const char digits[3] = {static_cast<char>(text[at + 2 * i]),
								static_cast<char>(text[at + 2 * i + 1]), '\0'};
		/* strlen: a byte of 0 is no digit, and would end the other one's number. */
		if (std::strlen(digits) != 2 || std::strspn(digits, "0123456789abcdefABCDEF") != 2)
			return false;
		header[i] = static_cast<uint8_t>(std::strtoul(digits, nullptr, 16));
	}
	return dbcrypt_read_header(DBCRYPT_ENCODING_BINARY, header, 40, key_id) == DBCRYPT_OK;
}

void
search(const std::vector<uint8_t> &text)
{
	dbcrypt_found found{};
	char key_id[DBCRYPT_KEY_ID_LEN + 1];
	bool more = true;
	size_t at = 0;

	while (more)
	{
		const size_t from = found.end;
		more = dbcrypt_search_envelope(text.data(), text.size(), from, &found);
		for (at = from; at < (more ? found.begin : text.size()); at++)
			require(!begins_here(text, at, key_id));
		if (!more)
			return;
		require(found.end > found.begin && found.end <= text.size());
		require(begins_here(text, found.begin, key_id) && std::strcmp(key_id, found.key_id) == 0);
	}
}

/* Values of as many bytes as each first byte says. */
void
sample(const std::vector<uint8_t> &values)
{
	static dbcrypt_sample column;
	dbcrypt_sample part{};
	uint32_t decoded;
	for (size_t at = 0; at < values.size();)
	{
		const size_t size = std::min<size_t>(values[at], values.size() - at - 1);
		const std::vector<uint8_t> value(values.begin() + static_cast<ptrdiff_t>(at) + 1,
										 values.begin() + static_cast<ptrdiff_t>(at + 1 + size));
		dbcrypt_sample_add(&part, at % 2 == 0 ? DBCRYPT_ENCODING_TEXT : DBCRYPT_ENCODING_BINARY,
						   value.data(), value.size());
		at += size + 1;
	}
	dbcrypt_sample_merge(&column, &part);
	(void) dbcrypt_sample_looks_encrypted(&part, false, &decoded);
	require(decoded <= part.values && part.values <= DBCRYPT_SAMPLE_VALUES);
	(void) dbcrypt_sample_looks_encrypted(&column, true, &decoded);
}

} // namespace

extern "C" int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const std::vector<uint8_t> bytes(data, data + size);
	search(bytes);
	sample(bytes);
	return 0;
}
