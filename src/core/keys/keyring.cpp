#include "keyring.h"

#include <algorithm>
#include <iterator>

#include "../crypto/no_postgres.h"

namespace dbcrypt
{

void
Ring::add(std::vector<Secret> keys)
{
	std::vector<std::unique_ptr<RingKey>> fresh;
	const auto held = [](const auto &list, const KeyId &id)
	{
		return std::any_of(list.begin(), list.end(), [&](const auto &k) { return k->id() == id; });
	};

	for (Secret &bytes : keys)
	{
		auto key = std::make_unique<RingKey>(std::move(bytes));
		if (!held(keys_, key->id()) && !held(fresh, key->id()))
			fresh.push_back(std::move(key));
	}
	keys_.insert(keys_.end(), std::make_move_iterator(fresh.begin()),
				 std::make_move_iterator(fresh.end()));
}

RingKey *
Ring::find(const KeyId &id)
{
	if (last_ < keys_.size() && keys_[last_]->id() == id)
		return keys_[last_].get();
	for (size_t i = 0; i < keys_.size(); i++)
		if (keys_[i]->id() == id)
		{
			last_ = i;
			return keys_[i].get();
		}
	return nullptr;
}

RingKey *
Ring::primary(dbcrypt_status *status) const
{
	if (keys_.empty())
		*status = DBCRYPT_NO_KEYS;
	else if ((keys_[0]->state & DBCRYPT_STATE_REVOKED) != 0)
		*status = DBCRYPT_KEY_REVOKED;
	else if ((keys_[0]->state & DBCRYPT_STATE_REGISTERED) == 0)
		*status = DBCRYPT_KEY_NOT_REGISTERED;
	else if ((keys_[0]->state & DBCRYPT_STATE_BAD_CANARY) != 0)
		*status = DBCRYPT_KEY_CANARY_MISMATCH;
	else
		return keys_[0].get();
	return nullptr;
}

RingKey *
Ring::reader(const KeyId &id, dbcrypt_status *status)
{
	return readable(find(id), status);
}

RingKey *
Ring::readable(RingKey *found, dbcrypt_status *status) const
{
	if (found == nullptr)
		*status = keys_.empty() ? DBCRYPT_NO_KEYS : DBCRYPT_KEY_NOT_LOADED;
	else if ((found->state & DBCRYPT_STATE_REVOKED) != 0)
		*status = DBCRYPT_KEY_REVOKED;
	else
		return found;
	return nullptr;
}

} // namespace dbcrypt
