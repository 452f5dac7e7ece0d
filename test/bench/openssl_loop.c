/*
 * openssl_loop.c
 *		The least that any caller of OpenSSL pays for one value: AES-256-GCM of 64
 *		bytes with a kept context, only the IV reset, 12 bytes of AAD, nonces from
 *		a pool, and the envelope's header, nonce and tag copied. And for one key as
 *		attr_encrypted derives it for each value: PBKDF2 with SHA-1, 2,000 times.
 *
 * Usage: openssl_loop encrypt|decrypt|derive COUNT; prints nanoseconds per value.
 */
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PLAINTEXT_SIZE 64
#define HEADER_SIZE 12
#define NONCE_SIZE 12
#define TAG_SIZE 16
#define ENVELOPE_SIZE (HEADER_SIZE + NONCE_SIZE + PLAINTEXT_SIZE + TAG_SIZE)
#define VALUES 4096

static unsigned char plaintexts[VALUES][PLAINTEXT_SIZE];
static unsigned char envelopes[VALUES][ENVELOPE_SIZE];

static void
check(int ok)
{
	if (!ok)
	{
		fputs("OpenSSL failed\n", stderr);
		exit(1);
	}
}

static void
next_nonce(unsigned char *nonce)
{
	static unsigned char pool[4096];
	static size_t used = sizeof(pool);

	if (used + NONCE_SIZE > sizeof(pool))
	{
		check(RAND_bytes(pool, sizeof(pool)));
		used = 0;
	}
	memcpy(nonce, pool + used, NONCE_SIZE);
	used += NONCE_SIZE;
}

static void
encrypt(EVP_CIPHER_CTX *context, const unsigned char *plaintext, unsigned char *envelope)
{
	int size;

	memcpy(envelope, "\x75\xb7\x35\x01sevenby", HEADER_SIZE);
	next_nonce(envelope + HEADER_SIZE);
	check(EVP_EncryptInit_ex(context, NULL, NULL, NULL, envelope + HEADER_SIZE));
	check(EVP_EncryptUpdate(context, NULL, &size, envelope, HEADER_SIZE));
	check(EVP_EncryptUpdate(context, envelope + HEADER_SIZE + NONCE_SIZE, &size, plaintext,
							PLAINTEXT_SIZE));
	check(EVP_EncryptFinal_ex(context, envelope + ENVELOPE_SIZE - TAG_SIZE, &size));
	check(EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, TAG_SIZE,
							  envelope + ENVELOPE_SIZE - TAG_SIZE));
}

static void
decrypt(EVP_CIPHER_CTX *context, unsigned char *envelope, unsigned char *plaintext)
{
	int size;

	check(EVP_DecryptInit_ex(context, NULL, NULL, NULL, envelope + HEADER_SIZE));
	check(EVP_DecryptUpdate(context, NULL, &size, envelope, HEADER_SIZE));
	check(EVP_DecryptUpdate(context, plaintext, &size, envelope + HEADER_SIZE + NONCE_SIZE,
							PLAINTEXT_SIZE));
	check(EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, TAG_SIZE,
							  envelope + ENVELOPE_SIZE - TAG_SIZE));
	check(EVP_DecryptFinal_ex(context, plaintext + PLAINTEXT_SIZE, &size));
}

static void
derive(const unsigned char *master, const unsigned char *salt, unsigned char *key)
{
	check(PKCS5_PBKDF2_HMAC_SHA1((const char *) master, 32, salt, 16, 2000, 32, key));
}

static double
now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return (double) now.tv_sec * 1e9 + (double) now.tv_nsec;
}

int
main(int argc, char **argv)
{
	unsigned char key[32];
	unsigned char out[PLAINTEXT_SIZE + TAG_SIZE];
	EVP_CIPHER_CTX *encryptor = EVP_CIPHER_CTX_new();
	EVP_CIPHER_CTX *decryptor = EVP_CIPHER_CTX_new();
	long count;
	double start;

	if (argc != 3 || (count = atol(argv[2])) <= 0 ||
		(strcmp(argv[1], "encrypt") != 0 && strcmp(argv[1], "decrypt") != 0 &&
		 strcmp(argv[1], "derive") != 0))
	{
		fputs("usage: openssl_loop encrypt|decrypt|derive COUNT\n", stderr);
		return 2;
	}
	check(encryptor != NULL && decryptor != NULL);
	check(RAND_bytes(key, sizeof(key)));
	check(RAND_bytes(&plaintexts[0][0], sizeof(plaintexts)));
	check(EVP_EncryptInit_ex(encryptor, EVP_aes_256_gcm(), NULL, key, NULL));
	check(EVP_DecryptInit_ex(decryptor, EVP_aes_256_gcm(), NULL, key, NULL));
	for (int i = 0; i < VALUES; i++)
		encrypt(encryptor, plaintexts[i], envelopes[i]);

	start = now_ns();
	if (strcmp(argv[1], "derive") == 0)
		for (long i = 0; i < count; i++)
			derive(key, plaintexts[i % VALUES], out);
	else if (argv[1][0] == 'e')
		for (long i = 0; i < count; i++)
			encrypt(encryptor, plaintexts[i % VALUES], envelopes[i % VALUES]);
	else
		for (long i = 0; i < count; i++)
			decrypt(decryptor, envelopes[i % VALUES], out);
	printf("%.1f\n", (now_ns() - start) / (double) count);

	EVP_CIPHER_CTX_free(encryptor);
	EVP_CIPHER_CTX_free(decryptor);
	return 0;
}
