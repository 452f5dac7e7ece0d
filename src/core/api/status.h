/*
 * status.h
 *		The core's API for C: statuses, and functions for the whole process.
 *
 * The API has five headers: this one, keyring.h, value.h, scheme.h and search.h. No
 * function of it throws or changes the state of its caller, errno excepted. Sizes are
 * bytes. The caller owns the buffers, unless a comment says otherwise. Key bytes and
 * plaintext are written to no other output than the one that is meant for them.
 *
 * Each comment lists the errors of its function. Whatever returns a status may return
 * DBCRYPT_NO_MEMORY and DBCRYPT_INTERNAL, too.
 */
#ifndef DBCRYPT_API_STATUS_H
#define DBCRYPT_API_STATUS_H

#include <stdbool.h>
#include <stddef.h>

#include "../crypto/status_code.h"

#ifdef __cplusplus
#define DBCRYPT_NOEXCEPT noexcept
#else
#define DBCRYPT_NOEXCEPT
#endif

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Encrypts nothing under a key of zeros, and keeps nothing of it. So the libraries look
 * up their algorithms, seed their generators and ask the processor what it supports,
 * which takes milliseconds; otherwise the first value does that. Children of the process
 * inherit it, but for the generators: those seed themselves anew.
 */
void dbcrypt_prepare(void) DBCRYPT_NOEXCEPT;

/* Forbids core dumps of this process. To be called before it holds keys. */
void dbcrypt_forbid_core_dump(void) DBCRYPT_NOEXCEPT;

/*
 * Whether the keys in use are locked in memory, so that they are never swapped out. They
 * are where the limit on locked memory allows it.
 */
bool dbcrypt_secrets_are_locked(void) DBCRYPT_NOEXCEPT;

/* Overwrites memory that held a secret. The compiler does not optimise this away. */
void dbcrypt_cleanse(void *data, size_t size) DBCRYPT_NOEXCEPT;

#ifdef __cplusplus
}
#endif

#endif
