#include <memory>

#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support.h"

using namespace test;

namespace
{

dbcrypt_status
add_list(dbcrypt_ring *ring, const std::string &list, dbcrypt_source_error *error = nullptr)
{
	return dbcrypt_ring_add_list(ring, list.data(), list.size(), error);
}

} // namespace

TEST(Keyring, KeepsOrderAndDropsDuplicates)
{
	TestRing ring("");
	EXPECT_EQ(dbcrypt_ring_count(ring), 0U);
	EXPECT_EQ(add_list(ring, hex_key(2) + "," + hex_key(1) + "," + hex_key(2)), DBCRYPT_OK);
	ASSERT_EQ(dbcrypt_ring_count(ring), 2U);
	/* The second is a key held already, in its other spelling. */
	EXPECT_EQ(add_list(ring, hex_key(3) + ", AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE= "),
			  DBCRYPT_OK);
	ASSERT_EQ(dbcrypt_ring_count(ring), 3U);
	EXPECT_EQ(ring.id(0), TestRing(hex_key(2)).id(0));
	EXPECT_EQ(ring.id(1), TestRing(hex_key(1)).id(0));
	EXPECT_EQ(ring.id(2), TestRing(hex_key(3)).id(0));
	EXPECT_EQ(ring.id(1).size(), size_t{DBCRYPT_KEY_ID_LEN});
}

TEST(Keyring, ListsMayBeEmptyAndSpaced)
{
	TestRing ring("");
	for (const char *empty : {"", " ", "\t\n "})
		EXPECT_EQ(add_list(ring, empty), DBCRYPT_OK);
	EXPECT_EQ(dbcrypt_ring_count(ring), 0U);
	EXPECT_EQ(add_list(ring, "\n " + hex_key(1) + " ,\t" + hex_key(2) + "\n"), DBCRYPT_OK);
	EXPECT_EQ(dbcrypt_ring_count(ring), 2U);
}

TEST(Keyring, ABadListNamesTheEntryAndAddsNothing)
{
	TestRing ring(hex_key(9));
	dbcrypt_source_error error = {77, "left over"};
	const std::pair<std::string, int> cases[] = {{"nonsense", 1},
												 {hex_key(1) + ",", 2},
												 {"," + hex_key(1), 1},
												 {hex_key(1) + ",," + hex_key(2), 2},
												 {hex_key(1) + "," + hex_key(2) + ",x", 3}};
	for (const auto &[list, line] : cases)
	{
		EXPECT_EQ(add_list(ring, list, &error), DBCRYPT_BAD_KEY);
		EXPECT_EQ(error.line, line) << list;
		EXPECT_STREQ(error.file, "");
		EXPECT_EQ(add_list(ring, list), DBCRYPT_BAD_KEY);
	}
	EXPECT_EQ(dbcrypt_ring_count(ring), 1U);
	EXPECT_EQ(add_list(ring, hex_key(1), &error), DBCRYPT_OK);
	EXPECT_EQ(error.line, 0);
}

TEST(Keyring, TextKeysOfAListHoldNothingThatEndsThem)
{
	TestRing ring("text:abc, text:\xC3\xA9#%;=: ");
	for (const char *bad : {"text:a b", "text:a'b", "text:a\"b", "text:a\\b", "text:", "text:a\tb"})
		EXPECT_EQ(add_list(ring, bad), DBCRYPT_BAD_KEY) << bad;
	EXPECT_EQ(dbcrypt_ring_count(ring), 2U);
}

TEST(Keyring, WeakKeysAreRefusedUnlessAllowed)
{
	const std::string strong = hex_key(1).substr(2) + "00";
	const std::string long_text = "text:" + std::string(31, 'x') + "y";
	const auto strict = std::unique_ptr<dbcrypt_ring, decltype(&dbcrypt_ring_free)>(
		dbcrypt_ring_new(false), dbcrypt_ring_free);
	dbcrypt_source_error error;
	for (const std::string &weak :
		 {hex_key(0), std::string("AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE="),
		  "text:" + std::string(31, 'y'), "text:" + std::string(40, 'x'),
		  "text-short:" + std::string(5, '0')})
	{
		EXPECT_EQ(add_list(strict.get(), strong + "," + weak, &error), DBCRYPT_WEAK_KEY) << weak;
		EXPECT_EQ(error.line, 2);
		EXPECT_EQ(dbcrypt_ring_count(strict.get()), 0U);
		TestRing lenient(strong + "," + weak);
		EXPECT_FALSE(dbcrypt_ring_key_is_weak(lenient, 0));
		EXPECT_TRUE(dbcrypt_ring_key_is_weak(lenient, 1)) << weak;
	}
	EXPECT_EQ(add_list(strict.get(), strong + "," + long_text + ",text-short:abc"), DBCRYPT_OK);
	ASSERT_EQ(dbcrypt_ring_count(strict.get()), 3U);
	EXPECT_FALSE(dbcrypt_ring_key_is_weak(strict.get(), 1));
	EXPECT_TRUE(dbcrypt_ring_key_is_weak(strict.get(), 2));
}

