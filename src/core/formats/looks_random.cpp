/*
 * A value's first bytes may be a version, a time or a key's name, as in Fernet tokens;
 * so of a long value the bytes behind the first 16 are kept. The distribution is tested
 * by Pearson's chi-square over the bytes of all distinct values together.
 */
#include "looks_random.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <string_view>

#include "../crypto/hex.h"

#include "../crypto/no_postgres.h"

namespace dbcrypt
{

namespace
{

/* Shorter values are nonces, salts and small digests: nonce and tag have 28 bytes. */
constexpr size_t least_size = 28;
constexpr size_t prefix_size = 16;
constexpr size_t least_kept = 16;
/* As much of a value is decoded; a longer one is whole groups cut there. */
constexpr size_t decoded_limit = 120;
/* Fewer bytes do not tell random ones from text that happens to be base64. */
constexpr double least_bytes = 128;
constexpr uint32_t least_distinct = 2;

constexpr uint32_t digest_sizes[] = {16, 20, 28, 32, 48, 64};

using namespace std::string_view_literals;

/* How compressed data, pictures and other files begin that look random too. */
constexpr std::string_view file_magics[] = {"\xFF\xD8\xFF"sv,
											"\x89PNG"sv,
											"GIF8"sv,
											"RIFF"sv,
											"BM"sv,
											"II*\0"sv,
											"MM\0*"sv,
											"\x1F\x8B"sv,
											"\x78\x01"sv,
											"\x78\x5E"sv,
											"\x78\x9C"sv,
											"\x78\xDA"sv,
											"BZh"sv,
											"\xFD"
											"7zXZ"sv,
											"7z\xBC\xAF"sv,
											"PK\x03\x04"sv,
											"\x28\xB5\x2F\xFD"sv,
											"\x04\x22\x4D\x18"sv,
											"Rar!"sv,
											"%PDF"sv,
											"OggS"sv,
											"ID3"sv,
											"fLaC"sv,
											"wOF"sv,
											"\x1A\x45\xDF\xA3"sv};

/* Whether bytes begin as a file of a known type does. */
bool
is_file(Bytes bytes)
{
	const std::string_view start(reinterpret_cast<const char *>(bytes.data()), bytes.size());
	return std::any_of(std::begin(file_magics), std::end(file_magics),
					   [&](std::string_view magic) { return start.starts_with(magic); }) ||
		   (start.size() >= 8 && start.substr(4, 4) == "ftyp"sv);
}

/* What a value decodes to: its first bytes, and the size of the whole. */
struct Decoded
{
	std::array<uint8_t, decoded_limit + 2> bytes;
	size_t size;
};

/* Hex of either case, as bytea prints it too. False for anything else. */
bool
decode_hex(Bytes text, Decoded *out)
{
	if (text.size() >= 2 && text[0] == '\\' && text[1] == 'x')
		text = text.subspan(2);
	if (text.size() % 2 != 0)
		return false;
	for (size_t i = 0; i < text.size(); i++)
	{
		const int digit = hex_value(text[i]);
		if (digit < 0)
			return false;
		if (i / 2 < decoded_limit)
			out->bytes[i / 2] =
				static_cast<uint8_t>(i % 2 == 0 ? digit << 4 : out->bytes[i / 2] | digit);
	}
	out->size = text.size() / 2;
	return true;
}

/* A character's 6 bits, or -1. *url says which of the two alphabets the text has. */
int
sextet(uint8_t character, int *url)
{
	if (character >= 'A' && character <= 'Z')
		return character - 'A';
	if (character >= 'a' && character <= 'z')
		return character - 'a' + 26;
	if (character >= '0' && character <= '9')
		return character - '0' + 52;
	const bool is_url = character == '-' || character == '_';
	if ((!is_url && character != '+' && character != '/') || *url == (is_url ? 0 : 1))
		return -1;
	*url = is_url;
	return character == '+' || character == '-' ? 62 : 63;
}

/* Base64 of either alphabet, with line breaks, with or without padding. */
bool
decode_base64(Bytes text, Decoded *out)
{
	size_t characters = 0;
	size_t padding = 0;
	uint32_t bits = 0;
	int url = -1;

	out->size = 0;
	for (const uint8_t character : text)
	{
		if (character == '\n' || character == '\r')
			continue;
		if (character == '=')
		{
			padding++;
			continue;
		}
		const int value = sextet(character, &url);
		if (value < 0 || padding > 0)
			return false;
		bits = bits << 6 | static_cast<uint32_t>(value);
		characters++;
		if (characters % 4 == 1)
			continue;
		const size_t shift = 6 - 2 * ((characters + 3) % 4);
		if (out->size < decoded_limit)
			out->bytes[out->size] = static_cast<uint8_t>(bits >> shift);
		out->size++;
	}
	return characters % 4 != 1 && padding <= 2 && (padding == 0 || (characters + padding) % 4 == 0);
}

/* What a value decodes to; bytea that is no text decodes to itself. False for other text. */
bool
decode(dbcrypt_encoding encoding, Bytes value, Decoded *out)
{
	if (encoding == DBCRYPT_ENCODING_BINARY)
	{
		std::copy_n(value.begin(), std::min(value.size(), decoded_limit), out->bytes.begin());
		out->size = value.size();
		/* Text may be stored as bytea. */
		Decoded text;
		if (decode_hex(value, &text) || decode_base64(value, &text))
			*out = text;
		return true;
	}
	while (!value.empty() && value.back() == ' ') /* char(n) */
		value = value.first(value.size() - 1);
	return decode_hex(value, out) || decode_base64(value, out);
}

/* The kept bytes of all distinct values together. */
struct Distribution
{
	std::array<uint32_t, 256> counts{};
	double bytes = 0;
	uint32_t distinct = 0;
};

/* Adds up the kept bytes; a value that was there before counts once. */
Distribution
distribution_of(const dbcrypt_sample &sample)
{
	Distribution sum;

	for (uint32_t i = 0; i < sample.values; i++)
	{
		const auto same = [&](uint32_t j)
		{
			return sample.kept[i] == sample.kept[j] &&
				   std::memcmp(sample.bytes[i], sample.bytes[j], sample.kept[i]) == 0;
		};
		uint32_t j = 0;
		while (j < i && !same(j))
			j++;
		if (j < i || sample.kept[i] == 0)
			continue;
		sum.distinct++;
		for (uint32_t k = 0; k < sample.kept[i]; k++)
			sum.counts[sample.bytes[i][k]]++;
		sum.bytes += sample.kept[i];
	}
	return sum;
}

/* Pearson's chi-square of the bytes against equal numbers of each. */
double
chi_square(const Distribution &sum)
{
	double squares = 0;

	for (const uint32_t count : sum.counts)
		squares += static_cast<double>(count) * count;
	return squares * 256 / sum.bytes - sum.bytes;
}

/*
 * Whether value number n is taken: one of so many, but not at even distances, since
 * what is stored may alternate.
 */
bool
is_its_turn(uint64_t n, uint32_t stride)
{
	constexpr uint64_t golden_ratio = 0x9E3779B97F4A7C15;
	return stride <= 1 || (n * golden_ratio >> 40) % stride == 0;
}

/* Drops every second value of a full sample. */
void
thin_out(dbcrypt_sample *sample)
{
	for (uint32_t i = 0; i < sample->values / 2; i++)
	{
		const size_t from = static_cast<size_t>(i) * 2;
		sample->sizes[i] = sample->sizes[from];
		sample->kept[i] = sample->kept[from];
		std::memcpy(sample->bytes[i], sample->bytes[from], DBCRYPT_SAMPLE_BYTES);
	}
	sample->values /= 2;
	sample->stride = 2 * std::max<uint32_t>(sample->stride, 1);
}

/* Whether all values that may be ciphertext have the size of a digest. */
bool
are_digests(const dbcrypt_sample &sample)
{
	uint32_t size = 0;

	for (uint32_t i = 0; i < sample.values; i++)
	{
		if (size == 0)
			size = sample.sizes[i];
		if (sample.sizes[i] != 0 && sample.sizes[i] != size)
			return false;
	}
	return std::find(std::begin(digest_sizes), std::end(digest_sizes), size) !=
		   std::end(digest_sizes);
}

} // namespace

void
sample_add(dbcrypt_sample *sample, dbcrypt_encoding encoding, Bytes value)
{
	Decoded decoded{};

	if (value.empty() || !is_its_turn(sample->seen++, sample->stride))
		return;
	if (sample->values == DBCRYPT_SAMPLE_VALUES)
		thin_out(sample);
	const uint32_t at = sample->values++;
	sample->sizes[at] = 0;
	sample->kept[at] = 0;
	if (!decode(encoding, value, &decoded) || decoded.size < least_size)
		return;
	const size_t known = std::min(decoded.size, decoded_limit);
	if (is_file({decoded.bytes.data(), known}))
		return;
	const size_t from = std::min(prefix_size, known - least_kept);
	const size_t kept = std::min<size_t>(known - from, DBCRYPT_SAMPLE_BYTES);
	std::copy_n(decoded.bytes.begin() + static_cast<ptrdiff_t>(from), kept, sample->bytes[at]);
	sample->sizes[at] = static_cast<uint32_t>(std::min<size_t>(decoded.size, UINT32_MAX));
	sample->kept[at] = static_cast<uint8_t>(kept);
}

void
sample_merge(dbcrypt_sample *sample, const dbcrypt_sample &other)
{
	sample->seen += other.seen;
	for (uint32_t i = 0; i < other.values; i++)
	{
		if (sample->values == DBCRYPT_SAMPLE_VALUES)
			thin_out(sample);
		const uint32_t at = sample->values++;
		sample->sizes[at] = other.sizes[i];
		sample->kept[at] = other.kept[i];
		std::memcpy(sample->bytes[at], other.bytes[i], DBCRYPT_SAMPLE_BYTES);
	}
}

bool
sample_looks_random(const dbcrypt_sample &sample, bool has_companion, uint32_t *decoded)
{
	/* 255 degrees of freedom: mean 255, deviation 22.6. Five deviations are allowed. */
	constexpr double limit = 368;

	*decoded = 0;
	for (uint32_t i = 0; i < sample.values; i++)
		*decoded += sample.sizes[i] != 0 ? 1 : 0;
	if (*decoded == 0 || *decoded * 20 < sample.values * 19 ||
		(!has_companion && are_digests(sample)))
		return false;
	const Distribution sum = distribution_of(sample);
	return sum.distinct >= least_distinct && sum.bytes >= least_bytes && chi_square(sum) < limit;
}

} // namespace dbcrypt
