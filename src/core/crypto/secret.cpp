#include "secret.h"

#include <utility>

#include <openssl/crypto.h>

#include "secret_memory.h"

#include "no_postgres.h"

namespace dbcrypt
{

Secret::Secret(size_t size) : data_(secret_allocate(size)), size_(size) {}

Secret::Secret(Secret &&other) noexcept
	: data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0))
{}

Secret &
Secret::operator=(Secret &&other) noexcept
{
	std::swap(data_, other.data_);
	std::swap(size_, other.size_);
	return *this;
}

Secret::~Secret()
{
	secret_free(data_, size_);
}

std::span<uint8_t>
reveal_secret(Secret &secret)
{
	return {secret.data_, secret.size_};
}

Bytes
reveal_secret(const Secret &secret)
{
	return {secret.data_, secret.size_};
}

void
cleanse(void *data, size_t size)
{
	if (size > 0)
		OPENSSL_cleanse(data, size);
}

} // namespace dbcrypt
