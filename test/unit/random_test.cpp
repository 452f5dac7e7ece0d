#include "crypto/random.h"

#include <cstring>
#include <set>

#include <openssl/rand.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support.h"

using namespace dbcrypt;
using namespace test;

namespace
{

Octets
nonce()
{
	Octets out(nonce_size);
	random_nonce(out.data());
	return out;
}

int
no_random_bytes(unsigned char *, int)
{
	return 0;
}

int
same_bytes(unsigned char *out, int size)
{
	std::memset(out, 7, static_cast<size_t>(size));
	return 1;
}

int
not_ready()
{
	return 0;
}

} // namespace

TEST(Random, NeverTwiceAcrossManyPools)
{
	std::set<Octets> seen;
	for (int i = 0; i < 20000; i++)
		EXPECT_TRUE(seen.insert(nonce()).second);
	EXPECT_EQ(seen.count(Octets(nonce_size, 0)), 0U);
}

TEST(Random, AnEmptiedPoolGivesOthers)
{
	std::set<Octets> seen;
	for (int i = 0; i < 1000; i++)
	{
		drop_nonces();
		for (int j = 0; j < i % 9; j++)
			EXPECT_TRUE(seen.insert(nonce()).second);
	}
}

/* OpenSSL's generator in a machine that was restored from a snapshot: the same bytes again. */
TEST(Random, ARepeatedStateOfOpenSslRepeatsNoNonce)
{
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
	static const RAND_METHOD repeated = {nullptr, same_bytes, nullptr,
										 nullptr, same_bytes, nullptr};
	const RAND_METHOD *const before = RAND_get_rand_method();
	ASSERT_EQ(RAND_set_rand_method(&repeated), 1);
	drop_nonces();
	const Octets first = nonce();
	drop_nonces();
	EXPECT_NE(nonce(), first);
	ASSERT_EQ(RAND_set_rand_method(before), 1);
#pragma GCC diagnostic pop
	drop_nonces();
}

TEST(Random, EveryByteOfItIsRandom)
{
	Octets seen(nonce_size, 0);
	for (int i = 0; i < 100; i++)
	{
		const Octets one = nonce();
		for (size_t at = 0; at < nonce_size; at++)
			seen[at] |= one[at];
	}
	EXPECT_EQ(seen, Octets(nonce_size, 0xFF));
}

TEST(Random, ForkedProcessesShareNone)
{
	nonce(); /* The pool is filled, and most of it is left. */
	constexpr int children = 3;
	constexpr int each = 50;
	std::set<Octets> seen;
	for (int child = 0; child < children; child++)
	{
		int pipe_ends[2];
		ASSERT_EQ(pipe(pipe_ends), 0);
		const pid_t pid = fork();
		ASSERT_GE(pid, 0);
		if (pid == 0)
		{
			uint8_t out[nonce_size];
			for (int i = 0; i < each; i++)
			{
				random_nonce(out);
				if (write(pipe_ends[1], out, sizeof(out)) != sizeof(out))
					_exit(1);
			}
			_exit(0);
		}
		close(pipe_ends[1]);
		Octets out(nonce_size);
		for (int i = 0; i < each; i++)
		{
			ASSERT_EQ(read(pipe_ends[0], out.data(), out.size()), static_cast<ssize_t>(out.size()));
			EXPECT_TRUE(seen.insert(out).second);
		}
		close(pipe_ends[0]);
		int status;
		waitpid(pid, &status, 0);
		EXPECT_EQ(status, 0);
	}
	for (int i = 0; i < children * each; i++)
		EXPECT_TRUE(seen.insert(nonce()).second);
}

TEST(Random, FailureOfTheGeneratorIsReported)
{
	TestRing ring(hex_key(1));
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
	static const RAND_METHOD broken = {nullptr, no_random_bytes, nullptr,
									   nullptr, no_random_bytes, not_ready};
	const RAND_METHOD *const before = RAND_get_rand_method();
	ASSERT_EQ(RAND_set_rand_method(&broken), 1);
	char key[45];
	EXPECT_EQ(dbcrypt_generate_key(key), DBCRYPT_RANDOM_FAILED);
	dbcrypt_status status = DBCRYPT_OK;
	uint8_t out[40];
	for (int i = 0; i < 1000 && status == DBCRYPT_OK; i++)
		status = dbcrypt_encrypt(ring, DBCRYPT_ENCODING_BINARY, nullptr, 0, nullptr, 0, out);
	EXPECT_EQ(status, DBCRYPT_RANDOM_FAILED);
	ASSERT_EQ(RAND_set_rand_method(before), 1);
#pragma GCC diagnostic pop
	EXPECT_EQ(dbcrypt_encrypt(ring, DBCRYPT_ENCODING_BINARY, nullptr, 0, nullptr, 0, out),
			  DBCRYPT_OK);
}
