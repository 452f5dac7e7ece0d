/*
 * A header begins with the magic, "dbc1" or "75b7", each character of it plain or escaped,
 * and with line breaks in it. Sixteen places are asked at once whether the magic's first
 * characters, or the start of an escape, stand there. Only places that pass are read: few,
 * also in text that is full of backslashes, as JSON within JSON is, or of hex digits.
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

/* A byte for each of the places that are looked at together; as an answer 0xFF or 0. */
typedef uint8_t Block __attribute__((vector_size(16)));
constexpr size_t places = sizeof(Block);
/* Of these a place needs the next three bytes too. */
constexpr size_t looked_at = places + magic_size - 1;

constexpr size_t header_size = 12;

/* How JSON within JSON escapes, four levels deep. */
constexpr size_t most_backslashes = 15;

/* The bytes from an address on. */
inline Block
load(const uint8_t *from)
{
	Block bytes;
	std::memcpy(&bytes, from, sizeof(bytes));
	return bytes;
}

/* Where a character stands. */
inline Block
where(Block bytes, uint8_t character)
{
	return reinterpret_cast<Block>(bytes == character);
}

/* Where an escaped character or a line break may begin. */
inline Block
where_escaped(Block bytes)
{
	return where(bytes, '\\') | where(bytes, '%') | where(bytes, '&') | where(bytes, '=') |
		   where(bytes, '\r') | where(bytes, '\n');
}

/*
 * At which places the magic may begin. One with a backslash is the last of those before
 * "u00", which spell a character of ASCII.
 */
inline Block
may_begin(const uint8_t *from)
{
	const Block first = load(from);
	const Block second = load(from + 1);
	const Block third = load(from + 2);
	const Block fourth = load(from + 3);
	const Block second_escaped = where_escaped(second);
	const Block third_escaped = where_escaped(third);
	const Block base64 =
		where(first, 'd') &
		(second_escaped | (where(second, 'b') & (third_escaped | where(third, 'c'))));
	const Block hex = where(first, '7') &
					  (second_escaped | (where(second, '5') &
										 (third_escaped | where(third, 'b') | where(third, 'B'))));
	const Block escape =
		where(first, '\\') & where(second, 'u') & where(third, '0') & where(fourth, '0');
	return base64 | hex | escape | where(first, '%') | where(first, '&');
}

/* Whether there is a place. */
inline bool
has_place(Block block)
{
	uint64_t halves[2];
	std::memcpy(halves, &block, sizeof(halves));
	return (halves[0] | halves[1]) != 0;
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

/* Whether a header begins at a place, or at one of the backslashes that end there. */
bool
begins_at(Bytes text, size_t from, size_t at, FoundHeader *found)
{
	size_t begin = at;

	if (text[at] == '\\')
		while (begin > from && text[begin - 1] == '\\' && at - begin < most_backslashes - 1)
			begin--;
	found->begin = begin;
	return read_base64(text, begin, found) || read_hex(text, begin, found);
}

} // namespace

bool
envelope_search(Bytes text, size_t from, FoundHeader *found)
{
	uint8_t last[looked_at];

	for (size_t at = from; at < text.size(); at += places)
	{
		const uint8_t *bytes = text.data() + at;
		const size_t left = text.size() - at;
		if (left < looked_at)
		{
			std::memset(last, 0, sizeof(last));
			bytes = static_cast<const uint8_t *>(std::memcpy(last, bytes, left));
		}
		const Block begins = may_begin(bytes);
		if (has_place(begins))
			for (size_t i = 0; i < places; i++)
				if (begins[i] != 0 && begins_at(text, from, at + i, found))
					return true;
	}
	return false;
}

} // namespace dbcrypt
