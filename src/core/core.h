/*
 * core.h
 *		The door between the cryptographic core (C++) and its callers (C).
 *
 * Every function is noexcept, touches no global state of its caller, and
 * reports by dbcrypt_status. Buffers belong to the caller unless a comment says
 * otherwise; sizes are bytes. No message, status or output other than a
 * plaintext buffer ever holds key or plaintext bytes.
 *
 * Format: native envelope, format 1 (see README, "The envelope").
 */
#ifndef DBCRYPT_CORE_H
#define DBCRYPT_CORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
#define DBCRYPT_NOEXCEPT noexcept
extern "C" {
#else
#define DBCRYPT_NOEXCEPT
#endif

/* Length of a key id: the first 7 bytes of SHA-256(key) in lower-case hex. */
#define DBCRYPT_KEY_ID_LEN 14

typedef enum dbcrypt_status
{
	DBCRYPT_OK = 0,
	DBCRYPT_NO_KEYS,			   /* the ring is empty */
	DBCRYPT_KEY_NOT_LOADED,		   /* the value's key is not in the ring */
	DBCRYPT_KEY_NOT_REGISTERED,	   /* the primary key has no catalog row */
	DBCRYPT_KEY_REVOKED,		   /* the key needed is revoked */
	DBCRYPT_KEY_CANARY_MISMATCH,   /* the primary key does not open its canary */
	DBCRYPT_AUTHENTICATION_FAILED, /* wrong AAD, or the value was changed */
	DBCRYPT_NOT_AN_ENVELOPE,	   /* malformed or too short */
	DBCRYPT_NEWER_FORMAT,		   /* byte 11 is not zero */
	DBCRYPT_NEWER_ALGORITHM,	   /* byte 3 is not 1 */
	DBCRYPT_TOO_LARGE,			   /* the result would not fit its buffer or AES-GCM's limit */
	DBCRYPT_BAD_KEY,			   /* neither 64 hex digits, the base64 of 32 bytes nor text:... */
	DBCRYPT_KEY_FILE_MISSING,	   /* ENOENT, or a directory without encryption-key-N */
	DBCRYPT_KEY_FILE_UNREADABLE,   /* any other failure to open or read; see errno */
	DBCRYPT_KEY_FILE_NOT_REGULAR,  /* neither a regular file nor a directory of them */
	DBCRYPT_KEY_FILE_OWNER,		   /* owned by neither this user nor root */
	DBCRYPT_KEY_FILE_PERMISSIONS,  /* readable by more than ssl_key_file may be */
	DBCRYPT_KEY_FILE_EMPTY,		   /* holds no key */
	DBCRYPT_NO_MEMORY,
	DBCRYPT_RANDOM_FAILED, /* the random generator gave nothing */
	DBCRYPT_INTERNAL	   /* the cryptographic library failed */
} dbcrypt_status;

/* The two spellings of an envelope: raw bytes, or their padded standard base64. */
typedef enum dbcrypt_form
{
	DBCRYPT_BINARY,
	DBCRYPT_TEXT
} dbcrypt_form;

/* A key ring: keys in order, the first primary, each with its cipher contexts. */
typedef struct dbcrypt_ring dbcrypt_ring;

/* What the key catalog says of a ring key; set by the caller, obeyed by the core. */
typedef enum dbcrypt_key_state
{
	DBCRYPT_STATE_REGISTERED = 1, /* may encrypt */
	DBCRYPT_STATE_REVOKED = 2,	  /* may neither encrypt nor decrypt */
	DBCRYPT_STATE_BAD_CANARY = 4  /* may not encrypt */
} dbcrypt_key_state;

/* Where in a key source an error is: the entry (list) or line (file), from 1. */
typedef struct dbcrypt_source_error
{
	int line;
	char file[64]; /* for a directory: the name of the file in it, else "" */
} dbcrypt_source_error;

/* ---- key ring ---- */

/* An empty ring, or NULL without memory. */
dbcrypt_ring *dbcrypt_ring_new(void) DBCRYPT_NOEXCEPT;

/* Wipes every key; accepts NULL. */
void dbcrypt_ring_free(dbcrypt_ring *ring) DBCRYPT_NOEXCEPT;

/*
 * Adds the keys of a comma-separated list: 64 hex digits, the base64 of 32 bytes,
 * or text: followed by a GitLab db_key_base, of which the characters that fit in
 * 32 bytes count, padded with '0'; in a list it holds no white space, quote or
 * backslash. A list that is empty or white space adds none.
 * Duplicates of keys held already are dropped, here and below.
 */
dbcrypt_status dbcrypt_ring_add_list(dbcrypt_ring *ring, const char *list, size_t size,
									 dbcrypt_source_error *error) DBCRYPT_NOEXCEPT;

/*
 * Adds what a key file holds: exactly 32 raw bytes, or one key a line, with
 * '#' comments, blank lines and CR LF allowed; a text: key takes its whole line.
 * No key at all is DBCRYPT_KEY_FILE_EMPTY.
 */
dbcrypt_status dbcrypt_ring_add_contents(dbcrypt_ring *ring, const uint8_t *data, size_t size,
										 dbcrypt_source_error *error) DBCRYPT_NOEXCEPT;

/*
 * Adds a key file, or a directory's encryption-key-N files, highest N first.
 * Each file must be regular and obey PostgreSQL's rule for ssl_key_file: own
 * and at most 0600, or root's and at most 0640.
 */
dbcrypt_status dbcrypt_ring_add_file(dbcrypt_ring *ring, const char *path,
									 dbcrypt_source_error *error) DBCRYPT_NOEXCEPT;

/*
 * A number that changes when the file (or the directory, or a key file in it)
 * is replaced or written: identity, size, mode and times, hashed. 0 when it
 * cannot be read. Costs one stat for a file.
 */
uint64_t dbcrypt_file_stamp(const char *path) DBCRYPT_NOEXCEPT;

size_t dbcrypt_ring_count(const dbcrypt_ring *ring) DBCRYPT_NOEXCEPT;

/* NUL-terminated id of key i; belongs to the ring. */
const char *dbcrypt_ring_key_id(const dbcrypt_ring *ring, size_t i) DBCRYPT_NOEXCEPT;

/* state: an OR of dbcrypt_key_state. A new key has state 0. */
void dbcrypt_ring_set_state(dbcrypt_ring *ring, size_t i, unsigned state) DBCRYPT_NOEXCEPT;
unsigned dbcrypt_ring_state(const dbcrypt_ring *ring, size_t i) DBCRYPT_NOEXCEPT;

/* A fresh random key as base64: 44 characters and a NUL. */
dbcrypt_status dbcrypt_generate_key(char out[45]) DBCRYPT_NOEXCEPT;

/*
 * Overwrites with '*', keeping every length, the keys of a ring wherever they
 * stand in text. Without a ring, whatever could be a key or a piece of one: runs
 * of 20 or more characters of hex or base64, unless lower case letters alone, or
 * text: and what follows up to white space, a comma or a quote. Returns how many
 * were overwritten.
 */
size_t dbcrypt_mask_keys(char *text, size_t size, const dbcrypt_ring *only) DBCRYPT_NOEXCEPT;

/*
 * Does once, for a process and its children, what else each would do at its first
 * value: half a millisecond in a virtual machine. Need not be called.
 */
void dbcrypt_prepare(void) DBCRYPT_NOEXCEPT;

/* Forbids core dumps of this process, which from now on holds keys. */
void dbcrypt_forbid_core_dump(void) DBCRYPT_NOEXCEPT;

/* Overwrites memory that held a secret; the compiler keeps it. */
void dbcrypt_cleanse(void *data, size_t size) DBCRYPT_NOEXCEPT;

/* ---- values ---- */

/* Size of the envelope of a plaintext; SIZE_MAX when no buffer could hold it. */
size_t dbcrypt_envelope_size(dbcrypt_form form, size_t plaintext_size) DBCRYPT_NOEXCEPT;

/*
 * Encrypts under the primary key, which must be registered, not revoked and of
 * good canary. out holds dbcrypt_envelope_size bytes and does not overlap the
 * plaintext.
 */
dbcrypt_status dbcrypt_encrypt(dbcrypt_ring *ring, dbcrypt_form form, const uint8_t *plaintext,
							   size_t plaintext_size, const uint8_t *aad, size_t aad_size,
							   uint8_t *out) DBCRYPT_NOEXCEPT;

/* Encrypts the canary text "dbcrypt" under key i, whatever its state, in text form. */
#define DBCRYPT_CANARY_SIZE 64 /* 40 + 7 bytes as base64 */
dbcrypt_status dbcrypt_make_canary(dbcrypt_ring *ring, size_t i,
								   char out[DBCRYPT_CANARY_SIZE + 1]) DBCRYPT_NOEXCEPT;

/* Whether key i opens this canary to the text "dbcrypt". */
bool dbcrypt_canary_ok(dbcrypt_ring *ring, size_t i, const char *canary,
					   size_t size) DBCRYPT_NOEXCEPT;

/*
 * Room that dbcrypt_decrypt needs for an envelope of this size: the plaintext
 * and the tag. Never more than the envelope itself.
 */
size_t dbcrypt_decrypt_room(dbcrypt_form form, size_t envelope_size) DBCRYPT_NOEXCEPT;

/*
 * Decrypts with the one key that the envelope names. out holds
 * dbcrypt_decrypt_room bytes; *plaintext_size says how many are plaintext.
 * After a failure out holds no plaintext.
 */
dbcrypt_status dbcrypt_decrypt(dbcrypt_ring *ring, dbcrypt_form form, const uint8_t *envelope,
							   size_t envelope_size, const uint8_t *aad, size_t aad_size,
							   uint8_t *out, size_t *plaintext_size) DBCRYPT_NOEXCEPT;

/*
 * Decrypts and encrypts again under the primary key, with a fresh nonce. out
 * holds envelope_size bytes, which is also the result's size. An envelope under
 * the primary key already sets *changed false and leaves out alone, without
 * opening it.
 */
dbcrypt_status dbcrypt_reencrypt(dbcrypt_ring *ring, dbcrypt_form form, const uint8_t *envelope,
								 size_t envelope_size, const uint8_t *aad, size_t aad_size,
								 uint8_t *out, bool *changed) DBCRYPT_NOEXCEPT;

/*
 * Reads the header alone: OK and the key id (with its NUL) if the value has the
 * shape of an envelope. On DBCRYPT_NEWER_* the key id is not set.
 * envelope may be a prefix of envelope_size's bytes, at least 16 of them if the
 * value is that long.
 */
dbcrypt_status dbcrypt_read_header(dbcrypt_form form, const uint8_t *envelope, size_t envelope_size,
								   char key_id[DBCRYPT_KEY_ID_LEN + 1]) DBCRYPT_NOEXCEPT;

/* ---- schemes: how the values of a column are laid out, ours or an application's ---- */

/*
 * The rotation, verification and conversion of a column need nothing but these
 * functions: no scheme is known by name outside the core. A cell is a value with
 * its companion, which lives in a column beside it and has the value's form.
 */
typedef struct dbcrypt_scheme dbcrypt_scheme; /* constant, never freed */

typedef enum dbcrypt_companion
{
	DBCRYPT_COMPANION_NONE,
	DBCRYPT_COMPANION_KEY_ID, /* names the key, in the scheme's own spelling */
	DBCRYPT_COMPANION_IV,	  /* the nonce, called iv by its application */
	DBCRYPT_COMPANION_NONCE
} dbcrypt_companion;

/* What a scheme is like; true of every value. */
typedef struct dbcrypt_scheme_traits
{
	const char *name;
	dbcrypt_companion companion;
	bool text;			/* values may be text */
	bool binary;		/* values may be bytea */
	bool aad;			/* values may be bound to AAD; otherwise it is ignored */
	bool hkdf;			/* the key depends on dbcrypt_context's table and attribute */
	bool names_key;		/* value or companion says which key; otherwise all are tried */
	bool keeps_empty;	/* the empty value is stored as it is, not encrypted */
	bool deterministic; /* the same plaintext and key give the same value */
} dbcrypt_scheme_traits;

/* What a value of a column is used with. Pointers may be NULL where sizes are 0. */
typedef struct dbcrypt_context
{
	dbcrypt_form form;
	const uint8_t *aad;
	size_t aad_size;
	const uint8_t *table; /* lockbox: HKDF's salt */
	size_t table_size;
	const uint8_t *attribute; /* lockbox: the end of HKDF's info, "_ciphertext" included */
	size_t attribute_size;
} dbcrypt_context;

/* A NULL pointer is SQL NULL, whatever its size; an empty value has another. */
typedef struct dbcrypt_cell
{
	const uint8_t *value;
	size_t value_size;
	const uint8_t *companion;
	size_t companion_size;
} dbcrypt_cell;

typedef enum dbcrypt_cell_kind
{
	DBCRYPT_CELL_NULL,		/* stays NULL */
	DBCRYPT_CELL_EMPTY,		/* empty and kept so by the scheme: needs no key */
	DBCRYPT_CELL_PLAINTEXT, /* by the scheme's rule not encrypted yet */
	DBCRYPT_CELL_ENCRYPTED	/* everything else, well formed or not */
} dbcrypt_cell_kind;

#define DBCRYPT_COMPANION_ROOM 24

/* What a column shall hold. value is the caller's buffer, of the room asked for. */
typedef struct dbcrypt_sealed
{
	uint8_t *value;
	size_t value_size;
	bool companion_is_null; /* always so where the scheme has none */
	size_t companion_size;
	uint8_t companion[DBCRYPT_COMPANION_ROOM];
} dbcrypt_sealed;

/* The scheme of that name, or NULL; and the i-th of all, or NULL past the last. */
const dbcrypt_scheme *dbcrypt_scheme_find(const char *name) DBCRYPT_NOEXCEPT;
const dbcrypt_scheme *dbcrypt_scheme_at(size_t i) DBCRYPT_NOEXCEPT;

const dbcrypt_scheme_traits *dbcrypt_scheme_traits_of(const dbcrypt_scheme *scheme)
	DBCRYPT_NOEXCEPT;

/*
 * How the scheme spells the id of ring key i (native: our key id; coder: its 7
 * hex digits); belongs to the ring. NULL where its values name no key.
 */
const char *dbcrypt_scheme_key_name(const dbcrypt_scheme *scheme, const dbcrypt_ring *ring,
									size_t i) DBCRYPT_NOEXCEPT;

dbcrypt_cell_kind dbcrypt_scheme_inspect(const dbcrypt_scheme *scheme,
										 const dbcrypt_cell *cell) DBCRYPT_NOEXCEPT;

/* Room that opening an encrypted value of that size needs; never more than size + 3. */
size_t dbcrypt_scheme_open_room(const dbcrypt_scheme *scheme, dbcrypt_form form,
								size_t value_size) DBCRYPT_NOEXCEPT;

/*
 * Decrypts an encrypted cell. *key is the ring's index of the key that opened it.
 * After a failure out holds no plaintext. Where no key is named, a value that no
 * key of the ring opens is DBCRYPT_AUTHENTICATION_FAILED.
 */
dbcrypt_status dbcrypt_scheme_open(const dbcrypt_scheme *scheme, dbcrypt_ring *ring,
								   const dbcrypt_context *context, const dbcrypt_cell *cell,
								   uint8_t *out, size_t *plaintext_size,
								   size_t *key) DBCRYPT_NOEXCEPT;

/*
 * Which key an encrypted cell is under, as cheaply as the scheme can tell: where
 * it names_key without opening it, else by opening. out as above. key_id is our
 * key id and is "" with DBCRYPT_KEY_NOT_LOADED where the scheme names a key in a
 * spelling that only a loaded key explains.
 */
dbcrypt_status dbcrypt_scheme_identify(const dbcrypt_scheme *scheme, dbcrypt_ring *ring,
									   const dbcrypt_context *context, const dbcrypt_cell *cell,
									   uint8_t *out,
									   char key_id[DBCRYPT_KEY_ID_LEN + 1]) DBCRYPT_NOEXCEPT;

/* Room for the value of a plaintext, bytes; SIZE_MAX when no buffer could hold it. */
size_t dbcrypt_scheme_seal_room(const dbcrypt_scheme *scheme, dbcrypt_form form,
								size_t plaintext_size) DBCRYPT_NOEXCEPT;

/*
 * Encrypts under the primary key, which must be as for dbcrypt_encrypt, with a
 * fresh nonce unless deterministic, spelled as the application spells it.
 */
dbcrypt_status dbcrypt_scheme_seal(const dbcrypt_scheme *scheme, dbcrypt_ring *ring,
								   const dbcrypt_context *context, const uint8_t *plaintext,
								   size_t plaintext_size, dbcrypt_sealed *out) DBCRYPT_NOEXCEPT;

/* Room for the value that rotating a cell gives; SIZE_MAX as above. */
size_t dbcrypt_scheme_rotate_room(const dbcrypt_scheme *scheme, dbcrypt_form form,
								  const dbcrypt_cell *cell) DBCRYPT_NOEXCEPT;

/*
 * Brings a cell under the primary key. Sets *changed false, and *out to nothing,
 * where that is so already or the cell is NULL or empty and kept so; plaintext is
 * encrypted. Where no key is named, the tag says which of the ring it is under.
 */
dbcrypt_status dbcrypt_scheme_rotate(const dbcrypt_scheme *scheme, dbcrypt_ring *ring,
									 const dbcrypt_context *context, const dbcrypt_cell *cell,
									 dbcrypt_sealed *out, bool *changed) DBCRYPT_NOEXCEPT;

#ifdef __cplusplus
}
#endif

#endif
