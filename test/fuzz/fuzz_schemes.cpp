/*
 * fuzz_schemes.cpp
 *		Any bytes as a cell of any scheme, and any plaintext there and back.
 *
 * First byte: scheme; second: form, and whether the companions are NULL; third: their
 * size. The rest is the companion, which is the salt too, then the value.
 */
#include <algorithm>
#include <cstdlib>
#include <string>
#include <vector>

#include "api/scheme.h"
#include "api/value.h"

namespace
{

void
require(bool condition)
{
	if (!condition)
		std::abort();
}

dbcrypt_ring *
new_ring(const std::string &keys)
{
	dbcrypt_ring *const made = dbcrypt_ring_new(true);
	require(dbcrypt_ring_add_list(made, keys.data(), keys.size(), nullptr) == DBCRYPT_OK);
	dbcrypt_ring_set_state(made, 0, DBCRYPT_STATE_REGISTERED);
	return made;
}

using Octets = std::vector<uint8_t>;

/* Storage of exactly a cell's bytes. */
struct Row
{
	Octets value;
	Octets companion;
	bool companion_is_null = true;
	Octets salt; /* NULL where the companion is */

	dbcrypt_cell cell() const
	{
		static const uint8_t empty = 0;
		const auto companion_data = [&](const Octets &bytes)
		{
			return companion_is_null ? nullptr : bytes.empty() ? &empty : bytes.data();
		};
		return {value.empty() ? &empty : value.data(),
				value.size(),
				companion_data(companion),
				companion.size(),
				companion_data(salt),
				salt.size()};
	}
};

Row
row_of(const dbcrypt_sealed &sealed)
{
	return {Octets(sealed.value, sealed.value + sealed.value_size),
			Octets(sealed.companion, sealed.companion + sealed.companion_size),
			sealed.companion_is_null, Octets(sealed.salt, sealed.salt + sealed.salt_size)};
}

bool
opens(const dbcrypt_scheme *scheme, dbcrypt_ring *ring, const dbcrypt_context &context,
	  const Row &row, Octets *plaintext)
{
	const auto cell = row.cell();
	plaintext->resize(dbcrypt_scheme_open_max_size(scheme, context.encoding, cell.value_size));
	size_t size = 0;
	size_t key;
	const auto status =
		dbcrypt_scheme_open(scheme, ring, &context, &cell, plaintext->data(), &size, &key);
	plaintext->resize(status == DBCRYPT_OK ? size : 0);
	return status == DBCRYPT_OK;
}

/* What rotates opens before and after, to the same; nothing else changes. */
void
rotate_anything(const dbcrypt_scheme *scheme, dbcrypt_ring *ring, dbcrypt_context context,
				const Row &row)
{
	/* Where the column records its key, that is the older one, and then the newer one. */
	context.recorded_key = dbcrypt_ring_key_id(ring, 1);
	const auto cell = row.cell();
	Octets before;
	const bool opened = opens(scheme, ring, context, row, &before);
	Octets value(dbcrypt_scheme_rotate_max_size(scheme, context.encoding, &cell));
	dbcrypt_sealed sealed;
	sealed.value = value.data();
	bool changed;
	const auto status = dbcrypt_scheme_rotate(scheme, ring, &context, &cell, &sealed, &changed);
	require(!changed || status == DBCRYPT_OK);
	require(sealed.value_size <= value.size() || status != DBCRYPT_OK);
	if (!changed)
		return;
	if (dbcrypt_scheme_inspect(scheme, &cell) == DBCRYPT_CELL_PLAINTEXT)
		before = row.value;
	else
		require(opened);
	Octets after;
	context.recorded_key = dbcrypt_ring_key_id(ring, 0);
	require(opens(scheme, ring, context, row_of(sealed), &after));
	require(after == before);
}

} // namespace

extern "C" int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const std::string new_text = "text:" + std::string(64, '1');
	static const std::string old_text = "text:" + std::string(64, '2');
	static dbcrypt_ring *const old = new_ring(old_text);
	static dbcrypt_ring *const ring = new_ring(new_text + "," + old_text);
	if (size < 3)
		return 0;
	const auto *const scheme = dbcrypt_scheme_at(data[0] % 9);
	const auto *const traits = dbcrypt_scheme_traits_of(scheme);
	/* A key that is derived slowly would take nearly all of the time. */
	if (traits->derivation && size % 64 != 0)
		return 0;
	dbcrypt_context context = {};
	context.plaintext_is_text = (data[1] & 4) != 0;
	context.encoding = (traits->text && (data[1] & 1) != 0) || !traits->binary
						   ? DBCRYPT_ENCODING_TEXT
						   : DBCRYPT_ENCODING_BINARY;
	const size_t companion_size = std::min<size_t>(data[2], size - 3);
	Row row;
	row.companion_is_null = (data[1] & 2) != 0;
	row.companion.assign(data + 3, data + 3 + companion_size);
	row.salt = row.companion;
	row.value.assign(data + 3 + companion_size, data + size);
	rotate_anything(scheme, ring, context, row);

	/* The value as a plaintext under the older key, in the scheme's own spelling. */
	Octets value(dbcrypt_scheme_seal_max_size(scheme, context.encoding, row.value.size()));
	dbcrypt_sealed sealed;
	sealed.value = value.data();
	require(dbcrypt_scheme_seal(scheme, old, &context, row.value.data(), row.value.size(),
								&sealed) == DBCRYPT_OK);
	Row sealed_row = row_of(sealed);
	rotate_anything(scheme, ring, context, sealed_row);
	/* And with one byte of it changed by the input. */
	if (!sealed_row.value.empty())
	{
		sealed_row.value[data[2] % sealed_row.value.size()] = data[1];
		rotate_anything(scheme, ring, context, sealed_row);
	}
	return 0;
}
