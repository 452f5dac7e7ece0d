/*
 * client_loop.c
 *		Rotation as an application does it: over a connection, fetches rows by
 *		primary key, decrypts and encrypts each value, updates it by a prepared
 *		statement, and commits every thousand rows.
 *
 * Usage: client_loop OLD_KEY NEW_KEY, keys in hex; table "fresh" (id bigint, c text)
 * in the database of libpq's environment. Prints milliseconds.
 */
#include <libpq-fe.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define HEADER_SIZE 12
#define NONCE_SIZE 12
#define TAG_SIZE 16
#define KEY_SIZE 32
#define KEY_ID_SIZE 7
#define ROOM 1024
#define PAGE "1000"

typedef struct Key
{
	unsigned char header[HEADER_SIZE];
	unsigned char cipher_key[KEY_SIZE];
} Key;

static void
check(int ok, const char *what)
{
	if (!ok)
	{
		fprintf(stderr, "%s failed\n", what);
		exit(1);
	}
}

/* Header and cipher key of a ring key: formats as in the native envelope. */
static void
load_key(const char *hex, Key *key)
{
	static const unsigned char info[] = "dbcrypt/1/aes-256-gcm";
	unsigned char raw[KEY_SIZE];
	unsigned char id[EVP_MAX_MD_SIZE];
	EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_id(EVP_PKEY_HKDF, NULL);
	size_t size = KEY_SIZE;

	for (int i = 0; i < KEY_SIZE; i++)
		check(sscanf(hex + 2 * i, "%2hhx", &raw[i]) == 1, "reading a key");
	check(EVP_Digest(raw, KEY_SIZE, id, NULL, EVP_sha256(), NULL), "SHA-256");
	memcpy(key->header, "\x75\xb7\x35\x01", 4);
	memcpy(key->header + 4, id, KEY_ID_SIZE);
	key->header[HEADER_SIZE - 1] = 0;
	check(context && EVP_PKEY_derive_init(context) > 0 &&
			  EVP_PKEY_CTX_set_hkdf_md(context, EVP_sha256()) > 0 &&
			  EVP_PKEY_CTX_set1_hkdf_key(context, raw, KEY_SIZE) > 0 &&
			  EVP_PKEY_CTX_add1_hkdf_info(context, info, sizeof(info) - 1) > 0 &&
			  EVP_PKEY_derive(context, key->cipher_key, &size) > 0,
		  "HKDF");
	EVP_PKEY_CTX_free(context);
}

/* The value in text under the new key, from that under the old. */
static void
reencrypt(EVP_CIPHER_CTX *context, const Key *from, const Key *to, const char *value, char *result)
{
	unsigned char envelope[ROOM];
	unsigned char plaintext[ROOM];
	int length = (int) strlen(value);
	int size;
	int part;

	check(length / 4 * 3 < ROOM, "fitting a value");
	size = EVP_DecodeBlock(envelope, (const unsigned char *) value, length);
	for (int i = length - 1; i > 0 && value[i] == '='; i--)
		size--;
	size -= HEADER_SIZE + NONCE_SIZE + TAG_SIZE;
	check(size >= 0 && memcmp(envelope, from->header, HEADER_SIZE) == 0, "reading a value");
	check(EVP_DecryptInit_ex(context, EVP_aes_256_gcm(), NULL, from->cipher_key,
							 envelope + HEADER_SIZE) &&
			  EVP_DecryptUpdate(context, NULL, &part, envelope, HEADER_SIZE) &&
			  EVP_DecryptUpdate(context, plaintext, &part, envelope + HEADER_SIZE + NONCE_SIZE,
								size) &&
			  EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_GCM_SET_TAG, TAG_SIZE,
								  envelope + HEADER_SIZE + NONCE_SIZE + size) &&
			  EVP_DecryptFinal_ex(context, plaintext + part, &part),
		  "decryption");

	memcpy(envelope, to->header, HEADER_SIZE);
	check(RAND_bytes(envelope + HEADER_SIZE, NONCE_SIZE), "RAND_bytes");
	check(EVP_EncryptInit_ex(context, EVP_aes_256_gcm(), NULL, to->cipher_key,
							 envelope + HEADER_SIZE) &&
			  EVP_EncryptUpdate(context, NULL, &part, envelope, HEADER_SIZE) &&
			  EVP_EncryptUpdate(context, envelope + HEADER_SIZE + NONCE_SIZE, &part, plaintext,
								size) &&
			  EVP_EncryptFinal_ex(context, envelope + HEADER_SIZE + NONCE_SIZE + part, &part) &&
			  EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_GCM_GET_TAG, TAG_SIZE,
								  envelope + HEADER_SIZE + NONCE_SIZE + size),
		  "encryption");
	EVP_EncodeBlock((unsigned char *) result, envelope, HEADER_SIZE + NONCE_SIZE + size + TAG_SIZE);
}

/* A result that has succeeded. */
static PGresult *
done(PGconn *connection, PGresult *result)
{
	ExecStatusType status = PQresultStatus(result);

	check(status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK, PQerrorMessage(connection));
	return result;
}

int
main(int argc, char **argv)
{
	Key from;
	Key to;
	EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
	PGconn *connection = PQconnectdb("");
	struct timespec begin;
	struct timespec end;
	char last[32] = "-1";
	int rows;

	check(argc == 3 && strlen(argv[1]) == 64 && strlen(argv[2]) == 64, "reading the arguments");
	load_key(argv[1], &from);
	load_key(argv[2], &to);
	check(PQstatus(connection) == CONNECTION_OK, PQerrorMessage(connection));
	PQclear(done(connection, PQprepare(connection, "fetch",
									   "SELECT id, c FROM fresh WHERE id > $1::bigint "
									   "ORDER BY id LIMIT " PAGE " FOR UPDATE",
									   1, NULL)));
	PQclear(done(connection, PQprepare(connection, "update",
									   "UPDATE fresh SET c = $2 WHERE id = $1::bigint", 2, NULL)));

	clock_gettime(CLOCK_MONOTONIC, &begin);
	do
	{
		const char *after[] = {last};
		PGresult *page;

		PQclear(done(connection, PQexec(connection, "BEGIN")));
		page = done(connection, PQexecPrepared(connection, "fetch", 1, after, NULL, NULL, 0));
		rows = PQntuples(page);
		for (int i = 0; i < rows; i++)
		{
			char value[2 * ROOM];
			const char *row[] = {PQgetvalue(page, i, 0), value};

			reencrypt(context, &from, &to, PQgetvalue(page, i, 1), value);
			PQclear(done(connection, PQexecPrepared(connection, "update", 2, row, NULL, NULL, 0)));
		}
		if (rows > 0)
			snprintf(last, sizeof(last), "%s", PQgetvalue(page, rows - 1, 0));
		PQclear(page);
		PQclear(done(connection, PQexec(connection, "COMMIT")));
	} while (rows > 0);
	clock_gettime(CLOCK_MONOTONIC, &end);
	printf("%.3f\n", (double) (end.tv_sec - begin.tv_sec) * 1e3 +
						 (double) (end.tv_nsec - begin.tv_nsec) / 1e6);
	PQfinish(connection);
	EVP_CIPHER_CTX_free(context);
	return 0;
}
