/*
 * joined_aad.h
 *		AAD in one piece, for libraries that take it so.
 */
#ifndef DBCRYPT_JOINED_AAD_H
#define DBCRYPT_JOINED_AAD_H

#include <algorithm>
#include <vector>

#include "aead.h"

namespace dbcrypt
{

/* head || tail. If one of them is empty, this is the other one, not copied. */
class JoinedAad
{
public:
	explicit JoinedAad(const Aad &aad) : bytes_(aad.head.empty() ? aad.tail : aad.head)
	{
		if (aad.head.empty() || aad.tail.empty())
			return;
		const size_t size = aad.head.size() + aad.tail.size();
		if (size > sizeof(inline_))
			heap_.resize(size);
		uint8_t *const place = heap_.empty() ? inline_ : heap_.data();
		std::copy(aad.tail.begin(), aad.tail.end(),
				  std::copy(aad.head.begin(), aad.head.end(), place));
		bytes_ = {place, size};
	}
	JoinedAad(const JoinedAad &) = delete;
	JoinedAad &operator=(const JoinedAad &) = delete;

	Bytes bytes() const { return bytes_; }

private:
	uint8_t inline_[256];
	std::vector<uint8_t> heap_; /* if it does not fit into inline_ */
	Bytes bytes_;
};

} // namespace dbcrypt

#endif
