#include "aes_cbc.h"

#include <climits>
#include <cstring>
#include <memory>
#include <new>

#include <openssl/err.h>
#include <openssl/evp.h>

#include "core_error.h"

#include "no_postgres.h"

namespace dbcrypt
{

namespace
{

struct FreeContext
{
	void operator()(EVP_CIPHER_CTX *context) const { EVP_CIPHER_CTX_free(context); }
};

/* Runs the cipher in place over whole blocks, without its own padding. */
void
run(const Secret &key, const uint8_t *iv, std::span<uint8_t> blocks, int encrypt)
{
	static const EVP_CIPHER *const cipher = EVP_CIPHER_fetch(nullptr, "AES-256-CBC", nullptr);
	const std::unique_ptr<EVP_CIPHER_CTX, FreeContext> context(EVP_CIPHER_CTX_new());
	if (!context)
		throw std::bad_alloc();
	if (blocks.size() > INT_MAX)
		throw CoreError{DBCRYPT_TOO_LARGE};
	int done;
	if (cipher == nullptr ||
		EVP_CipherInit_ex2(context.get(), cipher, reveal_secret(key).data(), iv, encrypt,
						   nullptr) != 1 ||
		EVP_CIPHER_CTX_set_padding(context.get(), 0) != 1 ||
		EVP_CipherUpdate(context.get(), blocks.data(), &done, blocks.data(),
						 static_cast<int>(blocks.size())) != 1)
	{
		ERR_clear_error();
		throw CoreError{DBCRYPT_INTERNAL};
	}
}

/* 1 if a <= b, else 0, for small numbers and without a branch. */
unsigned
at_most(unsigned a, unsigned b)
{
	return 1U - ((b - a) >> (sizeof(unsigned) * CHAR_BIT - 1));
}

} // namespace

bool
cbc_open(const Secret &key, const uint8_t *iv, Bytes ciphertext, uint8_t *out,
		 size_t *plaintext_size)
{
	const size_t size = ciphertext.size();
	if (size == 0 || size % cbc_block_size != 0)
		return false;
	std::memmove(out, ciphertext.data(), size);
	run(key, iv, {out, size}, 0);

	const unsigned padding = out[size - 1];
	unsigned good = at_most(1, padding) & at_most(padding, cbc_block_size);
	for (unsigned i = 1; i <= cbc_block_size; i++)
	{
		const unsigned differs = at_most(1, out[size - i] ^ padding);
		good &= 1U - (at_most(i, padding) & differs);
	}
	*plaintext_size = size - padding * good;
	return good == 1;
}

void
cbc_seal(const Secret &key, const uint8_t *iv, Bytes plaintext, uint8_t *out)
{
	const size_t size = cbc_ciphertext_size(plaintext.size());
	const size_t padding = size - plaintext.size();
	if (!plaintext.empty())
		std::memmove(out, plaintext.data(), plaintext.size());
	std::memset(out + plaintext.size(), static_cast<int>(padding), padding);
	run(key, iv, {out, size}, 1);
}

} // namespace dbcrypt
