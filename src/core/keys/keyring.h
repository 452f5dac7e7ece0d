/*
 * keyring.h
 *		The key ring: keys in order, the first primary.
 */
#ifndef DBCRYPT_KEYRING_H
#define DBCRYPT_KEYRING_H

#include <memory>
#include <vector>

#include "../crypto/status_code.h"
#include "key.h"

namespace dbcrypt
{

class Ring
{
public:
	/* Appends keys, dropping those held already; all of them or, on a throw, none. */
	void add(std::vector<Secret> keys);

	size_t size() const { return keys_.size(); }
	RingKey &at(size_t i) const { return *keys_[i]; }

	/* The key of that id, or nullptr. The last one found is looked at first. */
	RingKey *find(const KeyId &id);

	/* Where the key is that was found last; remember() says which was of use. */
	size_t last() const { return last_; }
	void remember(size_t i) { last_ = i; }

	/* The primary key if it may encrypt; otherwise sets *status and gives nullptr. */
	RingKey *primary(dbcrypt_status *status) const;

	/* The key of that id if it may decrypt; otherwise as above. */
	RingKey *reader(const KeyId &id, dbcrypt_status *status);

	/* A key that was found if it may decrypt; otherwise as above. */
	RingKey *readable(RingKey *found, dbcrypt_status *status) const;

private:
	std::vector<std::unique_ptr<RingKey>> keys_;
	size_t last_ = 0;
};

} // namespace dbcrypt

/* The handle that core.h declares. */
struct dbcrypt_ring : dbcrypt::Ring
{};

#endif
