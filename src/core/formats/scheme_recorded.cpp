#include "scheme_recorded.h"

#include <cstring>

#include "../crypto/base64.h"
#include "utf8.h"

#include "../crypto/no_postgres.h"

namespace dbcrypt
{

namespace
{

/* Index of the recorded key; the keyring's size if that is not loaded. */
size_t
find_recorded(const Keyring &keyring, const dbcrypt_context &context)
{
	const auto id = context.recorded_key != nullptr ? parse_key_id(context.recorded_key)
													: std::optional<KeyId>();
	return id ? keyring.find(*id) : keyring.size();
}

} // namespace

size_t
RecordedScheme::open_max_size(dbcrypt_encoding encoding, size_t value_size) const
{
	return encoding == DBCRYPT_ENCODING_TEXT ? base64_reader_max_size(value_size) : value_size;
}

dbcrypt_status
RecordedScheme::open(Keyring &keyring, const dbcrypt_context &context, const dbcrypt_cell &cell,
					 uint8_t *out, size_t *plaintext_size, size_t *key) const
{
	if (keyring.size() == 0)
		return DBCRYPT_NO_KEYS;
	WipeUnlessKept wipe(out, open_max_size(context.encoding, cell.value_size));
	dbcrypt_status status;
	*key = find_recorded(keyring, context);
	const Key *const found = keyring.check_may_decrypt(*key, &status);
	if (found == nullptr)
		return status;
	if (!fits(*found))
		return DBCRYPT_KEY_HAS_NO_TEXT;
	if (!open_with(*found, context.encoding, cell, out, plaintext_size) ||
		(context.plaintext_is_text && !is_utf8({out, *plaintext_size})))
		return DBCRYPT_NOT_OPENED;
	wipe.keep();
	return DBCRYPT_OK;
}

dbcrypt_status
RecordedScheme::identify(Keyring &, const dbcrypt_context &context, const dbcrypt_cell &, uint8_t *,
						 char *key_id) const
{
	key_id[0] = '\0';
	if (context.recorded_key == nullptr || std::strlen(context.recorded_key) != DBCRYPT_KEY_ID_LEN)
		return DBCRYPT_KEY_NOT_LOADED;
	std::memcpy(key_id, context.recorded_key, DBCRYPT_KEY_ID_LEN + 1);
	return DBCRYPT_OK;
}

dbcrypt_status
RecordedScheme::seal(Keyring &keyring, const dbcrypt_context &context, Bytes plaintext,
					 dbcrypt_sealed *out) const
{
	clear_sealed(out);
	if (traits.keeps_empty && plaintext.empty())
		return DBCRYPT_OK;
	dbcrypt_status status;
	const Key *const key = keyring.primary(&status);
	if (key == nullptr)
		return status;
	if (!fits(*key))
		return DBCRYPT_KEY_HAS_NO_TEXT;
	if (seal_max_size(context.encoding, plaintext.size()) == SIZE_MAX)
		return DBCRYPT_TOO_LARGE;
	seal_with(*key, context.encoding, plaintext, out);
	return DBCRYPT_OK;
}

size_t
RecordedScheme::rotate_max_size(dbcrypt_encoding encoding, const dbcrypt_cell &cell) const
{
	return seal_max_size(encoding, open_max_size(encoding, cell.value_size));
}

dbcrypt_status
RecordedScheme::rotate(Keyring &keyring, const dbcrypt_context &context, const dbcrypt_cell &cell,
					   dbcrypt_sealed *out, bool *changed) const
{
	clear_sealed(out);
	*changed = false;
	if (inspect(cell) != DBCRYPT_CELL_ENCRYPTED)
		return DBCRYPT_OK;

	Secret plaintext(open_max_size(context.encoding, cell.value_size));
	size_t size = 0;
	size_t key = 0;
	auto status = open(keyring, context, cell, reveal_secret(plaintext).data(), &size, &key);
	if (status == DBCRYPT_OK && key > 0)
	{
		status = seal(keyring, context, reveal_secret(plaintext).first(size), out);
		*changed = status == DBCRYPT_OK;
	}
	return status;
}

} // namespace dbcrypt
