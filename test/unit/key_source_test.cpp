#include <cerrno>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "keys/key_source.h"
#include "support.h"

using namespace test;

namespace
{

struct Loaded
{
	dbcrypt_status status;
	std::vector<std::string> ids;
	dbcrypt_source_error error;
	int error_number;
};

Loaded
result_of(dbcrypt_ring *ring, dbcrypt_status status, const dbcrypt_source_error &error)
{
	Loaded loaded{status, {}, error, errno};
	for (size_t i = 0; i < dbcrypt_ring_count(ring); i++)
		loaded.ids.emplace_back(dbcrypt_ring_key_id(ring, i));
	return loaded;
}

Loaded
load_contents(std::string_view contents)
{
	TestRing ring("");
	dbcrypt_source_error error = {77, "left over"};
	const auto status = dbcrypt_ring_add_contents(
		ring, reinterpret_cast<const uint8_t *>(contents.data()), contents.size(), &error);
	return result_of(ring, status, error);
}

Loaded
load_file(const std::string &path)
{
	TestRing ring("");
	dbcrypt_source_error error = {77, "left over"};
	errno = 0;
	const auto status = dbcrypt_ring_add_file(ring, path.c_str(), &error);
	return result_of(ring, status, error);
}

std::string
id_of(int byte)
{
	return TestRing(hex_key(byte)).id(0);
}

using Ids = std::vector<std::string>;

/* Runs work as another user when the test runs as root. */
template <typename Work>
void
as_user(uid_t user, Work &&work)
{
	ASSERT_EQ(seteuid(user), 0);
	work();
	ASSERT_EQ(seteuid(0), 0);
}

} // namespace

TEST(Contents, OneKeyALine)
{
	const auto loaded = load_contents("# the keys\r\n\r\n  " + hex_key(1) + "  # the primary\r\n" +
									  "\t\n#" + hex_key(7) + "\n" + hex_key(2));
	EXPECT_EQ(loaded.status, DBCRYPT_OK);
	EXPECT_EQ(loaded.ids, (Ids{id_of(1), id_of(2)}));
	EXPECT_EQ(loaded.error.line, 0);
}

TEST(Contents, ThirtyTwoRawBytes)
{
	EXPECT_EQ(load_contents(std::string(32, '\x05')).ids, Ids{id_of(5)});
	EXPECT_EQ(load_contents(std::string(32, '\n')).ids, Ids{id_of('\n')});
	EXPECT_EQ(load_contents(std::string(33, '\x05')).status, DBCRYPT_BAD_KEY);
	EXPECT_EQ(load_contents(std::string(31, '\x05')).status, DBCRYPT_BAD_KEY);
}

TEST(Contents, ATextKeyTakesItsLine)
{
	const auto loaded = load_contents("  text:abc # def, g\r\n" + hex_key(1) + " # comment\n");
	EXPECT_EQ(loaded.ids, (Ids{load_contents("text:abc # def, g").ids.at(0), id_of(1)}));
	EXPECT_NE(load_contents("text:abc # def, g").ids, load_contents("text:abc").ids);
	/* Of exactly 32 bytes, yet not a raw key. */
	EXPECT_EQ(load_contents("text:abcdefghijklmnopqrstuvwxyz\n").ids,
			  Ids{TestRing("text:abcdefghijklmnopqrstuvwxyz").id(0)});
	EXPECT_EQ(load_contents("text:\n").status, DBCRYPT_BAD_KEY);
}

TEST(Contents, AWeakKeyIsNumbered)
{
	dbcrypt_ring *const strict = dbcrypt_ring_new(false);
	const auto refused = [&](const std::string &contents, int line)
	{
		dbcrypt_source_error error;
		EXPECT_EQ(dbcrypt_ring_add_contents(strict,
											reinterpret_cast<const uint8_t *>(contents.data()),
											contents.size(), &error),
				  DBCRYPT_WEAK_KEY)
			<< contents;
		EXPECT_EQ(error.line, line);
	};
	refused("# the keys\n" + hex_key(1) + "\n", 2);
	refused("text:abc # def, g", 1);
	refused(std::string(32, '\x05'), 0);
	const Folder folder;
	folder.write("encryption-key-1", "text:password");
	dbcrypt_source_error error;
	EXPECT_EQ(dbcrypt_ring_add_file(strict, folder.path().c_str(), &error), DBCRYPT_WEAK_KEY);
	EXPECT_STREQ(error.file, "encryption-key-1");
	EXPECT_EQ(error.line, 1);
	EXPECT_EQ(dbcrypt_ring_count(strict), 0U);
	dbcrypt_ring_free(strict);
}

