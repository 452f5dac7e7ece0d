/*
 * Every plain spelling of the magic begins with "dbc1" or "75b7", every other one has one
 * of four characters in its first part: a backslash, a percent sign, an ampersand or a line
 * break. Eight places are compared with all of them at once, in words of eight bytes: as
 * fast on text that is full of the magic's characters, as hex digits are, as on any other.
 */
#include "envelope_search.h"

#include <algorithm>
#include <cstring>

#include "envelope.h"
#include "search_types.h"

#include "../crypto/hex.h"

#include "../crypto/no_postgres.h"

namespace dbcrypt
{

namespace
{

constexpr size_t magic_size = 4;
constexpr size_t places = sizeof(uint64_t);
constexpr uint64_t each_byte = 0x0101010101010101;

constexpr size_t header_size = 12;

/* How JSON within JSON escapes, four levels deep. */
constexpr size_t most_backslashes = 15;

/* Eight bytes from an address, each XORed with a character: 0 where they are the same. */
inline uint64_t
differences(const uint8_t *from, char character)
{
	uint64_t bytes;
	std::memcpy(&bytes, from, sizeof(bytes));
	return bytes ^ each_byte * static_cast<uint8_t>(character);
}

/* Has the highest bit of a byte set if any byte, perhaps a lower one, is 0. */
inline uint64_t
zero_bytes(uint64_t bytes)
{
	return (bytes - each_byte) & ~bytes & each_byte * 0x80;
}

/* Whether the magic begins at one of eight places, or is spelled otherwise around it. */
inline bool
may_begin(const uint8_t *from)
{
	const uint64_t base64 = differences(from, 'd') | differences(from + 1, 'b') |
							differences(from + 2, 'c') | differences(from + 3, '1');
	/* Of either case: a B differs from a b in one bit. */
	const uint64_t hex = differences(from, '7') | differences(from + 1, '5') |
						 (differences(from + 2, 'b') & ~(each_byte * 0x20)) |
						 differences(from + 3, '7');
	/* A backslash before a small letter, as in "\u0064": not the frequent "\"". */
	const uint64_t escape =
		differences(from, '\\') | (differences(from + 1, '`') & each_byte * 0x60);
	return (zero_bytes(base64) | zero_bytes(hex) | zero_bytes(escape) |
			zero_bytes(differences(from, '%')) | zero_bytes(differences(from, '&')) |
			zero_bytes(differences(from, '\n'))) != 0;
}

/* What begins a text: a character in some spelling, or a line break. */
struct Spelled
{
	size_t size;	   /* 0: neither */
	uint8_t character; /* '\n' for every line break */
};

/* A character by its number, which digits from an offset on spell; end is behind it. */
Spelled
numbered(Bytes text, size_t digits, size_t end, unsigned base)
{
	unsigned number = 0;

	if (digits == end)
		return {0, 0};
	for (size_t i = digits; i < end; i++)
	{
		const int digit = hex_value(text[i]);
		if (digit < 0 || static_cast<unsigned>(digit) >= base || number > UINT8_MAX)
			return {0, 0};
		number = number * base + static_cast<unsigned>(digit);
	}
	if (number > INT8_MAX)
		return {0, 0};
	return {end, static_cast<uint8_t>(number == '\r' ? '\n' : number)};
}

/* An offset behind all that repeats there. */
size_t
skip(Bytes text, size_t at, const char *repeated)
{
	const size_t size = std::strlen(repeated);
	while (text.size() - at >= size && std::memcmp(text.data() + at, repeated, size) == 0)
		at += size;
	return at;
}

/* "\/", "\u002b", "\n" of JSON, and as JSON within JSON has them: "\\u002b". */
Spelled
read_escape(Bytes text)
{
	size_t at = 0;
	while (at < most_backslashes && at < text.size() && text[at] == '\\')
		at++;
	if (at == text.size())
		return {0, 0};
	if (text[at] == '/')
		return {at + 1, '/'};
	if (text[at] == 'n' || text[at] == 'r')
		return {at + 1, '\n'};
	if (text[at] != 'u' || text.size() - at < 5)
		return {0, 0};
	return numbered(text, at + 1, at + 5, 16);
}

/* "%2B" of a URL, and one within another: "%252B". */
Spelled
read_percent(Bytes text)
{
	const size_t at = skip(text, 1, "25");
	return text.size() - at < 2 ? Spelled{0, 0} : numbered(text, at, at + 2, 16);
}

/* "&#43;" and "&#x2B;" of XML and HTML, and one within another: "&amp;#43;". */
Spelled
read_reference(Bytes text)
{
	size_t at = skip(text, 1, "amp;");
	if (at == text.size() || text[at++] != '#')
		return {0, 0};
	const bool hexadecimal = at < text.size() && text[at] == 'x';
	at += hexadecimal ? 1 : 0;
	size_t end = at;
	while (end < text.size() && hex_value(text[end]) >= 0)
		end++;
	if (end == text.size() || text[end] != ';')
		return {0, 0};
	Spelled spelled = numbered(text, at, end, hexadecimal ? 16 : 10);
	spelled.size += spelled.size > 0 ? 1 : 0;
	return spelled;
}

/* A line break, the soft one of quoted-printable ("=" before it) included. */
Spelled
read_line_break(Bytes text)
{
	size_t at = text[0] == '=' ? 1 : 0;
	at += at < text.size() && text[at] == '\r' ? 1 : 0;
	return at < text.size() && text[at] == '\n' ? Spelled{at + 1, '\n'} : Spelled{0, 0};
}

/* What begins a text that is not empty. */
Spelled
read_spelled(Bytes text)
{
	switch (text[0])
	{
		case '\\':
			return read_escape(text);
		case '%':
			return read_percent(text);
		case '&':
			return read_reference(text);
		case '=':
		case '\r':
		case '\n':
			return read_line_break(text);
		default:
			return {1, text[0]};
	}
}

/* A way to spell the bytes of a header. */
struct Form
{
	char magic[magic_size + 1];
	uint8_t compared; /* the bits of the magic's characters that count */
	size_t characters;
};

constexpr Form base64_form = {"dbc1", 0xFF, 16};
constexpr Form hex_form = {"75b7", 0xDF, 24};
constexpr size_t most_characters = 24;

/*
 * The characters that spell a header from a place on, line breaks and the blanks behind
 * them left out. Returns where they end, 0 if no header begins there.
 */
size_t
read_characters(Bytes text, size_t at, const Form &form, uint8_t *characters)
{
	const Bytes header =
		text.subspan(at, std::min<size_t>(text.size() - at, DBCRYPT_LONGEST_HEADER));
	size_t count = 0;
	size_t end = 0;

	while (count < form.characters && end < header.size())
	{
		const Spelled spelled = read_spelled(header.subspan(end));
		if (spelled.size == 0 || (spelled.character == '\n' && count == 0))
			return 0;
		end += spelled.size;
		if (spelled.character == '\n')
		{
			while (end < header.size() && (header[end] == ' ' || header[end] == '\t'))
				end++;
			continue;
		}
		if (count < magic_size &&
			((spelled.character ^ static_cast<uint8_t>(form.magic[count])) & form.compared) != 0)
			return 0;
		characters[count++] = spelled.character;
	}
	return count == form.characters ? at + end : 0;
}

/* The header that hex digits spell. The envelope need not be whole. */
bool
read_hex(Bytes text, size_t at, FoundHeader *found)
{
	uint8_t digits[most_characters];
	uint8_t header[header_size];

	found->end = read_characters(text, at, hex_form, digits);
	if (found->end == 0)
		return false;
	for (size_t i = 0; i < header_size; i++)
	{
		const int high = hex_value(digits[2 * i]);
		const int low = hex_value(digits[2 * i + 1]);
		if (high < 0 || low < 0)
			return false;
		header[i] = static_cast<uint8_t>(high << 4 | low);
	}
	return envelope_read_header(DBCRYPT_ENCODING_BINARY, header, SIZE_MAX, &found->key_id) ==
		   DBCRYPT_OK;
}

/* The header that base64 spells, in its URL-safe alphabet too. */
bool
read_base64(Bytes text, size_t at, FoundHeader *found)
{
	uint8_t characters[most_characters];

	found->end = read_characters(text, at, base64_form, characters);
	if (found->end == 0)
		return false;
	std::replace(characters, characters + base64_form.characters, '-', '+');
	std::replace(characters, characters + base64_form.characters, '_', '/');
	return envelope_read_header(DBCRYPT_ENCODING_TEXT, characters, SIZE_MAX / 4 * 4,
								&found->key_id) == DBCRYPT_OK;
}

/* Whether a header begins at a place. */
bool
begins_at(Bytes text, size_t at, FoundHeader *found)
{
	found->begin = at;
	return read_base64(text, at, found) || read_hex(text, at, found);
}

/* Whether a plain character may stand in a magic before its last one. */
bool
may_precede(uint8_t character)
{
	return character != 0 && std::strchr("dbc75B", character) != nullptr;
}

/*
 * Whether a header begins so that its magic is first interrupted at a place: up to three
 * plain characters before it. Begins nowhere before an offset.
 */
bool
begins_before(Bytes text, size_t from, size_t at, FoundHeader *found)
{
	size_t interrupted = at;

	if (text[at] == '\\')
		while (interrupted > from && text[interrupted - 1] == '\\' &&
			   at - interrupted < most_backslashes - 1)
			interrupted--;
	else if (text[at] == '\n')
	{
		interrupted -= interrupted > from && text[interrupted - 1] == '\r' ? 1 : 0;
		interrupted -= interrupted > from && text[interrupted - 1] == '=' ? 1 : 0;
	}
	if (interrupted > from && may_precede(text[interrupted - 1]))
		for (size_t begin = interrupted - std::min(interrupted - from, magic_size - 1);
			 begin < interrupted; begin++)
			if (begins_at(text, begin, found))
				return true;
	return text[at] != '\n' && begins_at(text, interrupted, found);
}

/* Whether what stands at a place may be, or interrupt, the start of a header. */
bool
is_start(Bytes text, size_t at)
{
	switch (text[at])
	{
		case 'd':
		case '7':
		case '%':
		case '&':
		case '\n':
			return true;
		case '\\':
			return at + 1 < text.size() && text[at + 1] >= 'n' && text[at + 1] <= 'u';
		default:
			return false;
	}
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
			if (is_start(text, at) &&
				(text[at] == 'd' || text[at] == '7' ? begins_at(text, at, found)
													: begins_before(text, from, at, found)))
				return true;
	}
	return false;
}

} // namespace dbcrypt
