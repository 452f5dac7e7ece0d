/*
 * status_code.h
 *		What a function of the core reports, for C and C++.
 */
#ifndef DBCRYPT_STATUS_CODE_H
#define DBCRYPT_STATUS_CODE_H

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

#endif