TEST(Contents, ABadLineIsNumbered)
{
	const auto loaded = load_contents("# one\n" + hex_key(1) + "\nnonsense\n" + hex_key(2) + "\n");
	EXPECT_EQ(loaded.status, DBCRYPT_BAD_KEY);
	EXPECT_EQ(loaded.error.line, 3);
	EXPECT_TRUE(loaded.ids.empty());
	/* A file of a list is not a key file. */
	EXPECT_EQ(load_contents(hex_key(1) + "," + hex_key(2)).status, DBCRYPT_BAD_KEY);
}

TEST(Contents, NoKeyIsAnError)
{
	for (const char *empty : {"", "\n", "# only a comment", " \r\n"})
	{
		const auto loaded = load_contents(empty);
		EXPECT_EQ(loaded.status, DBCRYPT_KEY_FILE_EMPTY);
		EXPECT_EQ(loaded.error.line, 0);
	}
}

TEST(KeyFile, IsRead)
{
	const Folder folder;
	const auto loaded = load_file(folder.write("keys", hex_key(3) + "\n" + hex_key(1) + "\n"));
	EXPECT_EQ(loaded.status, DBCRYPT_OK);
	EXPECT_EQ(loaded.ids, (Ids{id_of(3), id_of(1)}));
	EXPECT_EQ(load_file(folder.write("read only", hex_key(3), 0400)).status, DBCRYPT_OK);
	ASSERT_EQ(symlink("keys", folder.path("link").c_str()), 0);
	EXPECT_EQ(load_file(folder.path("link")).ids.size(), 2U);
}

TEST(KeyFile, MissingEmptyOrBad)
{
	const Folder folder;
	auto loaded = load_file(folder.path("none"));
	EXPECT_EQ(loaded.status, DBCRYPT_KEY_FILE_MISSING);
	EXPECT_EQ(loaded.error_number, ENOENT);
	EXPECT_EQ(load_file(folder.write("empty", "")).status, DBCRYPT_KEY_FILE_EMPTY);
	loaded = load_file(folder.write("bad", "\nnonsense"));
	EXPECT_EQ(loaded.status, DBCRYPT_BAD_KEY);
	EXPECT_EQ(loaded.error.line, 2);
	EXPECT_STREQ(loaded.error.file, "");
}

TEST(KeyFile, UnreadableSaysWhy)
{
	const Folder folder;
	const std::string file = folder.write("keys", hex_key(1));
	auto loaded = load_file(file + "/below");
	EXPECT_EQ(loaded.status, DBCRYPT_KEY_FILE_UNREADABLE);
	EXPECT_EQ(loaded.error_number, ENOTDIR);
	loaded = load_file(folder.write("large", std::string(dbcrypt::key_file_limit + 1, '\n')));
	EXPECT_EQ(loaded.status, DBCRYPT_KEY_FILE_UNREADABLE);
	EXPECT_EQ(loaded.error_number, EFBIG);
	EXPECT_EQ(load_file(folder.write("largest", std::string(dbcrypt::key_file_limit, '\n'))).status,
			  DBCRYPT_KEY_FILE_EMPTY);
}

TEST(KeyFile, MustBeRegular)
{
	const Folder folder;
	ASSERT_EQ(mkfifo(folder.path("fifo").c_str(), 0600), 0);
	EXPECT_EQ(load_file(folder.path("fifo")).status, DBCRYPT_KEY_FILE_NOT_REGULAR);
	EXPECT_EQ(load_file("/dev/null").status, DBCRYPT_KEY_FILE_NOT_REGULAR);
}

TEST(KeyFile, NobodyElseMayReadIt)
{
	const Folder folder;
	for (const unsigned mode : {0640U, 0604U, 0620U, 0610U, 0601U, 0660U, 0644U})
		EXPECT_EQ(load_file(folder.write("keys", hex_key(1), mode)).status,
				  DBCRYPT_KEY_FILE_PERMISSIONS)
			<< mode;
}

TEST(KeyFile, RootsFileMayBeReadByTheGroup)
{
	if (geteuid() != 0)
		GTEST_SKIP() << "needs root";
	constexpr uid_t user = 54321;
	const Folder folder;
	ASSERT_EQ(chmod(folder.path().c_str(), 0755), 0);
	const std::string file = folder.write("keys", hex_key(1), 0640);
	ASSERT_EQ(chown(file.c_str(), 0, getegid()), 0);
	as_user(user, [&] { EXPECT_EQ(load_file(file).status, DBCRYPT_OK); });
	for (const unsigned mode : {0660U, 0650U, 0644U, 0642U, 0641U})
	{
		ASSERT_EQ(chmod(file.c_str(), mode), 0);
		as_user(user, [&] { EXPECT_EQ(load_file(file).status, DBCRYPT_KEY_FILE_PERMISSIONS); });
	}
	ASSERT_EQ(chmod(file.c_str(), 0600), 0);
	as_user(user, [&] { EXPECT_EQ(load_file(file).error_number, EACCES); });
}

