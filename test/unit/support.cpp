#include "support.h"

#include <cctype>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <new>
#include <stdexcept>

#include <sys/stat.h>

namespace
{

/* As much of JSON as the vector files use. */
class Json
{
public:
	explicit Json(std::string text) : text_(std::move(text)) {}

	std::vector<test::Vector> vectors()
	{
		std::vector<test::Vector> found;
		expect('{');
		do
		{
			const std::string name = string();
			expect(':');
			if (name != "vectors")
			{
				skip();
				continue;
			}
			expect('[');
			do
				found.push_back(object());
			while (next(','));
			expect(']');
		} while (next(','));
		expect('}');
		return found;
	}

private:
	char peek()
	{
		while (std::isspace(static_cast<unsigned char>(text_.at(at_))) != 0)
			at_++;
		return text_[at_];
	}
	bool next(char c)
	{
		if (peek() != c)
			return false;
		at_++;
		return true;
	}
	void expect(char c)
	{
		if (!next(c))
			throw std::runtime_error("vector file: expected " + std::string(1, c));
	}

	test::Vector object()
	{
		test::Vector members;
		expect('{');
		if (next('}'))
			return members;
		do
		{
			const std::string name = string();
			expect(':');
			members[name] = skip();
		} while (next(','));
		expect('}');
		return members;
	}

	/* Any value; a string or a word is given, anything else is passed over. */
	std::string skip()
	{
		const char c = peek();
		if (c == '"')
			return string();
		if (c == '{')
		{
			object();
			return "";
		}
		if (c == '[')
		{
			at_++;
			if (next(']'))
				return "";
			do
				skip();
			while (next(','));
			expect(']');
			return "";
		}
		const size_t start = at_;
		while (std::string_view(",]} \n\r\t").find(text_.at(at_)) == std::string_view::npos)
			at_++;
		return text_.substr(start, at_ - start);
	}

	std::string string()
	{
		std::string value;
		expect('"');
		for (;;)
		{
			const char c = text_.at(at_++);
			if (c == '"')
				return value;
			if (c != '\\')
			{
				value += c;
				continue;
			}
			const char escape = text_.at(at_++);
			if (escape == 'u')
			{
				append_utf8(value, std::stoul(text_.substr(at_, 4), nullptr, 16));
				at_ += 4;
			}
			else
			{
				constexpr std::string_view letters = "nrtbf";
				const size_t which = letters.find(escape);
				value += which == letters.npos ? escape : "\n\r\t\b\f"[which];
			}
		}
	}

	/* Surrogates are left as they are: no vector depends on them. */
	static void append_utf8(std::string &value, unsigned long code)
	{
		if (code < 0x80)
			value += static_cast<char>(code);
		else if (code < 0x800)
		{
			value += static_cast<char>(0xC0 | code >> 6);
			value += static_cast<char>(0x80 | (code & 0x3F));
		}
		else
		{
			value += static_cast<char>(0xE0 | code >> 12);
			value += static_cast<char>(0x80 | (code >> 6 & 0x3F));
			value += static_cast<char>(0x80 | (code & 0x3F));
		}
	}

	std::string text_;
	size_t at_ = 0;
};

int allocations_left = -1;

void *
allocate(size_t size)
{
	if (allocations_left == 0)
		return nullptr;
	if (allocations_left > 0)
		allocations_left--;
	return std::malloc(size == 0 ? 1 : size);
}

} // namespace

void *
operator new(size_t size)
{
	void *const memory = allocate(size);
	if (memory == nullptr)
		throw std::bad_alloc();
	return memory;
}
void *
operator new[](size_t size)
{
	return operator new(size);
}
void *
operator new(size_t size, const std::nothrow_t &) noexcept
{
	return allocate(size);
}
void *
operator new[](size_t size, const std::nothrow_t &) noexcept
{
	return allocate(size);
}
void
operator delete(void *memory) noexcept
{
	std::free(memory);
}
void
operator delete[](void *memory) noexcept
{
	std::free(memory);
}
void
operator delete(void *memory, size_t) noexcept
{
	std::free(memory);
}
void
operator delete[](void *memory, size_t) noexcept
{
	std::free(memory);
}

