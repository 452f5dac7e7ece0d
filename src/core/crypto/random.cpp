#include "random.h"

#include <cstring>

#include <openssl/err.h>
#include <openssl/rand.h>
#include <pthread.h>

#include "core_error.h"
#include "secret.h"

#include "no_postgres.h"

namespace dbcrypt
{

namespace
{

constexpr size_t pool_size = 4096 / nonce_size * nonce_size;

uint8_t pool[pool_size];
size_t pool_used = pool_size;
bool fork_handled = false;

/* Runs in the child of a fork: the parent goes on to use what is left of the pool. */
void
drop_pool()
{
	cleanse(pool, pool_size);
	pool_used = pool_size;
}

void
fill_pool()
{
	if (!fork_handled)
	{
		if (pthread_atfork(nullptr, nullptr, drop_pool) != 0)
			throw CoreError{DBCRYPT_NO_MEMORY};
		fork_handled = true;
	}
	if (RAND_bytes(pool, static_cast<int>(pool_size)) != 1)
	{
		ERR_clear_error();
		throw CoreError{DBCRYPT_RANDOM_FAILED};
	}
	pool_used = 0;
}

} // namespace

void
random_nonce(uint8_t *out)
{
	if (pool_used == pool_size) [[unlikely]]
		fill_pool();
	std::memcpy(out, pool + pool_used, nonce_size);
	std::memset(pool + pool_used, 0, nonce_size);
	pool_used += nonce_size;
}

void
random_key_bytes(uint8_t *out, size_t size)
{
	if (RAND_priv_bytes(out, static_cast<int>(size)) != 1)
	{
		ERR_clear_error();
		throw CoreError{DBCRYPT_RANDOM_FAILED};
	}
}

} // namespace dbcrypt
