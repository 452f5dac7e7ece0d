/*
 * core_bench.cpp
 *		What a value costs through core.h beside a bare loop over OpenSSL with a
 *		kept context: the same bytes, the same AAD, nonces from a pool.
 *
 * Prints medians of 15 alternating rounds.
 */
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include <openssl/evp.h>
#include <openssl/rand.h>

#include "api/scheme.h"
#include "api/value.h"
#include "crypto/base64.h"

namespace
{

constexpr int rounds = 15;
constexpr size_t header_size = 12;
constexpr size_t overhead = 40;

void
require(bool condition)
{
	if (!condition)
	{
		std::fprintf(stderr, "core_bench: a call failed\n");
		std::exit(1);
	}
}

/* AES-256-GCM as a careful C program would call it. */
class Bare
{
public:
	Bare()
	{
		uint8_t key[32];
		require(RAND_bytes(key, sizeof(key)) == 1);
		require(EVP_EncryptInit_ex(sealer, EVP_aes_256_gcm(), nullptr, key, nullptr) == 1);
		require(EVP_DecryptInit_ex(opener, EVP_aes_256_gcm(), nullptr, key, nullptr) == 1);
	}
	~Bare()
	{
		EVP_CIPHER_CTX_free(sealer);
		EVP_CIPHER_CTX_free(opener);
	}
	Bare(const Bare &) = delete;
	Bare &operator=(const Bare &) = delete;

	void encrypt(const uint8_t *in, size_t size, uint8_t *out)
	{
		int done;
		if (used == sizeof(pool))
		{
			require(RAND_bytes(pool, sizeof(pool)) == 1);
			used = 0;
		}
		std::memcpy(out, "u\xB7\x35\x01key id.\0", header_size);
		std::memcpy(out + header_size, pool + used, 12);
		used += 12;
		require(EVP_EncryptInit_ex(sealer, nullptr, nullptr, nullptr, out + header_size) == 1);
		require(EVP_EncryptUpdate(sealer, nullptr, &done, out, header_size) == 1);
		require(EVP_EncryptUpdate(sealer, out + 24, &done, in, static_cast<int>(size)) == 1);
		require(EVP_EncryptFinal_ex(sealer, out + 24 + size, &done) == 1);
		require(EVP_CIPHER_CTX_ctrl(sealer, EVP_CTRL_GCM_GET_TAG, 16, out + 24 + size) == 1);
	}

	void decrypt(const uint8_t *in, size_t size, uint8_t *out)
	{
		int done;
		uint8_t tag[16];
		std::memcpy(tag, in + 24 + size, sizeof(tag));
		require(EVP_DecryptInit_ex(opener, nullptr, nullptr, nullptr, in + header_size) == 1);
		require(EVP_DecryptUpdate(opener, nullptr, &done, in, header_size) == 1);
		require(EVP_DecryptUpdate(opener, out, &done, in + 24, static_cast<int>(size)) == 1);
		require(EVP_CIPHER_CTX_ctrl(opener, EVP_CTRL_GCM_SET_TAG, 16, tag) == 1);
		require(EVP_DecryptFinal_ex(opener, out + size, &done) == 1);
	}

private:
	EVP_CIPHER_CTX *sealer = EVP_CIPHER_CTX_new();
	EVP_CIPHER_CTX *opener = EVP_CIPHER_CTX_new();
	uint8_t pool[4092];
	size_t used = sizeof(pool);
};

double
time_once(size_t repeats, const std::function<void(size_t)> &loop)
{
	const auto start = std::chrono::steady_clock::now();
	loop(repeats);
	const std::chrono::duration<double, std::nano> spent = std::chrono::steady_clock::now() - start;
	return spent.count() / static_cast<double>(repeats);
}

double
median(std::vector<double> values)
{
	std::sort(values.begin(), values.end());
	return values[values.size() / 2];
}

/* Alternates the two loops, so that a noisy machine disturbs both alike. */
void
compare(const char *name, size_t repeats, const std::function<void(size_t)> &ours,
		const char *other, const std::function<void(size_t)> &bare)
{
	std::vector<double> ours_ns;
	std::vector<double> bare_ns;
	std::vector<double> ratios;
	for (int round = 0; round < rounds; round++)
	{
		bare_ns.push_back(time_once(repeats, bare));
		ours_ns.push_back(time_once(repeats, ours));
		ratios.push_back(ours_ns.back() / bare_ns.back());
	}
	std::printf("%-34s %12.1f ns  %-6s %12.1f ns  ratio %.2f\n", name, median(ours_ns), other,
				median(bare_ns), median(ratios));
}

void
bench_size(size_t size, size_t repeats, dbcrypt_ring *ring)
{
	Bare bare;
	std::vector<uint8_t> plaintext(size, 'x');
	std::vector<uint8_t> out(size + overhead);
	std::vector<uint8_t> text(dbcrypt_envelope_size(DBCRYPT_ENCODING_TEXT, size));
	std::vector<uint8_t> opened(text.size());
	const std::string label = std::to_string(size) + " bytes";
	const auto bare_encrypt = [&](size_t n)
	{
		for (size_t i = 0; i < n; i++)
			bare.encrypt(plaintext.data(), size, out.data());
	};
	const auto bare_decrypt = [&](size_t n)
	{
		for (size_t i = 0; i < n; i++)
			bare.decrypt(out.data(), size, opened.data());
	};
	std::vector<uint8_t> envelope(size + overhead);

	for (const auto encoding : {DBCRYPT_ENCODING_BINARY, DBCRYPT_ENCODING_TEXT})
	{
		auto &token = encoding == DBCRYPT_ENCODING_TEXT ? text : envelope;
		const char *const kind = encoding == DBCRYPT_ENCODING_TEXT ? " text" : " bytea";
		compare(("encrypt " + label + kind).c_str(), repeats,
				[&](size_t n)
				{
					for (size_t i = 0; i < n; i++)
						require(dbcrypt_encrypt(ring, encoding, plaintext.data(), size, nullptr, 0,
												token.data()) == DBCRYPT_OK);
				},
				"bare", bare_encrypt);
		compare(("decrypt " + label + kind).c_str(), repeats,
				[&](size_t n)
				{
					size_t opened_size;
					for (size_t i = 0; i < n; i++)
						require(dbcrypt_decrypt(ring, encoding, token.data(), token.size(), nullptr,
												0, opened.data(), &opened_size) == DBCRYPT_OK);
				},
				"bare", bare_decrypt);
	}
}

void
bench_base64(size_t size, size_t repeats)
{
	using namespace dbcrypt;
	std::vector<uint8_t> binary(size, 0x5A);
	std::vector<uint8_t> text(base64_encoded_size(size));
	std::vector<double> encode_ns;
	std::vector<double> decode_ns;
	for (int round = 0; round < rounds; round++)
	{
		encode_ns.push_back(time_once(repeats,
									  [&](size_t n)
									  {
										  for (size_t i = 0; i < n; i++)
											  base64_encode(binary.data(), size, text.data());
									  }));
		decode_ns.push_back(time_once(repeats,
									  [&](size_t n)
									  {
										  size_t decoded;
										  for (size_t i = 0; i < n; i++)
											  require(base64_decode(text.data(), text.size(),
																	binary.data(), &decoded));
									  }));
	}
	std::printf("base64 of %zu bytes: encode %.3f, decode %.3f ns a byte\n", size,
				median(encode_ns) / static_cast<double>(size),
				median(decode_ns) / static_cast<double>(size));
}

/* One value that rotates from the ring's second key to its first, in a scheme. */
class Rotation
{
public:
	Rotation(const dbcrypt_scheme *its_scheme, size_t size, dbcrypt_ring *its_ring,
			 dbcrypt_ring *old)
		: scheme(its_scheme), ring(its_ring)
	{
		const std::vector<uint8_t> plaintext(size, 'x');
		context.encoding = dbcrypt_scheme_traits_of(scheme)->text ? DBCRYPT_ENCODING_TEXT
																  : DBCRYPT_ENCODING_BINARY;
		value.resize(dbcrypt_scheme_seal_max_size(scheme, context.encoding, size));
		sealed.value = value.data();
		require(dbcrypt_scheme_seal(scheme, old, &context, plaintext.data(), size, &sealed) ==
				DBCRYPT_OK);
		cell = {sealed.value, sealed.value_size,
				sealed.companion_is_null ? nullptr : sealed.companion, sealed.companion_size};
		room.resize(dbcrypt_scheme_rotate_max_size(scheme, context.encoding, &cell));
	}
	Rotation(const Rotation &) = delete;
	Rotation &operator=(const Rotation &) = delete;

