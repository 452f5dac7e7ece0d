/*
 * fuzz_schemes.cpp
 *		Any bytes as a cell of any scheme, and any plaintext there and back.
 *
 * First byte: scheme; second: form, and whether the companion is NULL; third: its
 * size. The rest is the companion, then the value.
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

	dbcrypt_cell cell() const
	{
		static const uint8_t empty = 0;
		return {value.empty() ? &empty : value.data(), value.size(),
				companion_is_null	? nullptr
				: companion.empty() ? &empty
									: companion.data(),
				companion.size()};
	}
};

Row
row_of(const dbcrypt_sealed &sealed)
{
	return {Octets(sealed.value, sealed.value + sealed.value_size),
			Octets(sealed.companion, sealed.companion + sealed.companion_size),
			sealed.companion_is_null};
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
rotate_anything(const dbcrypt_scheme *scheme, dbcrypt_ring *ring, const dbcrypt_context &context,
				const Row &row)
{
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
	require(opens(scheme, ring, context, row_of(sealed), &after));
	require(after == before);
}

} // namespace

extern "C" int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static dbcrypt_ring *const old = new_ring(std::string(64, '2'));
	static dbcrypt_ring *const ring = new_ring(std::string(64, '1') + "," + std::string(64, '2'));
	if (size < 3)
		return 0;
	const auto *const scheme = dbcrypt_scheme_at(data[0] % 7);
	const auto *const traits = dbcrypt_scheme_traits_of(scheme);
	dbcrypt_context context = {};
	context.encoding = (traits->text && (data[1] & 1) != 0) || !traits->binary
						   ? DBCRYPT_ENCODING_TEXT
						   : DBCRYPT_ENCODING_BINARY;
	const size_t companion_size = std::min<size_t>(data[2], size - 3);
	Row row;
	row.companion_is_null = (data[1] & 2) != 0;
	row.companion.assign(data + 3, data + 3 + companion_size);
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
