#include "keyring.h"

#include <algorithm>
#include <cstring>
#include <new>

#include "../crypto/base64.h"
#include "../crypto/random.h"
#include "../keys/canary.h"
#include "../keys/key_mask.h"
#include "../keys/key_source.h"
#include "../keys/keyring.h"
#include "exception_boundary.h"

#include "../crypto/no_postgres.h"

using namespace dbcrypt;

namespace
{

/*
 * Adds the keys of a source, a function that is given what becomes of weak keys and where
 * to report an error.
 */
template <typename Source>
dbcrypt_status
add_keys(dbcrypt_ring *ring, dbcrypt_source_error *error, Source &&source) noexcept
{
	dbcrypt_source_error unwanted;
	dbcrypt_source_error *const where = error != nullptr ? error : &unwanted;
	*where = {};
	return exception_boundary(
		[&]
		{
			ring->add(source(ring->allows_weak ? WeakKeys::allowed : WeakKeys::refused, where));
			*where = {};
			return DBCRYPT_OK;
		});
}

} // namespace

dbcrypt_ring *
dbcrypt_ring_new(bool allow_weak) noexcept
{
	return new (std::nothrow) dbcrypt_ring(allow_weak);
}

void
dbcrypt_ring_free(dbcrypt_ring *ring) noexcept
{
	delete ring;
}

dbcrypt_status
dbcrypt_ring_add_list(dbcrypt_ring *ring, const char *list, size_t size,
					  dbcrypt_source_error *error) noexcept
{
	return add_keys(ring, error,
					[&](WeakKeys weak, auto *where) {
						return keys_of_list({list, size}, weak, where);
					});
}

dbcrypt_status
dbcrypt_ring_add_contents(dbcrypt_ring *ring, const uint8_t *data, size_t size,
						  dbcrypt_source_error *error) noexcept
{
	return add_keys(ring, error,
					[&](WeakKeys weak, auto *where) {
						return keys_of_contents({data, size}, weak, where);
					});
}

dbcrypt_status
dbcrypt_ring_add_file(dbcrypt_ring *ring, const char *path, dbcrypt_source_error *error) noexcept
{
	return add_keys(ring, error,
					[&](WeakKeys weak, auto *where) { return keys_of_file(path, weak, where); });
}

uint64_t
dbcrypt_file_stamp(const char *path) noexcept
{
	uint64_t stamp = 0;
	(void) exception_boundary(
		[&]
		{
			stamp = file_stamp(path);
			return DBCRYPT_OK;
		});
	return stamp;
}

size_t
dbcrypt_ring_count(const dbcrypt_ring *ring) noexcept
{
	return ring->size();
}

size_t
dbcrypt_ring_find(dbcrypt_ring *ring, const char *key_id) noexcept
{
	/* Most values are under the key of the one before. */
	const auto is = [&](size_t i)
	{
		return i < ring->size() && std::strcmp(ring->at(i).id_text(), key_id) == 0;
	};
	if (is(ring->last()))
		return ring->last();
	const auto id = parse_key_id(key_id);
	const size_t i = id ? ring->find(*id) : ring->size();
	if (!is(i)) /* ids in upper case are not ids */
		return ring->size();
	ring->remember(i);
	return i;
}

const char *
dbcrypt_ring_key_id(const dbcrypt_ring *ring, size_t i) noexcept
{
	return ring->at(i).id_text();
}

bool
dbcrypt_ring_key_is_weak(const dbcrypt_ring *ring, size_t i) noexcept
{
	return ring->at(i).is_weak();
}

void
dbcrypt_ring_set_state(dbcrypt_ring *ring, size_t i, unsigned state) noexcept
{
	ring->at(i).state = state;
}

unsigned
dbcrypt_ring_state(const dbcrypt_ring *ring, size_t i) noexcept
{
	return ring->at(i).state;
}

dbcrypt_status
dbcrypt_generate_key(char out[45]) noexcept
{
	return exception_boundary(
		[&]
		{
			static_assert(base64_encoded_size(key_size) == 44);
			Secret key(key_size);
			random_key_bytes(reveal_secret(key).data(), key_size);
			base64_encode(reveal_secret(key).data(), key_size, reinterpret_cast<uint8_t *>(out));
			out[44] = '\0';
			return DBCRYPT_OK;
		});
}

size_t
dbcrypt_mask_keys(char *text, size_t size, const dbcrypt_ring *only) noexcept
{
	size_t masked = 0;
	(void) exception_boundary(
		[&]
		{
			masked = mask_keys({text, size}, only);
			return DBCRYPT_OK;
		});
	return masked;
}

size_t
dbcrypt_mask_key_literals(char *text, size_t size) noexcept
{
	size_t masked = 0;
	(void) exception_boundary(
		[&]
		{
			masked = mask_key_literals({text, size});
			return DBCRYPT_OK;
		});
	return masked;
}

dbcrypt_status
dbcrypt_make_canary(const dbcrypt_ring *ring, size_t i, char out[DBCRYPT_CANARY_SIZE + 1]) noexcept
{
	static_assert(canary_size == DBCRYPT_CANARY_SIZE);
	return exception_boundary(
		[&]
		{
			const auto canary = canary_of(ring->at(i));
			std::copy(canary.begin(), canary.end(), out);
			out[DBCRYPT_CANARY_SIZE] = '\0';
			return DBCRYPT_OK;
		});
}

bool
dbcrypt_canary_ok(const dbcrypt_ring *ring, size_t i, const char *canary, size_t size) noexcept
{
	const auto status = exception_boundary(
		[&]
		{
			const auto expected = canary_of(ring->at(i));
			return std::equal(expected.begin(), expected.end(), canary, canary + size)
					   ? DBCRYPT_OK
					   : DBCRYPT_KEY_CANARY_MISMATCH;
		});
	return status == DBCRYPT_OK;
}
