/*
 * base64.h
 *		Base64 with padding (RFC 4648 section 4): strict, or as other programs read it.
 */
#ifndef DBCRYPT_BASE64_H
#define DBCRYPT_BASE64_H

#include <cstddef>
#include <cstdint>

namespace dbcrypt
{

/* Characters that encode size bytes. */
constexpr size_t
base64_encoded_size(size_t size)
{
	return (size + 2) / 3 * 4;
}

/* Most bytes that base64_decode can give for so many characters. */
constexpr size_t
base64_decoded_max_size(size_t size)
{
	return size / 4 * 3;
}

/*
 * Writes base64_encoded_size(size) characters, no NUL. out may overlap in only so:
 * in is the last size bytes of out.
 */
void base64_encode(const uint8_t *in, size_t size, uint8_t *out);

/*
 * Decodes strictly. Writes no byte behind the decoded ones. False for a character
 * outside the alphabet, wrong padding, or unused bits that are not zero (RFC 4648
 * section 3.5); out is then undefined.
 */
bool base64_decode(const uint8_t *in, size_t size, uint8_t *out, size_t *out_size);

/*
 * How other programs decode. All skip line breaks and ignore unused bits.
 *
 *	go		encoding/base64: whole groups with padding; skips nothing else
 *	ruby	unpack("m"): skips every character outside the alphabet; ends at a '='
 *			that is padding; an incomplete group gives the bytes it has
 *	node	Buffer.from(text, "base64"): as ruby, but ends at any '=' and also reads
 *			the URL-safe alphabet (RFC 4648 section 5)
 */
enum class Base64Reader
{
	go,
	ruby,
	node
};

/* Most bytes that base64_decode_as can give for so many characters. */
constexpr size_t
base64_reader_max_size(size_t size)
{
	return size / 4 * 3 + 3;
}

/* Decodes as that program does. False if it refuses the text; out is then undefined. */
bool base64_decode_as(Base64Reader reader, const uint8_t *in, size_t size, uint8_t *out,
					  size_t *out_size);

} // namespace dbcrypt

#endif
