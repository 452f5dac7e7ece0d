/*
 * Every spelling of the magic begins with "dbc1" or "75b7". Eight places are compared
 * with both at once, in words of eight bytes: as fast on text that is full of these
 * characters, as hex digits are, as on any other.
 */
#include "envelope_search.h"

#include <algorithm>
#include <cstring>

#include "envelope.h"

#include "../crypto/no_postgres.h"

namespace dbcrypt
{

namespace
{

constexpr size_t magic_size = 4;
constexpr size_t places = sizeof(uint64_t);
constexpr uint64_t each_byte = 0x0101010101010101;

constexpr size_t header_size = 12;
constexpr size_t header_text_size = 16;

/* Eight bytes from an address, each XORed with a character: 0 where they are the same. */
inline uint64_t
differences(const uint8_t *from, char character)
{
	uint64_t bytes;
	std::memcpy(&bytes, from, sizeof(bytes));
	return bytes ^ each_byte * static_cast<uint8_t>(character);
}

inline bool
has_zero_byte(uint64_t bytes)
{
	return ((bytes - each_byte) & ~bytes & each_byte * 0x80) != 0;
}

/* Whether the magic, spelled in base64 or hex, begins at one of eight places. */
inline bool
may_begin(const uint8_t *from)
{
	const uint64_t base64 = differences(from, 'd') | differences(from + 1, 'b') |
							differences(from + 2, 'c') | differences(from + 3, '1');
	/* Of either case: a B differs from a b in one bit. */
	const uint64_t hex = differences(from, '7') | differences(from + 1, '5') |
						 (differences(from + 2, 'b') & ~(each_byte * 0x20)) |
						 differences(from + 3, '7');
	return has_zero_byte(base64) || has_zero_byte(hex);
}

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
	for (size_t at = from; at < text.size();)
	{
		const size_t left = text.size() - at;
		if (left >= places + magic_size - 1 && !may_begin(text.data() + at))
		{
			at += places;
			continue;
		}
		const size_t end = at + std::min(left, places);
		for (; at < end; at++)
			if ((text[at] == 'd' && read_base64(text, at, found)) ||
				(text[at] == '7' && read_hex(text, at, found)))
			{
				found->begin = at;
				return true;
			}
	}
	return false;
}

} // namespace dbcrypt
