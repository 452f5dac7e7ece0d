/*
 * secret.h
 *		A buffer of secret bytes: can be moved but not copied; lies in memory that is locked
 *		(secret_memory.h); is wiped when destroyed.
 */
#ifndef DBCRYPT_SECRET_H
#define DBCRYPT_SECRET_H

#include <cstddef>
#include <cstdint>
#include <span>

namespace dbcrypt
{

using Bytes = std::span<const uint8_t>;

class Secret
{
public:
	/* size bytes, not initialised. */
	explicit Secret(size_t size);
	Secret(Secret &&other) noexcept;
	Secret &operator=(Secret &&other) noexcept;
	Secret(const Secret &) = delete;
	Secret &operator=(const Secret &) = delete;
	~Secret();

	size_t size() const { return size_; }

	/* The only access to the bytes. `grep reveal_secret` finds every use. */
	friend std::span<uint8_t> reveal_secret(Secret &secret);
	friend Bytes reveal_secret(const Secret &secret);

private:
	uint8_t *data_; /* of secret_memory.h */
	size_t size_;
};

std::span<uint8_t> reveal_secret(Secret &secret);
Bytes reveal_secret(const Secret &secret);

/* Overwrites memory with zeros. The compiler does not optimise this away. */
void cleanse(void *data, size_t size);

/* Wipes a buffer at the end of the scope, unless keep() was called: so after any error. */
class WipeUnlessKept
{
public:
	WipeUnlessKept(uint8_t *data, size_t size) : data_(data), size_(size) {}
	WipeUnlessKept(const WipeUnlessKept &) = delete;
	WipeUnlessKept &operator=(const WipeUnlessKept &) = delete;
	~WipeUnlessKept()
	{
		if (data_ != nullptr)
			cleanse(data_, size_);
	}
	void keep() { data_ = nullptr; }

private:
	uint8_t *data_;
	size_t size_;
};

} // namespace dbcrypt

#endif
