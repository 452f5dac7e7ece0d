#include "value.h"

#include "../crypto/random.h"
#include "../formats/envelope.h"
#include "../formats/native.h"
#include "../keys/keyring.h"
#include "exception_boundary.h"

#include "../crypto/no_postgres.h"

using namespace dbcrypt;

void
dbcrypt_drop_nonces(void) noexcept
{
	drop_nonces();
}

size_t
dbcrypt_envelope_size(dbcrypt_encoding encoding, size_t plaintext_size) noexcept
{
	return envelope_size(encoding, plaintext_size);
}

dbcrypt_status
dbcrypt_encrypt(dbcrypt_ring *ring, dbcrypt_encoding encoding, const uint8_t *plaintext,
				size_t plaintext_size, const uint8_t *aad, size_t aad_size, uint8_t *out) noexcept
{
	return exception_boundary(
		[&] {
			return native_encrypt(*ring, encoding, {plaintext, plaintext_size}, {aad, aad_size},
								  out);
		});
}

size_t
dbcrypt_decrypt_max_size(dbcrypt_encoding encoding, size_t envelope_size) noexcept
{
	return envelope_decrypt_max_size(encoding, envelope_size);
}

dbcrypt_status
dbcrypt_decrypt(dbcrypt_ring *ring, dbcrypt_encoding encoding, const uint8_t *envelope,
				size_t envelope_size, const uint8_t *aad, size_t aad_size, uint8_t *out,
				size_t *plaintext_size) noexcept
{
	return exception_boundary(
		[&]
		{
			return native_decrypt(*ring, encoding, {envelope, envelope_size}, {aad, aad_size}, out,
								  plaintext_size);
		});
}

dbcrypt_status
dbcrypt_reencrypt(dbcrypt_ring *ring, dbcrypt_encoding encoding, const uint8_t *envelope,
				  size_t envelope_size, const uint8_t *aad, size_t aad_size, uint8_t *out,
				  bool *changed) noexcept
{
	return exception_boundary(
		[&]
		{
			return native_reencrypt(*ring, encoding, {envelope, envelope_size}, {aad, aad_size},
									out, changed);
		});
}

dbcrypt_status
dbcrypt_read_header(dbcrypt_encoding encoding, const uint8_t *envelope, size_t envelope_size,
					char key_id[DBCRYPT_KEY_ID_LEN + 1]) noexcept
{
	return exception_boundary(
		[&]
		{
			KeyId id;
			const auto status = envelope_read_header(encoding, envelope, envelope_size, &id);
			if (status == DBCRYPT_OK)
				encode_key_id(id, key_id);
			return status;
		});
}
