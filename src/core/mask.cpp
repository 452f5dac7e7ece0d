#include "mask.h"

#include <algorithm>
#include <string_view>

#include "base64.h"
#include "wall.h"

namespace dbcrypt
{

namespace
{

constexpr size_t hex_size = 2 * key_size;
constexpr size_t base64_size = base64_encoded_size(key_size); /* the last one is '=' */

bool
is_digit_or_letter(char c, char last_lower)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= last_lower) ||
		   (c >= 'A' && c <= last_lower - 'a' + 'A');
}

bool
is_hex(char c)
{
	return is_digit_or_letter(c, 'f');
}

bool
is_base64(char c)
{
	return is_digit_or_letter(c, 'z') || c == '+' || c == '/';
}

/* The length of the run of such characters at position at. */
size_t
run_at(std::span<const char> text, size_t at, bool (*belongs)(char))
{
	size_t end = at;
	while (end < text.size() && belongs(text[end]))
		end++;
	return end - at;
}

/* Without a ring everything of a key's shape is a key. */
bool
is_key(std::span<const char> text, const Ring *only)
{
	if (only == nullptr)
		return true;
	const auto key = parse_key({text.data(), text.size()});
	if (!key)
		return false;
	const auto bytes = reveal_secret(*key);
	for (size_t i = 0; i < only->size(); i++)
	{
		const auto held = reveal_secret(only->at(i).bytes());
		if (std::equal(bytes.begin(), bytes.end(), held.begin(), held.end()))
			return true;
	}
	return false;
}

size_t
mask(std::span<char> text)
{
	std::fill(text.begin(), text.end(), '*');
	return 1;
}

/* Masks the hex keys of a run: a run that is one, or those of the ring anywhere in it. */
size_t
mask_hex(std::span<char> run, const Ring *only)
{
	size_t masked = 0;
	if (only == nullptr && run.size() != hex_size)
		return 0;
	for (size_t at = 0; at + hex_size <= run.size();)
		if (is_key(run.subspan(at, hex_size), only))
		{
			masked += mask(run.subspan(at, hex_size));
			at += hex_size;
		}
		else
			at++;
	return masked;
}

} // namespace

size_t
mask_keys(std::span<char> text, const Ring *only)
{
	size_t masked = 0;
	for (size_t at = 0; at < text.size();)
	{
		const size_t size = run_at(text, at, is_hex);
		if (size >= hex_size)
			masked += mask_hex(text.subspan(at, size), only);
		at += size + 1;
	}
	for (size_t at = 0; at < text.size();)
	{
		const size_t size = run_at(text, at, is_base64);
		const size_t end = at + size;
		const bool fits = only == nullptr ? size == base64_size - 1 : size >= base64_size - 1;
		if (fits && end < text.size() && text[end] == '=')
		{
			const auto candidate = text.subspan(end + 1 - base64_size, base64_size);
			if (is_key(candidate, only))
				masked += mask(candidate);
		}
		at = end + 1;
	}
	return masked;
}

} // namespace dbcrypt