namespace test
{

void
fail_allocation(int n)
{
	allocations_left = n;
}

std::vector<Vector>
load_vectors(const std::string &name)
{
	std::ifstream file(std::string(DBCRYPT_VECTORS) + "/" + name);
	std::string contents{std::istreambuf_iterator<char>(file), {}};
	auto vectors = Json(std::move(contents)).vectors();
	if (vectors.empty())
		throw std::runtime_error("no vectors in " + name);
	return vectors;
}

Octets
unhex(std::string_view text)
{
	Octets bytes;
	for (size_t i = 0; i + 1 < text.size(); i += 2)
		bytes.push_back(
			static_cast<uint8_t>(std::stoul(std::string(text.substr(i, 2)), nullptr, 16)));
	return bytes;
}

std::string
hex(const Octets &bytes)
{
	std::string text;
	for (const uint8_t byte : bytes)
	{
		text += "0123456789abcdef"[byte >> 4];
		text += "0123456789abcdef"[byte & 15];
	}
	return text;
}

Octets
octets(std::string_view text)
{
	return {text.begin(), text.end()};
}

std::string
text(const Octets &bytes)
{
	return {bytes.begin(), bytes.end()};
}

dbcrypt::Secret
secret(const Octets &bytes)
{
	dbcrypt::Secret secret(bytes.size());
	std::copy(bytes.begin(), bytes.end(), reveal_secret(secret).begin());
	return secret;
}

std::string
hex_key(int byte)
{
	return hex(Octets(32, static_cast<uint8_t>(byte)));
}

TestRing::TestRing(const std::string &list, unsigned state) : ring_(dbcrypt_ring_new(true))
{
	if (dbcrypt_ring_add_list(ring_, list.data(), list.size(), nullptr) != DBCRYPT_OK)
		throw std::runtime_error("bad test key");
	for (size_t i = 0; i < dbcrypt_ring_count(ring_); i++)
		dbcrypt_ring_set_state(ring_, i, state);
}

TestRing::~TestRing()
{
	dbcrypt_ring_free(ring_);
}

std::string
TestRing::id(size_t i) const
{
	return dbcrypt_ring_key_id(ring_, i);
}

Octets
encrypt(dbcrypt_ring *ring, dbcrypt_encoding encoding, const Octets &plaintext, const Octets &aad)
{
	Octets out(dbcrypt_envelope_size(encoding, plaintext.size()));
	EXPECT_EQ(dbcrypt_encrypt(ring, encoding, plaintext.data(), plaintext.size(), aad.data(),
							  aad.size(), out.data()),
			  DBCRYPT_OK);
	return out;
}

dbcrypt_status
decrypt(dbcrypt_ring *ring, dbcrypt_encoding encoding, const Octets &envelope, const Octets &aad,
		Octets *plaintext)
{
	/* On the heap at its exact size, so that the sanitizer sees one byte too many. */
	plaintext->assign(dbcrypt_decrypt_max_size(encoding, envelope.size()), 0xEE);
	plaintext->shrink_to_fit();
	size_t size = 0;
	const auto status = dbcrypt_decrypt(ring, encoding, envelope.data(), envelope.size(),
										aad.data(), aad.size(), plaintext->data(), &size);
	if (status == DBCRYPT_OK)
		plaintext->resize(size);
	return status;
}

Folder::Folder()
{
	std::string pattern = (std::filesystem::temp_directory_path() / "dbcrypt-XXXXXX").string();
	if (mkdtemp(pattern.data()) == nullptr)
		throw std::runtime_error("mkdtemp failed");
	path_ = pattern;
}

Folder::~Folder()
{
	std::error_code ignored;
	std::filesystem::remove_all(path_, ignored);
}

std::string
Folder::path(const std::string &name) const
{
	return name.empty() ? path_ : path_ + "/" + name;
}

std::string
Folder::write(const std::string &name, std::string_view contents, unsigned mode) const
{
	const std::string file = path(name);
	std::ofstream(file, std::ios::binary) << contents;
	if (chmod(file.c_str(), mode) != 0)
		throw std::runtime_error("chmod failed");
	return file;
}

} // namespace test
