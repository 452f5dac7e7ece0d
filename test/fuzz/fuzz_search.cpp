/*
 * fuzz_search.cpp
 *		Any bytes as a text with envelopes in it: finds what a slow search finds, no
 *		more and no less. Any bytes as values of a column: no crash.
 */
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <string>
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

/* Whether digits, all of them of a base, spell a number below 128. */
bool
spells(const std::string &digits, int base, char *character)
{
	if (digits.empty() || digits.find_first_not_of(base == 16 ? "0123456789abcdefABCDEF"
															  : "0123456789") != std::string::npos)
		return false;
	const std::string number =
		digits.substr(std::min(digits.find_first_not_of('0'), digits.size()));
	if (number.size() > 3 || std::strtol(("0" + number).c_str(), nullptr, base) > 127)
		return false;
	*character = static_cast<char>(std::strtol(("0" + number).c_str(), nullptr, base));
	return true;
}

/*
 * Takes what a character, or a line break ('\n'), is spelled by from the start of a text.
 * False if there is none.
 */
bool
take_character(std::string *text, char *character)
{
	size_t size = 0;
	if (text->starts_with("\\"))
	{
		size = std::min(text->find_first_not_of('\\'), text->size());
		const char kind = size < text->size() ? (*text)[size] : '\0';
		if (size > 15)
			return false;
		size += kind == 'u' ? 5 : 1;
		if (text->size() < size)
			return false;
		*character = kind == '/' ? '/' : '\n';
		if (kind == 'u' ? !spells(text->substr(size - 4, 4), 16, character)
						: std::strchr("/nr", kind) == nullptr || kind == '\0')
			return false;
	}
	else if (text->starts_with("%"))
	{
		for (size = 1; text->substr(size, 2) == "25";)
			size += 2;
		size += 2;
		if (text->size() < size || !spells(text->substr(size - 2, 2), 16, character))
			return false;
	}
	else if (text->starts_with("&"))
	{
		for (size = 1; text->substr(size, 4) == "amp;";)
			size += 4;
		const size_t end = text->find(';', size);
		if (end == std::string::npos || (*text)[size] != '#')
			return false;
		size_t from = size + 1;
		const int base = (*text)[from] == 'x' ? 16 : 10;
		from += base == 16 ? 1 : 0;
		if (!spells(text->substr(from, end - from), base, character))
			return false;
		size = end + 1;
	}
	else
	{
		*character = '\n';
		for (const std::string line_break : {"\n", "\r\n", "=\n", "=\r\n"})
			size = text->starts_with(line_break) ? line_break.size() : size;
		if (size == 0)
		{
			size = 1;
			*character = text->front();
			if (*character == '\r' || *character == '=')
				return false;
		}
	}
	*character = *character == '\r' ? '\n' : *character;
	text->erase(0, size);
	return true;
}

/* The first characters that a text spells, at most as many as a header has in hex. */
std::string
plain(std::string text)
{
	std::string characters;
	char character;
	while (characters.size() < 24 && !text.empty() && take_character(&text, &character))
	{
		if (character != '\n')
			characters += character;
		else if (characters.empty())
			break;
		else
			text.erase(0, std::min(text.find_first_not_of(" \t"), text.size()));
	}
	return characters;
}

/* Whether a header begins here, as dbcrypt_read_header sees it. */
bool
begins_here(const std::vector<uint8_t> &text, size_t at, char *key_id)
{
	const size_t size = std::min<size_t>(text.size() - at, DBCRYPT_LONGEST_HEADER);
	std::string characters = plain({reinterpret_cast<const char *>(text.data()) + at, size});
	std::string base64 = characters.substr(0, 16);

	std::replace(base64.begin(), base64.end(), '-', '+');
	std::replace(base64.begin(), base64.end(), '_', '/');
	if (base64.size() == 16 &&
		dbcrypt_read_header(DBCRYPT_ENCODING_TEXT, reinterpret_cast<const uint8_t *>(base64.data()),
							56, key_id) == DBCRYPT_OK)
		return true;
	uint8_t header[12];
	if (characters.size() < 24)
		return false;
	for (size_t i = 0; i < sizeof(header); i++)
	{
		const std::string digits = characters.substr(2 * i, 2);
		if (digits.find_first_not_of("0123456789abcdefABCDEF") != std::string::npos)
			return false;
		header[i] = static_cast<uint8_t>(std::strtoul(digits.c_str(), nullptr, 16));
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