TEST(KeyFile, MustBelongToThisUserOrRoot)
{
	if (geteuid() != 0)
		GTEST_SKIP() << "needs root";
	const Folder folder;
	const std::string file = folder.write("keys", hex_key(1), 0600);
	ASSERT_EQ(chown(file.c_str(), 54321, getegid()), 0);
	EXPECT_EQ(load_file(file).status, DBCRYPT_KEY_FILE_OWNER);
}

TEST(KeyDirectory, HighestNumberFirst)
{
	const Folder folder;
	folder.write("encryption-key-0", hex_key(0));
	folder.write("encryption-key-9", hex_key(9));
	folder.write("encryption-key-10", hex_key(10) + "\n");
	folder.write("encryption-key-100000000000000000000", std::string(32, '\x63'));
	for (const char *other : {"encryption-key-", "encryption-key-x", "encryption-key-1x", "README",
							  "encryption-key", "xencryption-key-1", "encryption-key-1~"})
		folder.write(other, "not a key", 0644);
	const auto loaded = load_file(folder.path());
	EXPECT_EQ(loaded.status, DBCRYPT_OK);
	EXPECT_EQ(loaded.ids, (Ids{id_of(0x63), id_of(10), id_of(9), id_of(0)}));
	EXPECT_STREQ(loaded.error.file, "");
}

TEST(KeyDirectory, FaultsNameTheFile)
{
	const Folder folder;
	EXPECT_EQ(load_file(folder.path()).status, DBCRYPT_KEY_FILE_MISSING);
	folder.write("encryption-key-3", hex_key(3));
	folder.write("encryption-key-2", "# comment\nnonsense");
	auto loaded = load_file(folder.path());
	EXPECT_EQ(loaded.status, DBCRYPT_BAD_KEY);
	EXPECT_STREQ(loaded.error.file, "encryption-key-2");
	EXPECT_EQ(loaded.error.line, 2);
	EXPECT_TRUE(loaded.ids.empty());
	folder.write("encryption-key-2", hex_key(2), 0644);
	EXPECT_EQ(load_file(folder.path()).status, DBCRYPT_KEY_FILE_PERMISSIONS);
	folder.write("encryption-key-2", "", 0600);
	loaded = load_file(folder.path());
	EXPECT_EQ(loaded.status, DBCRYPT_KEY_FILE_EMPTY);
	EXPECT_STREQ(loaded.error.file, "encryption-key-2");

	const std::string long_name = "encryption-key-" + std::string(100, '7');
	folder.write("encryption-key-2", hex_key(2));
	folder.write(long_name, "x");
	EXPECT_EQ(load_file(folder.path()).error.file, long_name.substr(0, 63));
	ASSERT_EQ(unlink(folder.path(long_name).c_str()), 0);
	ASSERT_EQ(mkdir(folder.path("encryption-key-4").c_str(), 0700), 0);
	EXPECT_EQ(load_file(folder.path()).status, DBCRYPT_KEY_FILE_NOT_REGULAR);
}

TEST(Stamp, ChangesWithTheFile)
{
	const Folder folder;
	const auto stamp = [&](const std::string &name)
	{
		return dbcrypt_file_stamp(folder.path(name).c_str());
	};
	EXPECT_EQ(stamp("keys"), 0U);
	folder.write("keys", hex_key(1));
	const auto first = stamp("keys");
	EXPECT_NE(first, 0U);
	EXPECT_EQ(stamp("keys"), first);
	folder.write("other", hex_key(1));
	ASSERT_EQ(rename(folder.path("other").c_str(), folder.path("keys").c_str()), 0);
	const auto replaced = stamp("keys");
	EXPECT_NE(replaced, first);
	ASSERT_EQ(chmod(folder.path("keys").c_str(), 0400), 0);
	EXPECT_NE(stamp("keys"), replaced);
}

TEST(Stamp, ChangesWithAFileOfTheDirectory)
{
	const Folder folder;
	folder.write("encryption-key-1", hex_key(1));
	const auto stamp = [&]
	{
		return dbcrypt_file_stamp(folder.path().c_str());
	};
	const auto first = stamp();
	EXPECT_NE(first, 0U);
	EXPECT_EQ(stamp(), first);
	folder.write("encryption-key-1", hex_key(1) + "\n" + hex_key(2));
	const auto second = stamp();
	EXPECT_NE(second, first);
	folder.write("encryption-key-2", hex_key(2));
	EXPECT_NE(stamp(), second);
}
