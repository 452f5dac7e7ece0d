/*
 * base64.h
 *		Padded standard base64 (RFC 4648 section 4), strict.
 */
#ifndef DBCRYPT_BASE64_H
#define DBCRYPT_BASE64_H

#include <cstddef>
#include <cstdint>

namespace dbcrypt
{

/* Characters that size bytes take. */
constexpr size_t
base64_encoded_size(size_t size)
{
	return (size + 2) / 3 * 4;
}

/* Bytes that fit any value of that many characters. */
constexpr size_t
base64_decoded_room(size_t size)
{
	return size / 4 * 3;
}

/*
 * Writes base64_encoded_size(size) characters, no NUL. out may be the buffer
 * whose last size bytes in are.
 */
void base64_encode(const uint8_t *in, size_t size, uint8_t *out);

/*
 * Writes the bytes decoded, at most base64_decoded_room(size), and none past
 * them. False, with out undefined, for any other character, wrong padding or
 * non-zero trailing bits.
 */
bool base64_decode(const uint8_t *in, size_t size, uint8_t *out, size_t *out_size);

/*
 * How other programs' decoders read. All skip line breaks and pass over the bits
 * that padding leaves unused.
 *
 *	go		encoding/base64: whole groups with padding; nothing else is skipped
 *	ruby	unpack("m"): skips whatever is not of the alphabet, ends at a '=' that
 *			stands for padding; an incomplete group gives the bytes it has
 *	node	Buffer.from(text, "base64"): the same, but ends at any '=' and reads
 *			the URL-safe alphabet too
 */
enum class Base64Reader
{
	go,
	ruby,
	node
};

/* Bytes that fit whatever such a reader makes of that many characters. */
constexpr size_t
base64_reader_room(size_t size)
{
	return size / 4 * 3 + 3;
}

/* Decodes as that reader does; false where it refuses, with out undefined. */
bool base64_decode_as(Base64Reader reader, const uint8_t *in, size_t size, uint8_t *out,
					  size_t *out_size);

} // namespace dbcrypt

#endif