	void run(size_t n)
	{
		dbcrypt_sealed rotated;
		rotated.value = room.data();
		bool changed;
		for (size_t i = 0; i < n; i++)
			require(dbcrypt_scheme_rotate(scheme, ring, &context, &cell, &rotated, &changed) ==
						DBCRYPT_OK &&
					changed);
	}

private:
	const dbcrypt_scheme *scheme;
	dbcrypt_ring *ring;
	dbcrypt_context context = {};
	std::vector<uint8_t> value;
	std::vector<uint8_t> room;
	dbcrypt_sealed sealed;
	dbcrypt_cell cell;
};

/* Every scheme's rotation beside the native one. */
void
bench_rotation(size_t size, size_t repeats, dbcrypt_ring *ring, dbcrypt_ring *old)
{
	Rotation native(dbcrypt_scheme_at(0), size, ring, old);
	for (size_t i = 1; dbcrypt_scheme_at(i) != nullptr; i++)
	{
		Rotation rotation(dbcrypt_scheme_at(i), size, ring, old);
		const std::string label = "rotate " + std::to_string(size) + " bytes " +
								  dbcrypt_scheme_traits_of(dbcrypt_scheme_at(i))->name;
		compare(
			label.c_str(), repeats, [&](size_t n) { rotation.run(n); }, "native",
			[&](size_t n) { native.run(n); });
	}
}

} // namespace

int
main()
{
	char key[45];
	dbcrypt_ring *const ring = dbcrypt_ring_new(true);
	require(dbcrypt_generate_key(key) == DBCRYPT_OK);
	require(dbcrypt_ring_add_list(ring, key, 44, nullptr) == DBCRYPT_OK);
	dbcrypt_ring_set_state(ring, 0, DBCRYPT_STATE_REGISTERED);

	bench_size(64, 200000, ring);
	bench_size(1024, 50000, ring);
	bench_size(65536, 1000, ring);
	bench_base64(104, 200000);
	bench_base64(65536, 1000);

	dbcrypt_ring *const old = dbcrypt_ring_new(true);
	require(dbcrypt_generate_key(key) == DBCRYPT_OK);
	require(dbcrypt_ring_add_list(old, key, 44, nullptr) == DBCRYPT_OK);
	require(dbcrypt_ring_add_list(ring, key, 44, nullptr) == DBCRYPT_OK);
	dbcrypt_ring_set_state(old, 0, DBCRYPT_STATE_REGISTERED);
	bench_rotation(64, 100000, ring, old);
	bench_rotation(1024, 20000, ring, old);

	dbcrypt_ring_free(old);
	dbcrypt_ring_free(ring);
	return 0;
}
