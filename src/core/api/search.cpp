#include "search.h"

#include "../formats/envelope_search.h"
#include "../formats/looks_random.h"
#include "../keys/key.h"

#include "../crypto/no_postgres.h"

using namespace dbcrypt;

bool
dbcrypt_search_envelope(const uint8_t *text, size_t size, size_t from,
						dbcrypt_found *found) noexcept
{
	FoundHeader header;

	if (!envelope_search({text, size}, from, &header))
		return false;
	found->begin = header.begin;
	found->end = header.end;
	encode_key_id(header.key_id, found->key_id);
	return true;
}

void
dbcrypt_sample_add(dbcrypt_sample *sample, dbcrypt_encoding encoding, const uint8_t *value,
				   size_t size) noexcept
{
	sample_add(sample, encoding, {value, size});
}

void
dbcrypt_sample_merge(dbcrypt_sample *sample, const dbcrypt_sample *other) noexcept
{
	sample_merge(sample, *other);
}

bool
dbcrypt_sample_looks_encrypted(const dbcrypt_sample *sample, bool has_companion,
							   uint32_t *decoded) noexcept
{
	return sample_looks_random(*sample, has_companion, decoded);
}
