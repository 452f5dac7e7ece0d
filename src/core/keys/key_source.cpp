#include "key_source.h"

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <iterator>
#include <memory>
#include <string>
#include <utility>

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../crypto/core_error.h"
#include "key.h"

#include "../crypto/no_postgres.h"

namespace dbcrypt
{

namespace
{

constexpr std::string_view white_space = " \t\r\n\f\v";
constexpr std::string_view key_file_prefix = "encryption-key-";

/* A text without white space around it. */
std::string_view
trim(std::string_view text)
{
	const size_t first = text.find_first_not_of(white_space);
	if (first == text.npos)
		return {};
	return text.substr(first, text.find_last_not_of(white_space) - first + 1);
}

/* Refuses a weak key, unless its text is said to be short. Keeps the whole text. */
SourceKey
checked(Secret key, std::string_view text, WeakKeys weak)
{
	const bool one_byte = is_one_byte(key);
	const bool short_text = is_short_text(text);
	if (weak == WeakKeys::refused &&
		(one_byte || (short_text && !text.starts_with(short_text_key_prefix))))
		throw CoreError{DBCRYPT_WEAK_KEY};
	const size_t prefix = text_prefix_size(text);
	Secret whole(prefix > 0 ? text.size() - prefix : 0);
	std::copy(text.end() - static_cast<ptrdiff_t>(whole.size()), text.end(),
			  reveal_secret(whole).begin());
	return {std::move(key), one_byte || short_text, std::move(whole)};
}

/* The key that a text writes; throws for anything else. */
SourceKey
key_or_throw(std::string_view text, WeakKeys weak)
{
	auto key = parse_key(text);
	if (!key)
		throw CoreError{DBCRYPT_BAD_KEY};
	return checked(std::move(*key), text, weak);
}

/* Whether a key is written as text:... */
bool
is_text_key(std::string_view text)
{
	return text_prefix_size(text) > 0;
}

/*
 * The key in a line of a key file: without white space around it, and without a
 * comment. A text key may contain '#', so it has no comment.
 */
std::string_view
key_of_line(std::string_view line)
{
	if (is_text_key(trim(line)))
		return trim(line);
	return trim(line.substr(0, line.find('#')));
}

class Descriptor
{
public:
	explicit Descriptor(int fd) : fd_(fd) {}
	Descriptor(const Descriptor &) = delete;
	Descriptor &operator=(const Descriptor &) = delete;
	~Descriptor()
	{
		if (fd_ >= 0)
			close(fd_);
	}
	int get() const { return fd_; }
	int release() { return std::exchange(fd_, -1); }

private:
	int fd_;
};

struct CloseDirectory
{
	void operator()(DIR *directory) const { closedir(directory); }
};
using Directory = std::unique_ptr<DIR, CloseDirectory>;

/* Throws the status that belongs to errno. */
[[noreturn]] void
throw_errno()
{
	const int error_number = errno;
	throw CoreError{error_number == ENOENT	 ? DBCRYPT_KEY_FILE_MISSING
					: error_number == ENOMEM ? DBCRYPT_NO_MEMORY
											 : DBCRYPT_KEY_FILE_UNREADABLE,
					error_number};
}

/* Opens for reading. Does not wait for the writer of a FIFO; children do not inherit it. */
int
open_or_throw(int directory, const char *path)
{
	int fd;
	do
		fd = openat(directory, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	while (fd < 0 && errno == EINTR);
	if (fd < 0)
		throw_errno();
	return fd;
}

/* What fstat() says of an open file. */
struct stat
status_or_throw(int fd)
{
	struct stat status;
	if (fstat(fd, &status) != 0)
		throw_errno();
	return status;
}

/* PostgreSQL's rule for ssl_key_file. */
void
check_access(const struct stat &status)
{
	if (!S_ISREG(status.st_mode))
		throw CoreError{DBCRYPT_KEY_FILE_NOT_REGULAR};
	const bool own = status.st_uid == geteuid();
	if (!own && status.st_uid != 0)
		throw CoreError{DBCRYPT_KEY_FILE_OWNER};
	const mode_t forbidden = own ? S_IRWXG | S_IRWXO : S_IWGRP | S_IXGRP | S_IRWXO;
	if ((status.st_mode & forbidden) != 0)
		throw CoreError{DBCRYPT_KEY_FILE_PERMISSIONS};
}

/* The keys in an open file, if its owner and permissions are right. */
std::vector<SourceKey>
keys_of_descriptor(int fd, const struct stat &status, WeakKeys weak, dbcrypt_source_error *error)
{
	check_access(status);
	if (status.st_size > static_cast<off_t>(key_file_limit))
		throw CoreError{DBCRYPT_KEY_FILE_UNREADABLE, EFBIG};

	/* One byte more than the file has, to notice that it grew. */
	Secret contents(static_cast<size_t>(status.st_size) + 1);
	const auto buffer = reveal_secret(contents);
	size_t size = 0;
	for (;;)
	{
		const ssize_t got = read(fd, buffer.data() + size, buffer.size() - size);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			throw_errno();
		if (got == 0)
			break;
		size += static_cast<size_t>(got);
		if (size == buffer.size())
			throw CoreError{DBCRYPT_KEY_FILE_UNREADABLE, EAGAIN};
	}
	return keys_of_contents(buffer.first(size), weak, error);
}

/* Whether a directory entry is encryption-key-N. */
bool
is_key_file_name(std::string_view name)
{
	if (name.substr(0, key_file_prefix.size()) != key_file_prefix)
		return false;
	name.remove_prefix(key_file_prefix.size());
	return !name.empty() && name.find_first_not_of("0123456789") == name.npos;
}

/* Orders by N, highest first, however many digits it has. */
bool
higher_key_file(const std::string &left, const std::string &right)
{
	const auto digits = [](std::string_view name)
	{
		name.remove_prefix(key_file_prefix.size());
		name.remove_prefix(std::min(name.find_first_not_of('0'), name.size()));
		return name;
	};
	const auto a = digits(left);
	const auto b = digits(right);
	if (a.size() != b.size())
		return a.size() > b.size();
	return a != b ? a > b : left < right;
}

/* The names of the key files in a directory, highest N first. */
std::vector<std::string>
key_file_names(DIR *directory)
{
	std::vector<std::string> names;
	for (;;)
	{
		errno = 0;
		const dirent *const entry = readdir(directory);
		if (entry == nullptr)
			break;
		if (is_key_file_name(entry->d_name))
			names.emplace_back(entry->d_name);
	}
	if (errno != 0)
		throw_errno();
	std::sort(names.begin(), names.end(), higher_key_file);
	return names;
}

/* Reads a directory through its descriptor, which it takes over. */
Directory
directory_of(Descriptor &fd)
{
	Directory directory(fdopendir(fd.get()));
	if (!directory)
		throw_errno();
	fd.release();
	return directory;
}

/* Adds a number to a stamp. The multiplier is that of FNV-1a with 64 bits. */
uint64_t
mix(uint64_t stamp, uint64_t fact)
{
	return (std::rotl(stamp, 23) ^ fact) * 1099511628211U;
}

/* Adds to a stamp what tells one file, or one state of it, from another. */
uint64_t
mix_status(uint64_t stamp, const struct stat &status)
{
	for (const uint64_t fact :
		 {static_cast<uint64_t>(status.st_dev), static_cast<uint64_t>(status.st_ino),
		  static_cast<uint64_t>(status.st_size), static_cast<uint64_t>(status.st_mode),
		  static_cast<uint64_t>(status.st_uid), static_cast<uint64_t>(status.st_mtim.tv_sec),
		  static_cast<uint64_t>(status.st_mtim.tv_nsec),
		  static_cast<uint64_t>(status.st_ctim.tv_sec),
		  static_cast<uint64_t>(status.st_ctim.tv_nsec)})
		stamp = mix(stamp, fact);
	return stamp;
}

} // namespace

std::vector<SourceKey>
keys_of_list(std::string_view list, WeakKeys weak, dbcrypt_source_error *error)
{
	std::vector<SourceKey> keys;
	if (trim(list).empty())
		return keys;
	for (;;)
	{
		error->line++;
		const size_t comma = list.find(',');
		const auto entry = trim(list.substr(0, comma));
		/* In a statement such a key could not be masked as a whole. */
		if (is_text_key(entry) && std::any_of(entry.begin(), entry.end(), ends_text_key))
			throw CoreError{DBCRYPT_BAD_KEY};
		keys.push_back(key_or_throw(entry, weak));
		if (comma == list.npos)
			return keys;
		list.remove_prefix(comma + 1);
	}
}

std::vector<SourceKey>
keys_of_contents(Bytes contents, WeakKeys weak, dbcrypt_source_error *error)
{
	std::vector<SourceKey> keys;
	std::string_view text(reinterpret_cast<const char *>(contents.data()), contents.size());
	if (contents.size() == key_size && !is_text_key(text))
	{
		Secret key(key_size);
		std::copy(contents.begin(), contents.end(), reveal_secret(key).begin());
		keys.push_back(checked(std::move(key), {}, weak));
		return keys;
	}
	while (!text.empty())
	{
		error->line++;
		const size_t end = text.find('\n');
		const auto key = key_of_line(text.substr(0, end));
		if (!key.empty())
			keys.push_back(key_or_throw(key, weak));
		text.remove_prefix(end == text.npos ? text.size() : end + 1);
	}
	error->line = 0;
	if (keys.empty())
		throw CoreError{DBCRYPT_KEY_FILE_EMPTY};
	return keys;
}

std::vector<SourceKey>
keys_of_file(const char *path, WeakKeys weak, dbcrypt_source_error *error)
{
	Descriptor fd(open_or_throw(AT_FDCWD, path));
	const struct stat status = status_or_throw(fd.get());
	if (!S_ISDIR(status.st_mode))
		return keys_of_descriptor(fd.get(), status, weak, error);

	const Directory directory = directory_of(fd);
	std::vector<SourceKey> keys;
	for (const std::string &name : key_file_names(directory.get()))
	{
		const size_t size = std::min(name.size(), sizeof(error->file) - 1);
		std::memcpy(error->file, name.data(), size);
		error->file[size] = '\0';
		const Descriptor file(open_or_throw(dirfd(directory.get()), name.c_str()));
		auto more = keys_of_descriptor(file.get(), status_or_throw(file.get()), weak, error);
		keys.insert(keys.end(), std::make_move_iterator(more.begin()),
					std::make_move_iterator(more.end()));
	}
	error->file[0] = '\0';
	if (keys.empty())
		throw CoreError{DBCRYPT_KEY_FILE_MISSING, ENOENT};
	return keys;
}

uint64_t
file_stamp(const char *path)
{
	struct stat status = {};
	if (stat(path, &status) != 0)
		return 0;
	uint64_t stamp = mix_status(14695981039346656037U, status);
	if (S_ISDIR(status.st_mode))
	{
		Descriptor fd(open_or_throw(AT_FDCWD, path));
		const Directory directory = directory_of(fd);
		for (const std::string &name : key_file_names(directory.get()))
		{
			for (const char c : name)
				stamp = mix(stamp, static_cast<uint8_t>(c));
			if (fstatat(dirfd(directory.get()), name.c_str(), &status, 0) == 0)
				stamp = mix_status(stamp, status);
		}
	}
	return stamp == 0 ? 1 : stamp;
}

} // namespace dbcrypt
