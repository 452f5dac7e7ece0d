/*
 * scheme.cpp
 *		The table of schemes, and core.h's door to them.
 */
#include "scheme.h"

#include <string_view>

#include "door.h"
#include "wall.h"

using namespace dbcrypt;

namespace
{

const Scheme *const schemes[] = {
	&native_scheme,			&coder_scheme,		  &lockbox_scheme,		&tooljet_scheme,
	&attr_encrypted_scheme, &gitlab_token_scheme, &containarium_scheme,
};

} // namespace

const char *
dbcrypt_scheme::key_name(const RingKey &) const
{
	return nullptr;
}

dbcrypt_cell_kind
dbcrypt_scheme::inspect(const dbcrypt_cell &cell) const
{
	if (cell.value == nullptr)
		return DBCRYPT_CELL_NULL;
	return traits.keeps_empty && cell.value_size == 0 ? DBCRYPT_CELL_EMPTY : DBCRYPT_CELL_ENCRYPTED;
}

const dbcrypt_scheme *
dbcrypt_scheme_find(const char *name) noexcept
{
	for (const Scheme *scheme : schemes)
		if (std::string_view(scheme->traits.name) == name)
			return scheme;
	return nullptr;
}

const dbcrypt_scheme *
dbcrypt_scheme_at(size_t i) noexcept
{
	return i < std::size(schemes) ? schemes[i] : nullptr;
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

dbcrypt_cell_kind
dbcrypt_scheme_inspect(const dbcrypt_scheme *scheme, const dbcrypt_cell *cell) noexcept
{
	return scheme->inspect(*cell);
}

size_t
dbcrypt_scheme_open_room(const dbcrypt_scheme *scheme, dbcrypt_form form,
						 size_t value_size) noexcept
{
	return scheme->open_room(form, value_size);
}

dbcrypt_status
dbcrypt_scheme_open(const dbcrypt_scheme *scheme, dbcrypt_ring *ring,
					const dbcrypt_context *context, const dbcrypt_cell *cell, uint8_t *out,
					size_t *plaintext_size, size_t *key) noexcept
{
	return guarded([&] { return scheme->open(*ring, *context, *cell, out, plaintext_size, key); });
}

dbcrypt_status
dbcrypt_scheme_identify(const dbcrypt_scheme *scheme, dbcrypt_ring *ring,
						const dbcrypt_context *context, const dbcrypt_cell *cell, uint8_t *out,
						char key_id[DBCRYPT_KEY_ID_LEN + 1]) noexcept
{
	return guarded([&] { return scheme->identify(*ring, *context, *cell, out, key_id); });
}

size_t
dbcrypt_scheme_seal_room(const dbcrypt_scheme *scheme, dbcrypt_form form,
						 size_t plaintext_size) noexcept
{
	return scheme->seal_room(form, plaintext_size);
}

dbcrypt_status
dbcrypt_scheme_seal(const dbcrypt_scheme *scheme, dbcrypt_ring *ring,
					const dbcrypt_context *context, const uint8_t *plaintext, size_t plaintext_size,
					dbcrypt_sealed *out) noexcept
{
	return guarded([&] { return scheme->seal(*ring, *context, {plaintext, plaintext_size}, out); });
}

size_t
dbcrypt_scheme_rotate_room(const dbcrypt_scheme *scheme, dbcrypt_form form,
						   const dbcrypt_cell *cell) noexcept
{
	return scheme->rotate_room(form, *cell);
}

dbcrypt_status
dbcrypt_scheme_rotate(const dbcrypt_scheme *scheme, dbcrypt_ring *ring,
					  const dbcrypt_context *context, const dbcrypt_cell *cell, dbcrypt_sealed *out,
					  bool *changed) noexcept
{
	return guarded([&] { return scheme->rotate(*ring, *context, *cell, out, changed); });
}
