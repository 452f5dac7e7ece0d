#include "keyring.h"

#include <algorithm>
#include <cstring>
#include <iterator>

#include "../crypto/core_error.h"

#include "../crypto/no_postgres.h"

namespace dbcrypt
{

namespace
{

/* The 7 bytes of an id as a number. */
template <typename Id>
uint64_t
pack(const Id &id)
{
	static_assert(sizeof(id) == 7);
	uint64_t packed = 0;
	std::memcpy(&packed, id.data(), sizeof(id));
	return packed;
}

/*
 * Refuses to drop a key for one of the same bytes if its text would be lost, from which
 * values may be derived.
 */
void
check_text(const Key &held, const Key &dropped)
{
	const Bytes text = reveal_secret(dropped.text());
	const Bytes held_text = reveal_secret(held.text());
	if (!text.empty() && !std::equal(text.begin(), text.end(), held_text.begin(), held_text.end()))
		throw CoreError{DBCRYPT_KEY_TEXTS_DIFFER};
}

} // namespace

void
Keyring::add(std::vector<SourceKey> keys)
{
	/* All that may throw happens to copies. */
	std::vector<std::unique_ptr<Key>> added;
	Index by_id = by_id_;
	Index by_coder_id = by_coder_id_;
	for (SourceKey &source : keys)
	{
		auto key = std::make_unique<Key>(std::move(source));
		const size_t i = keys_.size() + added.size();
		const auto [same, is_new] = by_id.emplace(pack(key->id()), i);
		if (!is_new)
		{
			const size_t held = same->second;
			check_text(held < keys_.size() ? *keys_[held] : *added[held - keys_.size()], *key);
			continue;
		}
		by_coder_id.emplace(pack(key->coder_id()), i);
		added.push_back(std::move(key));
	}
	keys_.reserve(keys_.size() + added.size());

	std::move(added.begin(), added.end(), std::back_inserter(keys_));
	by_id_.swap(by_id);
	by_coder_id_.swap(by_coder_id);
}

size_t
Keyring::look_up(const Index &index, uint64_t packed_id) const
{
	const auto found = index.find(packed_id);
	return found != index.end() ? found->second : keys_.size();
}

size_t
Keyring::find(const KeyId &id) const
{
	if (last_ < keys_.size() && keys_[last_]->id() == id)
		return last_;
	return look_up(by_id_, pack(id));
}

size_t
Keyring::find_coder(const CoderId &id) const
{
	return look_up(by_coder_id_, pack(id));
}

Key *
Keyring::primary(dbcrypt_status *status) const
{
	if (keys_.empty())
		*status = DBCRYPT_NO_KEYS;
	else if ((keys_[0]->state & DBCRYPT_STATE_REVOKED) != 0)
		*status = DBCRYPT_KEY_REVOKED;
	else if ((keys_[0]->state & DBCRYPT_STATE_RETIRED) != 0)
		*status = DBCRYPT_KEY_RETIRED;
	else if ((keys_[0]->state & DBCRYPT_STATE_REGISTERED) == 0)
		*status = DBCRYPT_KEY_NOT_REGISTERED;
	else if ((keys_[0]->state & DBCRYPT_STATE_BAD_CANARY) != 0)
		*status = DBCRYPT_KEY_CANARY_MISMATCH;
	else
		return keys_[0].get();
	return nullptr;
}

Key *
Keyring::key_for_decryption(const KeyId &id, dbcrypt_status *status)
{
	const size_t i = find(id);
	if (i < keys_.size())
		last_ = i;
	return check_may_decrypt(i, status);
}

Key *
Keyring::check_may_decrypt(size_t i, dbcrypt_status *status) const
{
	if (i >= keys_.size())
		*status = keys_.empty() ? DBCRYPT_NO_KEYS : DBCRYPT_KEY_NOT_LOADED;
	else if ((keys_[i]->state & DBCRYPT_STATE_REVOKED) != 0)
		*status = DBCRYPT_KEY_REVOKED;
	else
		return keys_[i].get();
	return nullptr;
}

} // namespace dbcrypt
