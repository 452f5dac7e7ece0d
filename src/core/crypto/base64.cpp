#include "base64.h"

#include <array>
#include <bit>
#include <cstring>

#include "no_postgres.h"

namespace dbcrypt
{

namespace
{

constexpr char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* Set in a decoded group when one of its characters is outside the alphabet. */
constexpr uint32_t bad_group = 0xFF000000;

/* The two characters, in memory order, of each 12-bit value. */
constexpr auto pairs = []
{
	std::array<std::array<char, 2>, 4096> table{};
	for (size_t i = 0; i < table.size(); i++)
		table[i] = {alphabet[i >> 6], alphabet[i & 63]};
	return table;
}();

/* For each of the four places in a group, a character's bits in the 24-bit result. */
constexpr auto places = []
{
	std::array<std::array<uint32_t, 256>, 4> table{};
	for (auto &place : table)
		place.fill(bad_group);
	for (uint32_t value = 0; value < 64; value++)
		for (size_t place = 0; place < 4; place++)
			table[place][static_cast<uint8_t>(alphabet[value])] = value << (18 - 6 * place);
	return table;
}();

/* A character's 6 bits, or -1; node reads the URL-safe alphabet too. */
int
sextet(Base64Reader reader, uint8_t character)
{
	if (reader == Base64Reader::node && (character == '-' || character == '_'))
		return character == '-' ? 62 : 63;
	const uint32_t bits = places[3][character];
	return bits == bad_group ? -1 : static_cast<int>(bits);
}

/* The 24 bits of four characters, or bits of bad_group. */
inline uint32_t
decode_group(const uint8_t *in)
{
	return places[0][in[0]] | places[1][in[1]] | places[2][in[2]] | places[3][in[3]];
}

/* Writes the three bytes of a group. */
inline void
put_group(uint8_t *out, uint32_t group)
{
	out[0] = static_cast<uint8_t>(group >> 16);
	out[1] = static_cast<uint8_t>(group >> 8);
	out[2] = static_cast<uint8_t>(group);
}

/* Turns a number as it lies in memory into the one of its bytes in order, and back. */
inline uint64_t
big_endian(uint64_t value)
{
	if constexpr (std::endian::native == std::endian::little)
		return __builtin_bswap64(value);
	return value;
}

} // namespace

void
base64_encode(const uint8_t *in, size_t size, uint8_t *out)
{
	/* Six bytes at a time, read before the eight characters are written. */
	while (size >= 8)
	{
		uint64_t word;
		std::memcpy(&word, in, 8);
		word = big_endian(word);
		const auto a = pairs[word >> 52];
		const auto b = pairs[word >> 40 & 0xFFF];
		const auto c = pairs[word >> 28 & 0xFFF];
		const auto d = pairs[word >> 16 & 0xFFF];
		std::memcpy(out, a.data(), 2);
		std::memcpy(out + 2, b.data(), 2);
		std::memcpy(out + 4, c.data(), 2);
		std::memcpy(out + 6, d.data(), 2);
		in += 6;
		out += 8;
		size -= 6;
	}
	while (size > 0)
	{
		const uint32_t group = static_cast<uint32_t>(in[0]) << 16 |
							   (size > 1 ? static_cast<uint32_t>(in[1]) << 8 : 0U) |
							   (size > 2 ? in[2] : 0U);
		std::memcpy(out, pairs[group >> 12].data(), 2);
		std::memcpy(out + 2, pairs[group & 0xFFF].data(), 2);
		if (size < 3)
		{
			out[3] = '=';
			if (size < 2)
				out[2] = '=';
			return;
		}
		in += 3;
		out += 4;
		size -= 3;
	}
}

bool
base64_decode(const uint8_t *in, size_t size, uint8_t *out, size_t *out_size)
{
	*out_size = 0;
	if (size == 0)
		return true;
	if (size % 4 != 0)
		return false;

	uint8_t *const start = out;
	const uint8_t *const last = in + size - 4;
	uint32_t seen = 0;

	/* Two groups at a time, in one store of 8 bytes; the next store overwrites the last two. */
	while (last - in >= 12)
	{
		const uint32_t high = decode_group(in);
		const uint32_t low = decode_group(in + 4);
		seen |= high | low;
		const uint64_t word = big_endian((uint64_t{high} << 24 | low) << 16);
		std::memcpy(out, &word, 8);
		in += 8;
		out += 6;
	}
	while (in < last)
	{
		const uint32_t group = decode_group(in);
		seen |= group;
		put_group(out, group);
		in += 4;
		out += 3;
	}

	const size_t padding = last[3] != '=' ? 0 : last[2] != '=' ? 1 : 2;
	uint8_t group_text[4];
	std::memcpy(group_text, last, 4);
	for (size_t i = 0; i < padding; i++)
		group_text[3 - i] = 'A';
	const uint32_t group = decode_group(group_text);
	seen |= group;
	if ((seen & bad_group) != 0)
		return false;
	if (padding > 0 && (group & (padding == 1 ? 0xFFU : 0xFFFFU)) != 0)
		return false;
	uint8_t tail[3];
	put_group(tail, group);
	std::memcpy(out, tail, 3 - padding);
	*out_size = static_cast<size_t>(out - start) + 3 - padding;
	return true;
}

namespace
{

/*
 * The fast path, for what all programs decode alike: lines of whole groups, with
 * padding only in the last one. False for anything else.
 */
bool
decode_lines(const uint8_t *in, size_t size, uint8_t *out, size_t *out_size)
{
	size_t written = 0;
	bool padded = false;
	while (size > 0)
	{
		const void *const newline = std::memchr(in, '\n', size);
		const size_t line = newline != nullptr
								? static_cast<size_t>(static_cast<const uint8_t *>(newline) - in)
								: size;
		size_t decoded;
		if ((padded && line > 0) || !base64_decode(in, line, out + written, &decoded))
			return false;
		padded = padded || decoded != base64_decoded_max_size(line);
		written += decoded;
		const size_t taken = line + (newline != nullptr ? 1 : 0);
		in += taken;
		size -= taken;
	}
	*out_size = written;
	return true;
}

} // namespace

bool
base64_decode_as(Base64Reader reader, const uint8_t *in, size_t size, uint8_t *out,
				 size_t *out_size)
{
	if (decode_lines(in, size, out, out_size))
		return true;

	size_t sextets = 0;
	size_t padding = 0;
	size_t written = 0;
	uint32_t bits = 0;
	for (size_t i = 0; i < size; i++)
	{
		const int value = sextet(reader, in[i]);
		if (value >= 0 && padding == 0)
		{
			bits = bits << 6 | static_cast<uint32_t>(value);
			if (sextets++ % 4 != 0)
				out[written++] = static_cast<uint8_t>(bits >> (6 - 2 * ((sextets - 1) % 4)));
		}
		else if (reader != Base64Reader::go)
		{
			if (in[i] == '=' && (reader == Base64Reader::node || sextets % 4 >= 2))
				break;
		}
		else if (in[i] == '=' && sextets % 4 >= 2 && sextets % 4 + padding < 4)
			padding++;
		else if (in[i] != '\n' && in[i] != '\r')
			return false;
	}
	*out_size = written;
	return reader != Base64Reader::go || (sextets + padding) % 4 == 0;
}

} // namespace dbcrypt
