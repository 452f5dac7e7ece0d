/*
 * fuzz_envelope.cpp
 *		Any bytes as an envelope: no crash, and nothing opens that was not sealed here.
 *
 * The first byte chooses the form and whether to mend the header so that the
 * rest is reached. The remaining bytes are the value.
 */
#include <cstdlib>
#include <cstring>
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
test_ring()
{
	static dbcrypt_ring *const ring = []
	{
		dbcrypt_ring *const made = dbcrypt_ring_new(true);
		const std::string keys = std::string(64, '1') + "," + std::string(64, '2');
		require(dbcrypt_ring_add_list(made, keys.data(), keys.size(), nullptr) == DBCRYPT_OK);
		dbcrypt_ring_set_state(made, 0, DBCRYPT_STATE_REGISTERED);
		return made;
	}();
	return ring;
}

/* A header of the second key, from a value that was sealed under it. */
void
mend_header(dbcrypt_encoding encoding, std::vector<uint8_t> &value)
{
	static const std::string key(64, '2');
	dbcrypt_ring *const second = dbcrypt_ring_new(true);
	require(dbcrypt_ring_add_list(second, key.data(), key.size(), nullptr) == DBCRYPT_OK);
	dbcrypt_ring_set_state(second, 0, DBCRYPT_STATE_REGISTERED);
	std::vector<uint8_t> sealed(dbcrypt_envelope_size(encoding, 0));
	require(dbcrypt_encrypt(second, encoding, nullptr, 0, nullptr, 0, sealed.data()) == DBCRYPT_OK);
	dbcrypt_ring_free(second);
	const size_t header = encoding == DBCRYPT_ENCODING_TEXT ? 16 : 12;
	if (value.size() >= header)
		std::memcpy(value.data(), sealed.data(), header);
}

/* What opens must have been sealed by us: fuzzing cannot forge a tag. */
void
open_anything(dbcrypt_encoding encoding, const std::vector<uint8_t> &value)
{
	dbcrypt_ring *const ring = test_ring();
	char id[DBCRYPT_KEY_ID_LEN + 1];
	const auto header = dbcrypt_read_header(encoding, value.data(), value.size(), id);
	std::vector<uint8_t> out(dbcrypt_decrypt_max_size(encoding, value.size()));
	size_t size;
	require(dbcrypt_decrypt(ring, encoding, value.data(), value.size(), nullptr, 0, out.data(),
							&size) != DBCRYPT_OK);
	std::vector<uint8_t> moved(value.size());
	bool changed;
	const auto status = dbcrypt_reencrypt(ring, encoding, value.data(), value.size(), nullptr, 0,
										  moved.data(), &changed);
	require(!changed);
	require(header == DBCRYPT_OK || status == header);
}

/* Any plaintext goes there and back. */
void
round_trip(dbcrypt_encoding encoding, const std::vector<uint8_t> &plaintext)
{
	dbcrypt_ring *const ring = test_ring();
	std::vector<uint8_t> value(dbcrypt_envelope_size(encoding, plaintext.size()));
	require(dbcrypt_encrypt(ring, encoding, plaintext.data(), plaintext.size(), plaintext.data(),
							plaintext.size() / 2, value.data()) == DBCRYPT_OK);
	std::vector<uint8_t> out(dbcrypt_decrypt_max_size(encoding, value.size()));
	size_t size;
	require(dbcrypt_decrypt(ring, encoding, value.data(), value.size(), plaintext.data(),
							plaintext.size() / 2, out.data(), &size) == DBCRYPT_OK);
	out.resize(size);
	require(out == plaintext);
}

} // namespace

extern "C" int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	const auto encoding = (data[0] & 1) != 0 ? DBCRYPT_ENCODING_TEXT : DBCRYPT_ENCODING_BINARY;
	std::vector<uint8_t> value(data + 1, data + size);
	round_trip(encoding, value);
	if ((data[0] & 2) != 0)
		mend_header(encoding, value);
	open_anything(encoding, value);
	return 0;
}
