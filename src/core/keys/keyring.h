/*
 * keyring.h
 *		The keyring: keys in order, the first one primary.
 */
#ifndef DBCRYPT_KEYRING_H
#define DBCRYPT_KEYRING_H

#include <memory>
#include <unordered_map>
#include <vector>

#include "../crypto/status_code.h"
#include "key.h"

namespace dbcrypt
{

class Keyring
{
public:
	/*
	 * Appends keys and drops those that are held already. If it throws, the
	 * keyring is as before.
	 */
	void add(std::vector<SourceKey> keys);

	size_t size() const { return keys_.size(); }
	Key &at(size_t i) const { return *keys_[i]; }

	/* Index of the key with this id; size() if there is none. Constant time. */
	size_t find(const KeyId &id) const;

	/* The same by Coder's id. If two keys share it, the first one. */
	size_t find_coder(const CoderId &id) const;

	/* Whether two keys share a Coder's id, which then does not tell the key. */
	bool coder_ids_collide() const { return by_coder_id_.size() < keys_.size(); }

	/*
	 * Index of the key that opened the value before, a hint for the next one. It
	 * may be past the end. remember() sets it.
	 */
	size_t last() const { return last_; }
	void remember(size_t i) { last_ = i; }

	/* The primary key if it may encrypt; otherwise sets *status and returns nullptr. */
	Key *primary(dbcrypt_status *status) const;

	/*
	 * The key with this id if it may decrypt; otherwise sets *status and returns
	 * nullptr. Remembers a key that was found.
	 */
	Key *key_for_decryption(const KeyId &id, dbcrypt_status *status);

	/* The same for an index that find() or find_coder() returned. */
	Key *check_may_decrypt(size_t i, dbcrypt_status *status) const;

private:
	/* From an id of 7 bytes, packed into a number, to an index in keys_. */
	using Index = std::unordered_map<uint64_t, size_t>;

	size_t look_up(const Index &index, uint64_t packed_id) const;

	std::vector<std::unique_ptr<Key>> keys_;
	Index by_id_;
	Index by_coder_id_;
	size_t last_ = 0;
};

} // namespace dbcrypt

/* The handle that the API declares. */
struct dbcrypt_ring : dbcrypt::Keyring
{
	explicit dbcrypt_ring(bool allow_weak) : allows_weak(allow_weak) {}

	const bool allows_weak;
};

#endif
