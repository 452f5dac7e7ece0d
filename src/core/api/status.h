/*
 * status.h
 *		The door between the cryptographic core (C++) and its callers (C): what its
 *		functions report, and what concerns the whole process.
 *
 * Every function is noexcept, touches no global state of its caller, and
 * reports by dbcrypt_status. Buffers belong to the caller unless a comment says
 * otherwise; sizes are bytes. No message, status or output other than a
 * plaintext buffer ever holds key or plaintext bytes.
 */
#ifndef DBCRYPT_API_STATUS_H
#define DBCRYPT_API_STATUS_H

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
 * Does once, for a process and its children, what else each would do at its first
 * value: half a millisecond in a virtual machine. Need not be called.
 */
void dbcrypt_prepare(void) DBCRYPT_NOEXCEPT;

/* Forbids core dumps of this process, which from now on holds keys. */
void dbcrypt_forbid_core_dump(void) DBCRYPT_NOEXCEPT;

/* Overwrites memory that held a secret; the compiler keeps it. */
void dbcrypt_cleanse(void *data, size_t size) DBCRYPT_NOEXCEPT;

#ifdef __cplusplus
}
#endif

#endif
