#include "scheme_gcm.h"

#include <algorithm>
#include <cstring>

#include "../crypto/base64.h"

#include "../crypto/no_postgres.h"

namespace dbcrypt
{

namespace
{

/* Above this the longest encoding of a value would not fit in any buffer. */
constexpr size_t plaintext_limit = std::min<uint64_t>(Aead::plaintext_limit, SIZE_MAX / 4);

} // namespace

size_t
GcmScheme::find_named(const Keyring &keyring, const dbcrypt_cell &) const
{
	return keyring.size();
}

void
GcmScheme::make_nonce(Bytes, uint8_t *nonce) const
{
	random_nonce(nonce);
}

Aead &
GcmScheme::aead_of(Key &key, const dbcrypt_context &) const
{
	return key.raw();
}

Aad
GcmScheme::aad(const dbcrypt_context &context) const
{
	return {{}, traits.aad ? Bytes(context.aad, context.aad_size) : Bytes()};
}

bool
GcmScheme::split_blob(Bytes blob, Parts *parts) const
{
	if (blob.size() < nonce_prefix_ + Aead::tag_size)
		return false;
	std::memcpy(parts->nonce, blob.data(), nonce_prefix_);
	parts->sealed = blob.subspan(nonce_prefix_);
	return true;
}

/* Size of the largest blob that a value of this size can hold. */
size_t
GcmScheme::blob_limit(dbcrypt_encoding encoding, size_t value_size) const
{
	return encoding == DBCRYPT_ENCODING_TEXT ? base64_reader_max_size(value_size) : value_size;
}

size_t
GcmScheme::open_max_size(dbcrypt_encoding encoding, size_t value_size) const
{
	return blob_limit(encoding, value_size);
}

size_t
GcmScheme::seal_max_size(dbcrypt_encoding encoding, size_t plaintext_size) const
{
	if (plaintext_size > plaintext_limit)
		return SIZE_MAX;
	return encoded_size(encoding, nonce_prefix_ + plaintext_size + Aead::tag_size);
}

size_t
GcmScheme::rotate_max_size(dbcrypt_encoding encoding, const dbcrypt_cell &cell) const
{
	if (inspect(cell) == DBCRYPT_CELL_PLAINTEXT)
		return seal_max_size(encoding, cell.value_size);
	const size_t limit = blob_limit(encoding, cell.value_size);
	const size_t overhead = nonce_prefix_ + Aead::tag_size;
	return seal_max_size(encoding, limit > overhead ? limit - overhead : 0);
}

/*
 * Decrypts with one key. buffer has blob_limit bytes. The plaintext is written
 * behind the first nonce_prefix_ bytes of it.
 */
dbcrypt_status
GcmScheme::open_with(Key &key, const dbcrypt_context &context, const dbcrypt_cell &cell,
					 uint8_t *buffer, size_t *plaintext_size) const
{
	Parts parts;
	if (!parse(context.encoding, key, cell, buffer, &parts))
		return DBCRYPT_NOT_AN_ENVELOPE;
	*plaintext_size = parts.sealed.size() - Aead::tag_size;
	return aead_of(key, context)
				   .open(parts.nonce, aad(context), parts.sealed, buffer + nonce_prefix_)
			   ? DBCRYPT_OK
			   : DBCRYPT_AUTHENTICATION_FAILED;
}

/*
 * Decrypts with the key that the cell names. A cell that names none is tried with
 * each key until a tag is right. *key is the key's index.
 */
dbcrypt_status
GcmScheme::find_and_open(Keyring &keyring, const dbcrypt_context &context, const dbcrypt_cell &cell,
						 uint8_t *buffer, size_t *plaintext_size, size_t *key) const
{
	dbcrypt_status status;
	if (traits.names_key)
	{
		if (names_are_shared(keyring))
			return DBCRYPT_KEY_NAME_SHARED;
		*key = find_named(keyring, cell);
		Key *const found = keyring.check_may_decrypt(*key, &status);
		return found != nullptr ? open_with(*found, context, cell, buffer, plaintext_size) : status;
	}

	if (keyring.size() == 0)
		return DBCRYPT_NO_KEYS;
	/* First the key of the value before, then the others in order. */
	const size_t last = keyring.last();
	for (size_t turn = 0; turn <= keyring.size(); turn++)
	{
		const size_t i = turn == 0 ? last : turn - 1;
		if (i >= keyring.size() || (turn > 0 && i == last))
			continue;
		/* Decryption overwrites the blob, so each attempt parses the cell again. */
		status = open_with(keyring.at(i), context, cell, buffer, plaintext_size);
		if (status == DBCRYPT_OK)
		{
			*key = i;
			keyring.remember(i);
			return keyring.check_may_decrypt(i, &status) != nullptr ? DBCRYPT_OK : status;
		}
		if (status != DBCRYPT_AUTHENTICATION_FAILED)
			return status;
	}
	return DBCRYPT_AUTHENTICATION_FAILED;
}

dbcrypt_status
GcmScheme::open(Keyring &keyring, const dbcrypt_context &context, const dbcrypt_cell &cell,
				uint8_t *out, size_t *plaintext_size, size_t *key) const
{
	const size_t max_size = open_max_size(context.encoding, cell.value_size);
	WipeUnlessKept wipe(out, max_size);
	if (max_size < nonce_prefix_ + Aead::tag_size)
		return DBCRYPT_NOT_AN_ENVELOPE;
	const auto status = find_and_open(keyring, context, cell, out, plaintext_size, key);
	if (status != DBCRYPT_OK)
		return status;
	if (nonce_prefix_ > 0)
	{
		std::memmove(out, out + nonce_prefix_, *plaintext_size);
		cleanse(out + *plaintext_size, nonce_prefix_);
	}
	wipe.keep();
	return DBCRYPT_OK;
}

dbcrypt_status
GcmScheme::identify(Keyring &keyring, const dbcrypt_context &context, const dbcrypt_cell &cell,
					uint8_t *out, char *key_id) const
{
	size_t key;
	auto status = DBCRYPT_OK;
	if (traits.names_key)
	{
		key = find_named(keyring, cell);
		if (key == keyring.size())
			status = DBCRYPT_KEY_NOT_LOADED;
	}
	else
	{
		size_t plaintext_size;
		status = open(keyring, context, cell, out, &plaintext_size, &key);
		if (status == DBCRYPT_OK)
			cleanse(out, plaintext_size);
	}
	if (status == DBCRYPT_OK || status == DBCRYPT_KEY_REVOKED)
		std::memcpy(key_id, keyring.at(key).id_text(), DBCRYPT_KEY_ID_LEN + 1);
	else
		key_id[0] = '\0';
	return status == DBCRYPT_KEY_REVOKED ? DBCRYPT_OK : status;
}

/*
 * Builds a blob inside out->value and encodes it. The plaintext may already be at
 * its place in the blob.
 */
void
GcmScheme::seal_at(Key &key, const dbcrypt_context &context, Bytes plaintext, const uint8_t *nonce,
				   uint8_t *blob, dbcrypt_sealed *out) const
{
	const size_t blob_size = nonce_prefix_ + plaintext.size() + Aead::tag_size;
	aead_of(key, context).seal(nonce, aad(context), plaintext, blob + nonce_prefix_);
	std::memcpy(blob, nonce, nonce_prefix_);
	out->value_size = encoded_size(context.encoding, blob_size);
	encode(context.encoding, key, nonce, {blob, blob_size}, out);
}

void
GcmScheme::seal_with_nonce(Key &key, const dbcrypt_context &context, Bytes plaintext,
						   const uint8_t *nonce, dbcrypt_sealed *out) const
{
	const size_t blob_size = nonce_prefix_ + plaintext.size() + Aead::tag_size;
	clear_sealed(out);
	seal_at(key, context, plaintext, nonce,
			out->value + (encoded_size(context.encoding, blob_size) - blob_size), out);
}

dbcrypt_status
GcmScheme::seal(Keyring &keyring, const dbcrypt_context &context, Bytes plaintext,
				dbcrypt_sealed *out) const
{
	clear_sealed(out);
	if (traits.keeps_empty && plaintext.empty())
		return DBCRYPT_OK;
	if (names_are_shared(keyring))
		return DBCRYPT_KEY_NAME_SHARED;
	dbcrypt_status status;
	Key *const key = keyring.primary(&status);
	if (key == nullptr)
		return status;
	if (seal_max_size(context.encoding, plaintext.size()) == SIZE_MAX)
		return DBCRYPT_TOO_LARGE;
	uint8_t nonce[nonce_size];
	make_nonce(plaintext, nonce);
	seal_with_nonce(*key, context, plaintext, nonce, out);
	return DBCRYPT_OK;
}

dbcrypt_status
GcmScheme::rotate(Keyring &keyring, const dbcrypt_context &context, const dbcrypt_cell &cell,
				  dbcrypt_sealed *out, bool *changed) const
{
	clear_sealed(out);
	*changed = false;
	auto status = DBCRYPT_OK;
	switch (inspect(cell))
	{
		case DBCRYPT_CELL_NULL:
		case DBCRYPT_CELL_EMPTY:
			return DBCRYPT_OK;
		case DBCRYPT_CELL_PLAINTEXT:
			status = seal(keyring, context, {cell.value, cell.value_size}, out);
			*changed = status == DBCRYPT_OK;
			return status;
		case DBCRYPT_CELL_ENCRYPTED:
			break;
	}
	if (names_are_shared(keyring))
		return DBCRYPT_KEY_NAME_SHARED;
	if (traits.names_key && keyring.size() > 0 && find_named(keyring, cell) == 0)
		return DBCRYPT_OK;

	const size_t max_size = rotate_max_size(context.encoding, cell);
	const size_t limit = blob_limit(context.encoding, cell.value_size);
	if (max_size == SIZE_MAX)
		return DBCRYPT_TOO_LARGE;
	if (limit < nonce_prefix_ + Aead::tag_size)
		return DBCRYPT_NOT_AN_ENVELOPE;
	WipeUnlessKept wipe(out->value, max_size);
	uint8_t *const blob = out->value + (max_size - limit);
	size_t size = 0;
	size_t from = 0;
	status = find_and_open(keyring, context, cell, blob, &size, &from);
	if ((status == DBCRYPT_OK || status == DBCRYPT_KEY_REVOKED) && from == 0)
		return DBCRYPT_OK;
	if (status != DBCRYPT_OK)
		return status;
	Key *const to = keyring.primary(&status);
	if (to == nullptr)
		return status;
	const Bytes plaintext(blob + nonce_prefix_, size);
	uint8_t nonce[nonce_size];
	make_nonce(plaintext, nonce);
	seal_at(*to, context, plaintext, nonce, blob, out);
	*changed = true;
	wipe.keep();
	return DBCRYPT_OK;
}

} // namespace dbcrypt
