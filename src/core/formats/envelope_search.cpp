/*
 * Every spelling of the magic begins with one of three words of four characters. The
 * last character of a window of four says how far the window can move (Horspool), so
 * most of a text is not looked at.
 */
#include "envelope_search.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "envelope.h"

#include "../crypto/no_postgres.h"

namespace dbcrypt
{

namespace
{

constexpr size_t word_size = 4;
constexpr char words[3][word_size + 1] = {"dbc1", "75b7", "75B7"};

constexpr size_t header_size = 12;
constexpr size_t header_text_size = 16;

/* How far a window that ends with this character can move; 0: it may be a word. */
constexpr auto shifts = []
{
	std::array<uint8_t, 256> table{};
	table.fill(word_size);
	for (const auto &word : words)
		for (size_t i = 0; i < word_size; i++)
		{
			auto &shift = table[static_cast<uint8_t>(word[i])];
			shift = std::min(shift, static_cast<uint8_t>(word_size - 1 - i));
		}
	return table;
}();

int
hex_digit(uint8_t character)
{
	if (character >= '0' && character <= '9')
		return character - '0';
	const int letter = character | 0x20;
	return letter >= 'a' && letter <= 'f' ? letter - 'a' + 10 : -1;
}

/* The header that hex digits spell. The envelope need not be whole. */
bool
read_hex(Bytes text, size_t at, FoundHeader *found)
{
	uint8_t header[header_size];

	if (text.size() - at < 2 * header_size)
		return false;
	for (size_t i = 0; i < header_size; i++)
	{
		const int high = hex_digit(text[at + 2 * i]);
		const int low = hex_digit(text[at + 2 * i + 1]);
		if (high < 0 || low < 0)
			return false;
		header[i] = static_cast<uint8_t>(high << 4 | low);
	}
	found->end = at + 2 * header_size;
	return envelope_read_header(DBCRYPT_ENCODING_BINARY, header, SIZE_MAX, &found->key_id) ==
		   DBCRYPT_OK;
}

/* The header that base64 spells, "\/" for a slash included. */
bool
read_base64(Bytes text, size_t at, FoundHeader *found)
{
	uint8_t header[header_text_size];
	size_t size = 0;

	for (; at < text.size() && size < sizeof(header); at++)
	{
		if (text[at] == '\\' && at + 1 < text.size() && text[at + 1] == '/')
			continue;
		header[size++] = text[at];
	}
	found->end = at;
	return size == sizeof(header) &&
		   envelope_read_header(DBCRYPT_ENCODING_TEXT, header, SIZE_MAX / 4 * 4, &found->key_id) ==
			   DBCRYPT_OK;
}

} // namespace

bool
envelope_search(Bytes text, size_t from, FoundHeader *found)
{
	size_t last = from + word_size - 1;

	while (last < text.size())
	{
		const size_t shift = shifts[text[last]];
		if (shift > 0)
		{
			last += shift;
			continue;
		}
		const size_t begin = last - (word_size - 1);
		if (text[begin] == words[0][0] ? read_base64(text, begin, found)
									   : read_hex(text, begin, found))
		{
			found->begin = begin;
			return true;
		}
		last++;
	}
	return false;
}

} // namespace dbcrypt
