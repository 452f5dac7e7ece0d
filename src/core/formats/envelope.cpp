#include "envelope.h"

#include <algorithm>
#include <cstring>

#include "../crypto/base64.h"
#include "../crypto/random.h"

#include "../crypto/no_postgres.h"

namespace dbcrypt
{

namespace
{

constexpr uint8_t magic[3] = {0x75, 0xB7, 0x35};
constexpr uint8_t algorithm_aes_256_gcm = 1;

constexpr size_t algorithm_at = 3;
constexpr size_t key_id_at = 4;
constexpr size_t format_at = 11;
constexpr size_t header_size = 12;
constexpr size_t nonce_at = header_size;
constexpr size_t ciphertext_at = nonce_at + nonce_size;
constexpr size_t overhead = ciphertext_at + Aead::tag_size;

/* Header and nonce are whole base64 groups, so each part decodes on its own. */
constexpr size_t header_text_size = base64_encoded_size(header_size);
constexpr size_t ciphertext_text_at = base64_encoded_size(ciphertext_at);
static_assert(header_size % 3 == 0 && ciphertext_at % 3 == 0);
/* The shortest text that is accepted holds a tag, even with two characters of padding. */
static_assert(base64_decoded_max_size(base64_encoded_size(overhead)) - 2 >= overhead);

/* Writes the 12 bytes of the header. */
void
write_header(const KeyId &id, uint8_t *out)
{
	std::memcpy(out, magic, sizeof(magic));
	out[algorithm_at] = algorithm_aes_256_gcm;
	std::memcpy(out + key_id_at, id.data(), id.size());
	out[format_at] = 0;
}

/* The parts of an envelope: header || nonce, and ciphertext || tag. */
struct Parts
{
	uint8_t start[ciphertext_at];
	Bytes sealed;
};

/*
 * Splits an envelope into its parts. In text form, ciphertext || tag is decoded into
 * buffer and parts->sealed points there; in binary form it points into the envelope.
 * False for a malformed envelope.
 */
bool
split_envelope(dbcrypt_encoding encoding, Bytes envelope, uint8_t *buffer, Parts *parts)
{
	if (encoding == DBCRYPT_ENCODING_BINARY)
	{
		if (envelope.size() < overhead)
			return false;
		std::memcpy(parts->start, envelope.data(), ciphertext_at);
		parts->sealed = envelope.subspan(ciphertext_at);
		return true;
	}
	if (envelope.size() < base64_encoded_size(overhead))
		return false;
	size_t size;
	if (!base64_decode(envelope.data(), ciphertext_text_at, parts->start, &size) ||
		size != ciphertext_at)
		return false;
	const Bytes rest = envelope.subspan(ciphertext_text_at);
	if (!base64_decode(rest.data(), rest.size(), buffer, &size))
		return false;
	parts->sealed = {buffer, size};
	return true;
}

/* Where in out the binary envelope is built: at the end, so that base64 can grow over it. */
uint8_t *
binary_start(dbcrypt_encoding encoding, uint8_t *out, size_t binary_size)
{
	return encoding == DBCRYPT_ENCODING_TEXT ? out + base64_encoded_size(binary_size) - binary_size
											 : out;
}

/* Completes an envelope: header and nonce are at binary, the plaintext anywhere. */
void
encrypt_in_place(Key &key, dbcrypt_encoding encoding, Bytes plaintext, Bytes aad, uint8_t *binary,
				 uint8_t *out)
{
	key.native().seal(binary + nonce_at, {{binary, header_size}, aad}, plaintext,
					  binary + ciphertext_at);
	if (encoding == DBCRYPT_ENCODING_TEXT)
		base64_encode(binary, plaintext.size() + overhead, out);
}

} // namespace

size_t
envelope_size(dbcrypt_encoding encoding, size_t plaintext_size)
{
	if (plaintext_size > std::min<uint64_t>(Aead::plaintext_limit, SIZE_MAX / 4 * 3 - overhead - 3))
		return SIZE_MAX;
	const size_t size = plaintext_size + overhead;
	return encoding == DBCRYPT_ENCODING_TEXT ? base64_encoded_size(size) : size;
}

size_t
envelope_decrypt_max_size(dbcrypt_encoding encoding, size_t size)
{
	const size_t binary = encoding == DBCRYPT_ENCODING_TEXT ? base64_decoded_max_size(size) : size;
	return binary > ciphertext_at ? binary - ciphertext_at : 0;
}

dbcrypt_status
envelope_read_header(dbcrypt_encoding encoding, const uint8_t *start, size_t size, KeyId *id)
{
	uint8_t decoded[header_size];
	const uint8_t *header = start;
	if (encoding == DBCRYPT_ENCODING_TEXT)
	{
		size_t decoded_size;
		if (size < header_text_size ||
			!base64_decode(start, header_text_size, decoded, &decoded_size) ||
			decoded_size != header_size)
			return DBCRYPT_NOT_AN_ENVELOPE;
		header = decoded;
	}
	else if (size < header_size)
		return DBCRYPT_NOT_AN_ENVELOPE;

	if (std::memcmp(header, magic, sizeof(magic)) != 0)
		return DBCRYPT_NOT_AN_ENVELOPE;
	if (header[format_at] != 0)
		return DBCRYPT_NEWER_FORMAT;
	if (header[algorithm_at] != algorithm_aes_256_gcm)
		return DBCRYPT_NEWER_ALGORITHM;
	if (encoding == DBCRYPT_ENCODING_TEXT ? size < base64_encoded_size(overhead) || size % 4 != 0
										  : size < overhead)
		return DBCRYPT_NOT_AN_ENVELOPE;
	std::memcpy(id->data(), header + key_id_at, id->size());
	return DBCRYPT_OK;
}

void
envelope_seal(Key &key, dbcrypt_encoding encoding, Bytes plaintext, Bytes aad, uint8_t *out)
{
	uint8_t *const binary = binary_start(encoding, out, plaintext.size() + overhead);
	write_header(key.id(), binary);
	random_nonce(binary + nonce_at);
	encrypt_in_place(key, encoding, plaintext, aad, binary, out);
}

void
envelope_seal_with_nonce(Key &key, dbcrypt_encoding encoding, Bytes plaintext, Bytes aad,
						 const uint8_t *nonce, uint8_t *out)
{
	uint8_t *const binary = binary_start(encoding, out, plaintext.size() + overhead);
	write_header(key.id(), binary);
	std::memcpy(binary + nonce_at, nonce, nonce_size);
	encrypt_in_place(key, encoding, plaintext, aad, binary, out);
}

dbcrypt_status
envelope_open(Key &key, dbcrypt_encoding encoding, Bytes envelope, Bytes aad, uint8_t *out,
			  size_t *plaintext_size)
{
	WipeUnlessKept wipe(out, envelope_decrypt_max_size(encoding, envelope.size()));
	Parts parts;
	if (!split_envelope(encoding, envelope, out, &parts))
		return DBCRYPT_NOT_AN_ENVELOPE;
	if (!key.native().open(parts.start + nonce_at, {{parts.start, header_size}, aad}, parts.sealed,
						   out))
		return DBCRYPT_AUTHENTICATION_FAILED;
	*plaintext_size = parts.sealed.size() - Aead::tag_size;
	wipe.keep();
	return DBCRYPT_OK;
}

dbcrypt_status
envelope_reseal(Key &from, Key &to, dbcrypt_encoding encoding, Bytes envelope, Bytes aad,
				uint8_t *out)
{
	WipeUnlessKept wipe(out, envelope.size());
	Parts parts;

	/* The padding of a text tells its binary size; split_envelope checks it. */
	size_t binary_size = envelope.size();
	if (encoding == DBCRYPT_ENCODING_TEXT)
	{
		binary_size = base64_decoded_max_size(envelope.size());
		for (size_t i = 1; i <= 2 && i <= envelope.size(); i++)
			binary_size -= envelope[envelope.size() - i] == '=' ? 1 : 0;
	}
	if (binary_size < overhead)
		return DBCRYPT_NOT_AN_ENVELOPE;

	uint8_t *const binary = out + (envelope.size() - binary_size);
	if (!split_envelope(encoding, envelope, binary + ciphertext_at, &parts))
		return DBCRYPT_NOT_AN_ENVELOPE;
	if (!from.native().open(parts.start + nonce_at, {{parts.start, header_size}, aad}, parts.sealed,
							binary + ciphertext_at))
		return DBCRYPT_AUTHENTICATION_FAILED;
	write_header(to.id(), binary);
	random_nonce(binary + nonce_at);
	encrypt_in_place(to, encoding, {binary + ciphertext_at, parts.sealed.size() - Aead::tag_size},
					 aad, binary, out);
	wipe.keep();
	return DBCRYPT_OK;
}

} // namespace dbcrypt
