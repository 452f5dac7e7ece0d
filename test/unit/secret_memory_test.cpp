#include "crypto/secret_memory.h"

#include <cstring>
#include <fstream>
#include <sstream>

#include <sys/wait.h>
#include <unistd.h>

#include "support.h"

using namespace dbcrypt;
using namespace test;

namespace
{

/* The kernel's flags of the mapping that holds this address. */
std::string
flags_of(const void *address)
{
	std::ifstream maps("/proc/self/smaps");
	const auto wanted = reinterpret_cast<uintptr_t>(address);
	bool here = false;
	for (std::string line; std::getline(maps, line);)
	{
		uintptr_t start;
		uintptr_t end;
		if (std::sscanf(line.c_str(), "%lx-%lx ", &start, &end) == 2)
			here = wanted >= start && wanted < end;
		else if (here && line.starts_with("VmFlags:"))
			return line + " ";
	}
	return "";
}

/* Runs work in a child process; whether it returned true. */
template <typename Work>
bool
in_child(Work &&work)
{
	const pid_t pid = fork();
	if (pid == 0)
		_exit(work() ? 0 : 1);
	int status = 1;
	waitpid(pid, &status, 0);
	return status == 0;
}

} // namespace

TEST(SecretMemory, IsLockedAndInNoCoreDump)
{
	for (const size_t size : {1U, 32U, 8192U, 100000U})
	{
		uint8_t *const data = secret_allocate(size);
		EXPECT_EQ(reinterpret_cast<uintptr_t>(data) % secret_alignment, 0U);
		std::memset(data, 7, size);
		const std::string flags = flags_of(data + size - 1);
		if (flags.empty())
			GTEST_SKIP() << "no /proc";
		EXPECT_NE(flags.find(" dd "), flags.npos) << flags;
		EXPECT_NE(flags.find(" wf "), flags.npos) << flags;
#ifndef __SANITIZE_ADDRESS__ /* the sanitizer lets nothing be locked, and says that it is */
		EXPECT_EQ(flags.find(" lo ") != flags.npos, secrets_are_locked()) << flags;
#endif
		secret_free(data, size);
	}
}

TEST(SecretMemory, IsWipedWhenFreed)
{
	uint8_t *const kept = secret_allocate(32); /* so that the mapping stays */
	uint8_t *const data = secret_allocate(32);
	std::memset(data, 7, 32);
	secret_free(data, 32);
	uint8_t *const again = secret_allocate(32);
	EXPECT_EQ(again, data);
	EXPECT_EQ(Octets(again, again + 32), Octets(32, 0));
	secret_free(again, 32);
	secret_free(kept, 32);
	EXPECT_EQ(secret_allocate(0), nullptr);
	secret_free(nullptr, 0);
}

TEST(SecretMemory, BlocksDoNotOverlap)
{
	std::vector<std::pair<uint8_t *, size_t>> blocks;
	for (size_t i = 0; i < 3000; i++)
	{
		const size_t size = 1 + i * 37 % 3000;
		blocks.emplace_back(secret_allocate(size), size);
		std::memset(blocks.back().first, static_cast<int>(i % 251), size);
		if (i % 3 == 2)
		{
			const auto [data, freed] = blocks[i / 2 % blocks.size()];
			secret_free(data, freed);
			blocks.erase(blocks.begin() + static_cast<ptrdiff_t>(i / 2 % blocks.size()));
		}
	}
	for (const auto &[data, size] : blocks)
	{
		EXPECT_EQ(Octets(data, data + size), Octets(size, data[0]));
		secret_free(data, size);
	}
}

TEST(SecretMemory, AChildFindsZeros)
{
	uint8_t *const data = secret_allocate(32);
	std::memset(data, 7, 32);
	if (flags_of(data).find(" wf ") == std::string::npos)
		GTEST_SKIP() << "the kernel offers no MADV_WIPEONFORK";
	EXPECT_TRUE(in_child([&] { return Octets(data, data + 32) == Octets(32, 0); }));
	EXPECT_EQ(Octets(data, data + 32), Octets(32, 7));
	secret_free(data, 32);
}
