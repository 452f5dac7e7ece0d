#include "scheme_gcm.h"

#include <algorithm>
#include <cstring>

#include "../crypto/base64.h"

#include "../crypto/no_postgres.h"

namespace dbcrypt
{

namespace
{

/* Larger plaintexts have no value: no buffer holds the longest spelling of them. */
constexpr size_t plaintext_limit = std::min<uint64_t>(Aead::plaintext_limit, SIZE_MAX / 4);

void
reset(dbcrypt_sealed *out)
{
	out->value_size = 0;
	out->companion_is_null = true;
	out->companion_size = 0;
}

} // namespace

bool
GcmScheme::names(const RingKey &, const dbcrypt_cell &) const
{
	return false;
}

void
GcmScheme::make_nonce(Bytes, uint8_t *nonce) const
{
	fresh_nonce(nonce);
}

Aead &
GcmScheme::cipher(RingKey &key, const dbcrypt_context &) const
{
	return key.raw();
}

Aad
GcmScheme::aad(const dbcrypt_context &context) const
{
	return {{}, traits.aad ? Bytes(context.aad, context.aad_size) : Bytes()};
}

bool
GcmScheme::take_blob(Bytes blob, Parts *parts) const
{
	if (blob.size() < lead_ + Aead::tag_size)
		return false;
	std::memcpy(parts->nonce, blob.data(), lead_);
	parts->sealed = blob.subspan(lead_);
	return true;
}

/* The largest blob that a value of that size can spell. */
size_t
GcmScheme::blob_limit(dbcrypt_form form, size_t value_size) const
{
	return form == DBCRYPT_TEXT ? base64_reader_room(value_size) : value_size;
}

size_t
GcmScheme::open_room(dbcrypt_form form, size_t value_size) const
{
	return blob_limit(form, value_size);
}

size_t
GcmScheme::seal_room(dbcrypt_form form, size_t plaintext_size) const
{
	if (plaintext_size > plaintext_limit)
		return SIZE_MAX;
	return spelled_size(form, lead_ + plaintext_size + Aead::tag_size);
}

size_t
GcmScheme::rotate_room(dbcrypt_form form, const dbcrypt_cell &cell) const
{
	if (inspect(cell) == DBCRYPT_CELL_PLAINTEXT)
		return seal_room(form, cell.value_size);
	const size_t limit = blob_limit(form, cell.value_size);
	const size_t overhead = lead_ + Aead::tag_size;
	return seal_room(form, limit > overhead ? limit - overhead : 0);
}

/* The index of the key that the cell names; ring.size() if it is not loaded. */
size_t
GcmScheme::named(const Ring &ring, const dbcrypt_cell &cell) const
{
	size_t i = 0;
	while (i < ring.size() && !names(ring.at(i), cell))
		i++;
	return i;
}

/*
 * Opens with one key. room has blob_limit bytes; the plaintext begins behind the
 * place of the nonce, if there is one.
 */
dbcrypt_status
GcmScheme::open_with(RingKey &key, const dbcrypt_context &context, const dbcrypt_cell &cell,
					 uint8_t *room, size_t *plaintext_size) const
{
	Parts parts;
	if (!parse(context.form, key, cell, room, &parts))
		return DBCRYPT_NOT_AN_ENVELOPE;
	*plaintext_size = parts.sealed.size() - Aead::tag_size;
	return cipher(key, context).open(parts.nonce, aad(context), parts.sealed, room + lead_)
			   ? DBCRYPT_OK
			   : DBCRYPT_AUTHENTICATION_FAILED;
}

/* Opens with the key that is named or, where none is, with the one whose tag fits. */
dbcrypt_status
GcmScheme::find_and_open(Ring &ring, const dbcrypt_context &context, const dbcrypt_cell &cell,
						 uint8_t *room, size_t *plaintext_size, size_t *key) const
{
	dbcrypt_status status;
	if (traits.names_key)
	{
		*key = named(ring, cell);
		RingKey *const found =
			ring.readable(*key < ring.size() ? &ring.at(*key) : nullptr, &status);
		return found != nullptr ? open_with(*found, context, cell, room, plaintext_size) : status;
	}

	if (ring.size() == 0)
		return DBCRYPT_NO_KEYS;
	/* The key of last time, then the others in order. */
	const size_t last = ring.last();
	for (size_t turn = 0; turn <= ring.size(); turn++)
	{
		const size_t i = turn == 0 ? last : turn - 1;
		if (i >= ring.size() || (turn > 0 && i == last))
			continue;
		/* An attempt overwrites the blob, so each takes the cell apart anew. */
		status = open_with(ring.at(i), context, cell, room, plaintext_size);
		if (status == DBCRYPT_OK)
		{
			*key = i;
			ring.remember(i);
			return ring.readable(&ring.at(i), &status) != nullptr ? DBCRYPT_OK : status;
		}
		if (status != DBCRYPT_AUTHENTICATION_FAILED)
			return status;
	}
	return DBCRYPT_AUTHENTICATION_FAILED;
}

dbcrypt_status
GcmScheme::open(Ring &ring, const dbcrypt_context &context, const dbcrypt_cell &cell, uint8_t *out,
				size_t *plaintext_size, size_t *key) const
{
	const size_t room = open_room(context.form, cell.value_size);
	WipeUnlessKept wipe(out, room);
	if (room < lead_ + Aead::tag_size)
		return DBCRYPT_NOT_AN_ENVELOPE;
	const auto status = find_and_open(ring, context, cell, out, plaintext_size, key);
	if (status != DBCRYPT_OK)
		return status;
	if (lead_ > 0)
	{
		std::memmove(out, out + lead_, *plaintext_size);
		cleanse(out + *plaintext_size, lead_);
	}
	wipe.keep();
	return DBCRYPT_OK;
}

dbcrypt_status
GcmScheme::identify(Ring &ring, const dbcrypt_context &context, const dbcrypt_cell &cell,
					uint8_t *out, char *key_id) const
{
	size_t key;
	auto status = DBCRYPT_OK;
	if (traits.names_key)
	{
		key = named(ring, cell);
		if (key == ring.size())
			status = DBCRYPT_KEY_NOT_LOADED;
	}
	else
	{
		size_t plaintext_size;
		status = open(ring, context, cell, out, &plaintext_size, &key);
		if (status == DBCRYPT_OK)
			cleanse(out, plaintext_size);
	}
	if (status == DBCRYPT_OK || status == DBCRYPT_KEY_REVOKED)
		std::memcpy(key_id, ring.at(key).id_text(), DBCRYPT_KEY_ID_LEN + 1);
	else
		key_id[0] = '\0';
	return status == DBCRYPT_KEY_REVOKED ? DBCRYPT_OK : status;
}

/* Completes a blob at its place in out->value; the plaintext may stand there already. */
void
GcmScheme::seal_at(RingKey &key, const dbcrypt_context &context, Bytes plaintext,
				   const uint8_t *nonce, uint8_t *blob, dbcrypt_sealed *out) const
{
	const size_t blob_size = lead_ + plaintext.size() + Aead::tag_size;
	cipher(key, context).seal(nonce, aad(context), plaintext, blob + lead_);
	std::memcpy(blob, nonce, lead_);
	out->value_size = spelled_size(context.form, blob_size);
	spell(context.form, key, nonce, {blob, blob_size}, out);
}

void
GcmScheme::seal_with_nonce(RingKey &key, const dbcrypt_context &context, Bytes plaintext,
						   const uint8_t *nonce, dbcrypt_sealed *out) const
{
	const size_t blob_size = lead_ + plaintext.size() + Aead::tag_size;
	reset(out);
	seal_at(key, context, plaintext, nonce,
			out->value + (spelled_size(context.form, blob_size) - blob_size), out);
}

dbcrypt_status
GcmScheme::seal(Ring &ring, const dbcrypt_context &context, Bytes plaintext,
				dbcrypt_sealed *out) const
{
	reset(out);
	if (traits.keeps_empty && plaintext.empty())
		return DBCRYPT_OK;
	dbcrypt_status status;
	RingKey *const key = ring.primary(&status);
	if (key == nullptr)
		return status;
	if (seal_room(context.form, plaintext.size()) == SIZE_MAX)
		return DBCRYPT_TOO_LARGE;
	uint8_t nonce[nonce_size];
	make_nonce(plaintext, nonce);
	seal_with_nonce(*key, context, plaintext, nonce, out);
	return DBCRYPT_OK;
}

dbcrypt_status
GcmScheme::rotate(Ring &ring, const dbcrypt_context &context, const dbcrypt_cell &cell,
				  dbcrypt_sealed *out, bool *changed) const
{
	reset(out);
	*changed = false;
	auto status = DBCRYPT_OK;
	switch (inspect(cell))
	{
		case DBCRYPT_CELL_NULL:
		case DBCRYPT_CELL_EMPTY:
			return DBCRYPT_OK;
		case DBCRYPT_CELL_PLAINTEXT:
			status = seal(ring, context, {cell.value, cell.value_size}, out);
			*changed = status == DBCRYPT_OK;
			return status;
		case DBCRYPT_CELL_ENCRYPTED:
			break;
	}
	if (traits.names_key && ring.size() > 0 && names(ring.at(0), cell))
		return DBCRYPT_OK;

	const size_t room = rotate_room(context.form, cell);
	const size_t limit = blob_limit(context.form, cell.value_size);
	if (room == SIZE_MAX)
		return DBCRYPT_TOO_LARGE;
	if (limit < lead_ + Aead::tag_size)
		return DBCRYPT_NOT_AN_ENVELOPE;
	WipeUnlessKept wipe(out->value, room);
	uint8_t *const blob = out->value + (room - limit);
	size_t size = 0;
	size_t from = 0;
	status = find_and_open(ring, context, cell, blob, &size, &from);
	if ((status == DBCRYPT_OK || status == DBCRYPT_KEY_REVOKED) && from == 0)
		return DBCRYPT_OK;
	if (status != DBCRYPT_OK)
		return status;
	RingKey *const to = ring.primary(&status);
	if (to == nullptr)
		return status;
	const Bytes plaintext(blob + lead_, size);
	uint8_t nonce[nonce_size];
	make_nonce(plaintext, nonce);
	seal_at(*to, context, plaintext, nonce, blob, out);
	*changed = true;
	wipe.keep();
	return DBCRYPT_OK;
}

} // namespace dbcrypt
