#include "key_mask.h"

#include <algorithm>
#include <string_view>

#include "../crypto/base64.h"
#include "../crypto/hex.h"

#include "../crypto/no_postgres.h"

namespace dbcrypt
{

namespace
{

constexpr size_t hex_size = 2 * key_size;
constexpr size_t base64_size = base64_encoded_size(key_size); /* the last one is '=' */

/* The shortest piece of a key that is hidden where no ring tells what is one. */
constexpr size_t suspect_size = 20;

/* What is written in hex, or in base64, consists of these. */
bool
is_hex(char c)
{
	return hex_value(static_cast<uint8_t>(c)) >= 0;
}

bool
is_base64(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '+' ||
		   c == '/';
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

/* Calls mask_run(at, size) for each run of such characters; the sum of what it returns. */
template <typename MaskRun>
size_t
for_each_run(std::span<const char> text, bool (*belongs)(char), MaskRun &&mask_run)
{
	size_t masked = 0;
	for (size_t at = 0; at < text.size();)
	{
		const size_t size = run_at(text, at, belongs);
		if (size > 0)
			masked += mask_run(at, size);
		at += size + 1;
	}
	return masked;
}

/* Whether the padding of the base64 of 32 bytes is here. */
bool
is_padded(std::span<const char> text, size_t at)
{
	return at < text.size() && text[at] == '=';
}

/* Whether a text is a key of the keyring. */
bool
is_key(std::span<const char> text, const Keyring &keyring)
{
	const auto key = parse_key({text.data(), text.size()});
	if (!key)
		return false;
	const auto bytes = reveal_secret(*key);
	for (size_t i = 0; i < keyring.size(); i++)
	{
		const auto held = reveal_secret(keyring.at(i).bytes());
		if (std::equal(bytes.begin(), bytes.end(), held.begin(), held.end()))
			return true;
	}
	return false;
}

/* Overwrites a text; returns 1, for the count. */
size_t
mask(std::span<char> text)
{
	std::fill(text.begin(), text.end(), '*');
	return 1;
}

/* What a key consists of, in hex or in either alphabet of base64. */
bool
is_of_key(char c)
{
	return is_base64(c) || c == '-' || c == '_';
}

/* Names of settings and functions are long too, but lower case without digits. */
bool
is_telling(char c)
{
	return is_of_key(c) && !(c >= 'a' && c <= 'z') && c != '-' && c != '_' && c != '/';
}

/* Masks what could be a key, a piece of one, or one that was mistyped. */
size_t
mask_suspects(std::span<char> text)
{
	size_t masked = 0;
	for (size_t at = 0; at < text.size();)
	{
		const size_t size = run_at(text, at, is_of_key);
		size_t end = at + size;
		const auto run = text.subspan(at, size);
		if (size >= suspect_size && std::any_of(run.begin(), run.end(), is_telling))
		{
			end += run_at(text, end, [](char c) { return c == '='; });
			masked += mask(text.subspan(at, end - at));
		}
		at = end + 1;
	}
	return masked;
}

/* Which first two bytes the keys of a ring have: rules out nearly every place in a hex run. */
class FirstBytes
{
public:
	explicit FirstBytes(const Keyring &keyring) : seen_(1U << 13)
	{
		const auto seen = reveal_secret(seen_);
		std::fill(seen.begin(), seen.end(), uint8_t{0});
		for (size_t i = 0; i < keyring.size(); i++)
		{
			const auto key = reveal_secret(keyring.at(i).bytes());
			const auto first = static_cast<size_t>(key[0] << 8 | key[1]);
			seen[first / 8] = static_cast<uint8_t>(seen[first / 8] | 1 << first % 8);
		}
	}

	/* Whether a key may begin with these hex digits, of which there are four. */
	bool may_begin(const char *digits) const
	{
		size_t first = 0;
		for (size_t i = 0; i < 4; i++)
			first = first << 4 | static_cast<size_t>(hex_value(static_cast<uint8_t>(digits[i])));
		return (reveal_secret(seen_)[first / 8] >> first % 8 & 1) != 0;
	}

private:
	Secret seen_; /* a bit for each */
};

/* Masks the ring's hex keys wherever they stand in a run. */
size_t
mask_hex(std::span<char> run, const Keyring &keyring, const FirstBytes &first)
{
	size_t masked = 0;
	for (size_t at = 0; at + hex_size <= run.size();)
		if (first.may_begin(run.data() + at) && is_key(run.subspan(at, hex_size), keyring))
		{
			masked += mask(run.subspan(at, hex_size));
			at += hex_size;
		}
		else
			at++;
	return masked;
}

/* Masks each text key of one prefix that stands at the start of a word. */
size_t
mask_text_keys_of(std::string_view prefix, std::span<char> text, const Keyring *only)
{
	size_t masked = 0;
	const std::string_view all(text.data(), text.size());
	size_t end = 0; /* of the last candidate; others within it end there too */
	for (size_t at = all.find(prefix); at != all.npos; at = all.find(prefix, at + 1))
	{
		if (only == nullptr && at > 0 && is_base64(text[at - 1]))
			continue;
		const size_t start = at + prefix.size();
		end = std::max(end, start);
		while (end < text.size() && !ends_text_key(text[end]))
			end++;
		if (end > start && (only == nullptr || is_key(text.subspan(at, end - at), *only)))
			masked += mask(text.subspan(at, end - at));
	}
	return masked;
}

size_t
mask_text_keys(std::span<char> text, const Keyring *only)
{
	return mask_text_keys_of(text_key_prefix, text, only) +
		   mask_text_keys_of(short_text_key_prefix, text, only);
}

} // namespace

size_t
mask_keys(std::span<char> text, const Keyring *only)
{
	size_t masked = mask_text_keys(text, only);
	if (only == nullptr)
		return masked + mask_suspects(text);

	const FirstBytes first(*only);
	masked += for_each_run(text, is_hex,
						   [&](size_t at, size_t size)
						   { return mask_hex(text.subspan(at, size), *only, first); });
	return masked + for_each_run(text, is_base64,
								 [&](size_t at, size_t size)
								 {
									 if (!is_padded(text, at + size) || size < base64_size - 1)
										 return size_t{0};
									 const auto candidate =
										 text.subspan(at + size + 1 - base64_size, base64_size);
									 return is_key(candidate, *only) ? mask(candidate) : 0;
								 });
}

size_t
mask_key_literals(std::span<char> text)
{
	return mask_text_keys(text, nullptr) +
		   for_each_run(text, is_base64,
						[&](size_t at, size_t size)
						{
							const auto run = text.subspan(at, size);
							if (size == base64_size - 1 && is_padded(text, at + size))
								return mask(text.subspan(at, base64_size));
							if (size == hex_size && std::all_of(run.begin(), run.end(), is_hex))
								return mask(run);
							return size_t{0};
						});
}

} // namespace dbcrypt
