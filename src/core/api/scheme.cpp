#include "scheme.h"

#include "../formats/scheme.h"
#include "exception_boundary.h"

#include "../crypto/no_postgres.h"

using namespace dbcrypt;

const dbcrypt_scheme *
dbcrypt_scheme_find(const char *name) noexcept
{
	return scheme_named(name);
}

const dbcrypt_scheme *
dbcrypt_scheme_at(size_t i) noexcept
{
	return scheme_at(i);
}

const dbcrypt_scheme_traits *
dbcrypt_scheme_traits_of(const dbcrypt_scheme *scheme) noexcept
{
	return &scheme->traits;
}

const char *
dbcrypt_scheme_key_name(const dbcrypt_scheme *scheme, const dbcrypt_ring *ring, size_t i) noexcept
{
	return scheme->key_name(ring->at(i));
}

bool
dbcrypt_scheme_names_shared(const dbcrypt_scheme *scheme, const dbcrypt_ring *ring) noexcept
{
	return scheme->names_are_shared(*ring);
}

dbcrypt_cell_kind
dbcrypt_scheme_inspect(const dbcrypt_scheme *scheme, const dbcrypt_cell *cell) noexcept
{
	return scheme->inspect(*cell);
}

size_t
dbcrypt_scheme_open_max_size(const dbcrypt_scheme *scheme, dbcrypt_encoding encoding,
							 size_t value_size) noexcept
{
	return scheme->open_max_size(encoding, value_size);
}

dbcrypt_status
dbcrypt_scheme_open(const dbcrypt_scheme *scheme, dbcrypt_ring *ring,
					const dbcrypt_context *context, const dbcrypt_cell *cell, uint8_t *out,
					size_t *plaintext_size, size_t *key) noexcept
{
	return exception_boundary(
		[&] { return scheme->open(*ring, *context, *cell, out, plaintext_size, key); });
}

dbcrypt_status
dbcrypt_scheme_identify(const dbcrypt_scheme *scheme, dbcrypt_ring *ring,
						const dbcrypt_context *context, const dbcrypt_cell *cell, uint8_t *out,
						char key_id[DBCRYPT_KEY_ID_LEN + 1]) noexcept
{
	return exception_boundary([&]
							  { return scheme->identify(*ring, *context, *cell, out, key_id); });
}

size_t
dbcrypt_scheme_seal_max_size(const dbcrypt_scheme *scheme, dbcrypt_encoding encoding,
							 size_t plaintext_size) noexcept
{
	return scheme->seal_max_size(encoding, plaintext_size);
}

dbcrypt_status
dbcrypt_scheme_seal(const dbcrypt_scheme *scheme, dbcrypt_ring *ring,
					const dbcrypt_context *context, const uint8_t *plaintext, size_t plaintext_size,
					dbcrypt_sealed *out) noexcept
{
	return exception_boundary(
		[&] {
			return scheme->seal(*ring, *context, {plaintext, plaintext_size}, out);
		});
}

size_t
dbcrypt_scheme_rotate_max_size(const dbcrypt_scheme *scheme, dbcrypt_encoding encoding,
							   const dbcrypt_cell *cell) noexcept
{
	return scheme->rotate_max_size(encoding, *cell);
}

dbcrypt_status
dbcrypt_scheme_rotate(const dbcrypt_scheme *scheme, dbcrypt_ring *ring,
					  const dbcrypt_context *context, const dbcrypt_cell *cell, dbcrypt_sealed *out,
					  bool *changed) noexcept
{
	return exception_boundary([&] { return scheme->rotate(*ring, *context, *cell, out, changed); });
}