TEST(Keyring, StatesBelongToKeys)
{
	TestRing ring(hex_key(1) + "," + hex_key(2), 0);
	EXPECT_EQ(dbcrypt_ring_state(ring, 0), 0U);
	dbcrypt_ring_set_state(ring, 1, DBCRYPT_STATE_REVOKED | DBCRYPT_STATE_REGISTERED);
	EXPECT_EQ(dbcrypt_ring_state(ring, 0), 0U);
	EXPECT_EQ(dbcrypt_ring_state(ring, 1), 3U);
	EXPECT_EQ(add_list(ring, hex_key(2)), DBCRYPT_OK);
	EXPECT_EQ(dbcrypt_ring_state(ring, 1), 3U);
}

TEST(Keyring, FindsEachOfManyKeysById)
{
	constexpr size_t count = 1000;
	std::string list;
	for (size_t i = 0; i < count; i++)
	{
		std::string key = std::to_string(i);
		list += (i > 0 ? "," : "") + std::string(64 - key.size(), '0') + key;
	}
	TestRing ring(list);
	ASSERT_EQ(dbcrypt_ring_count(ring), count);
	for (size_t i = 0; i < count; i++)
		EXPECT_EQ(dbcrypt_ring_find(ring, dbcrypt_ring_key_id(ring, i)), i);

	/* A value is decrypted with the last key, which holds nothing of the others. */
	TestRing last(list.substr(list.size() - 64));
	Octets plaintext;
	EXPECT_EQ(decrypt(ring, DBCRYPT_ENCODING_BINARY,
					  encrypt(last, DBCRYPT_ENCODING_BINARY, octets("text")), {}, &plaintext),
			  DBCRYPT_OK);
	EXPECT_EQ(text(plaintext), "text");
}

TEST(Keyring, FindsNoOtherId)
{
	TestRing ring(hex_key(1) + "," + hex_key(2));
	const std::string id = ring.id(1);
	std::string upper = id;
	for (char &c : upper)
		c = static_cast<char>(std::toupper(c));
	ASSERT_NE(id, upper);
	for (const std::string &other : {TestRing(hex_key(3)).id(0), std::string(), id + "0",
									 id.substr(1), upper, std::string(14, 'g')})
		EXPECT_EQ(dbcrypt_ring_find(ring, other.c_str()), 2U) << other;
	EXPECT_EQ(dbcrypt_ring_find(TestRing(""), id.c_str()), 0U);
}

TEST(Keyring, WithoutMemoryNothingIsAddedOrLost)
{
	int failures = 0;
	for (int n = 0;; n++)
	{
		TestRing ring(hex_key(1));
		const std::string list = hex_key(2) + "," + hex_key(3) + "," + hex_key(4);
		fail_allocation(n);
		const auto status = add_list(ring, list);
		fail_allocation(-1);
		EXPECT_EQ(dbcrypt_ring_count(ring), status == DBCRYPT_OK ? 4U : 1U);
		if (status == DBCRYPT_OK)
			break;
		EXPECT_EQ(status, DBCRYPT_NO_MEMORY);
		failures++;
	}
	EXPECT_GT(failures, 3);
	fail_allocation(0);
	dbcrypt_ring *const none = dbcrypt_ring_new(true);
	fail_allocation(-1);
	EXPECT_EQ(none, nullptr);
	dbcrypt_ring_free(nullptr);
}

TEST(Keyring, GeneratedKeysAreKeysAndDiffer)
{
	char a[45];
	char b[45];
	ASSERT_EQ(dbcrypt_generate_key(a), DBCRYPT_OK);
	ASSERT_EQ(dbcrypt_generate_key(b), DBCRYPT_OK);
	TestRing ring(std::string(a) + "," + b);
	EXPECT_EQ(dbcrypt_ring_count(ring), 2U);
	EXPECT_EQ(std::string(a).size(), 44U);
}

TEST(Process, CoreDumpsAreForbidden)
{
	const pid_t pid = fork();
	ASSERT_GE(pid, 0);
	if (pid == 0)
	{
		if (prctl(PR_SET_DUMPABLE, 1) != 0)
			_exit(2);
		dbcrypt_forbid_core_dump();
		_exit(prctl(PR_GET_DUMPABLE) == 0 ? 0 : 1);
	}
	int status;
	waitpid(pid, &status, 0);
	EXPECT_EQ(status, 0);
}
