#include "random.h"

#include <algorithm>
#include <array>
#include <cstring>

#include <openssl/err.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <sys/random.h>

#include "core_error.h"
#include "secret.h"

#include "no_postgres.h"

namespace dbcrypt
{

namespace
{

constexpr size_t pool_size = 4096 / nonce_size * nonce_size;
constexpr size_t first_fill = 2 * nonce_size;

uint8_t pool[pool_size];
size_t pool_used = pool_size;
size_t fill_size = first_fill;
bool fork_handled = false;

/*
 * Adds random bytes of the kernel to OpenSSL's nonces, the same to each: drawing as many
 * as there are nonces would cost a quarter of an encryption. A restored snapshot or a
 * clone of a machine repeats the state of OpenSSL's generator, but not that of the
 * kernel, which a hypervisor tells of it (vmgenid, from Linux 5.18 on). Its nonces then
 * differ from the original's by a random value. Without them OpenSSL's stay what they are.
 */
void
add_kernel_bytes(uint8_t *nonces, size_t size)
{
	std::array<uint32_t, nonce_size / sizeof(uint32_t)> more;
	if (getrandom(more.data(), nonce_size, GRND_NONBLOCK) != nonce_size)
		return;
	for (uint8_t *nonce = nonces; nonce < nonces + size; nonce += nonce_size)
	{
		auto words = more;
		std::memcpy(words.data(), nonce, nonce_size);
		for (size_t i = 0; i < words.size(); i++)
			words[i] ^= more[i];
		std::memcpy(nonce, words.data(), nonce_size);
	}
	cleanse(more.data(), nonce_size);
}

/*
 * Fills the end of the pool, first with few nonces: most statements need no more. Each
 * time twice as many.
 */
void
fill_pool()
{
	if (!fork_handled)
	{
		if (pthread_atfork(nullptr, nullptr, drop_nonces) != 0)
			throw CoreError{DBCRYPT_NO_MEMORY};
		fork_handled = true;
	}
	uint8_t *const start = pool + pool_size - fill_size;
	if (RAND_bytes(start, static_cast<int>(fill_size)) != 1)
	{
		ERR_clear_error();
		throw CoreError{DBCRYPT_RANDOM_FAILED};
	}
	add_kernel_bytes(start, fill_size);
	pool_used = pool_size - fill_size;
	fill_size = std::min(2 * fill_size, pool_size);
}

} // namespace

/* In the child of a fork, too: the parent goes on to use what is left of the pool. */
void
drop_nonces()
{
	cleanse(pool + pool_used, pool_size - pool_used);
	pool_used = pool_size;
	fill_size = first_fill;
}

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
