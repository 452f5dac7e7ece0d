#include "secret_memory.h"

#include <algorithm>
#include <memory>
#include <new>
#include <vector>

#include <openssl/crypto.h>
#include <sys/mman.h>
#include <unistd.h>

/* Lets the address sanitizer see reads beyond a block; nothing without it. */
#if __has_include(<sanitizer/asan_interface.h>)
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(data, size) ((void) (data), (void) (size))
#define ASAN_UNPOISON_MEMORY_REGION(data, size) ((void) (data), (void) (size))
#endif

#include "no_postgres.h"

namespace dbcrypt
{

namespace
{

/* Half of what a process may lock where the limit is low (64 kB). */
constexpr size_t region_size = 32768;

size_t
round_up(size_t size, size_t multiple)
{
	return (size + multiple - 1) / multiple * multiple;
}

/* A mapping, given out in units of secret_alignment. */
class Region
{
public:
	explicit Region(size_t size) : units_(size / secret_alignment, false)
	{
		void *const start =
			mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (start == MAP_FAILED)
			throw std::bad_alloc();
		start_ = static_cast<uint8_t *>(start);
#ifdef MADV_DONTDUMP
		(void) madvise(start, size, MADV_DONTDUMP);
#endif
#ifdef MADV_WIPEONFORK
		(void) madvise(start, size, MADV_WIPEONFORK);
#endif
		lock();
		ASAN_POISON_MEMORY_REGION(start_, size);
	}
	Region(const Region &) = delete;
	Region &operator=(const Region &) = delete;
	~Region()
	{
		ASAN_UNPOISON_MEMORY_REGION(start_, size());
		munmap(start_, size());
	}

	/* Locks it, if the limit allows. */
	void lock()
	{
		locked_ = mlock(start_, size()) == 0;
	}

	/* The first n free units that lie together; null if there are none. */
	uint8_t *take(size_t n)
	{
		const auto place =
			std::search_n(units_.begin(), units_.end(), static_cast<ptrdiff_t>(n), false);
		if (place == units_.end())
			return nullptr;
		std::fill_n(place, n, true);
		used_ += n;
		return start_ + static_cast<size_t>(place - units_.begin()) * secret_alignment;
	}

	void give_back(const uint8_t *data, size_t n)
	{
		const auto first = static_cast<size_t>(data - start_) / secret_alignment;
		std::fill_n(units_.begin() + static_cast<ptrdiff_t>(first), n, false);
		used_ -= n;
	}

	bool holds(const uint8_t *data) const
	{
		return data >= start_ && data < start_ + size();
	}
	bool is_empty() const
	{
		return used_ == 0;
	}
	bool is_locked() const
	{
		return locked_;
	}

private:
	size_t size() const
	{
		return units_.size() * secret_alignment;
	}

	uint8_t *start_;
	bool locked_;
	size_t used_ = 0;
	std::vector<bool> units_;
};

using Regions = std::vector<std::unique_ptr<Region>>;

/* Kept for the life of the process: a secret may live as long. */
Regions &
regions()
{
	static Regions *const all = new Regions;
	return *all;
}

/* Locks what a parent process has left: a child inherits the mappings, not their locks. */
void
lock_inherited()
{
	static pid_t locked_by = 0;
	const pid_t self = getpid();
	if (locked_by != self)
		for (const auto &region : regions())
			region->lock();
	locked_by = self;
}

} // namespace

uint8_t *
secret_allocate(size_t size)
{
	if (size == 0)
		return nullptr;
	lock_inherited();
	const size_t n = round_up(size, secret_alignment) / secret_alignment;
	uint8_t *data = nullptr;
	for (const auto &region : regions())
		if ((data = region->take(n)) != nullptr)
			break;
	if (data == nullptr)
	{
		const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
		auto region = std::make_unique<Region>(round_up(std::max(size, region_size), page));
		data = region->take(n);
		regions().push_back(std::move(region));
	}
	ASAN_UNPOISON_MEMORY_REGION(data, size);
	return data;
}

/* The first mapping is kept, so that the next secret needs none. */
void
secret_free(uint8_t *data, size_t size) noexcept
{
	if (data == nullptr)
		return;
	OPENSSL_cleanse(data, size);
	ASAN_POISON_MEMORY_REGION(data, size);
	auto &all = regions();
	const auto region =
		std::find_if(all.begin(), all.end(), [&](const auto &r) { return r->holds(data); });
	(*region)->give_back(data, round_up(size, secret_alignment) / secret_alignment);
	if ((*region)->is_empty() && region != all.begin())
		all.erase(region);
}

bool
secrets_are_locked() noexcept
{
	const auto &all = regions();
	return std::all_of(all.begin(), all.end(), [](const auto &r) { return r->is_locked(); });
}

} // namespace dbcrypt
