/*
 * status_code.h
 *		What a function of the core reports. For C and C++.
 */
#ifndef DBCRYPT_STATUS_CODE_H
#define DBCRYPT_STATUS_CODE_H

typedef enum dbcrypt_status
{
	DBCRYPT_OK = 0,
	DBCRYPT_NO_KEYS,			   /* the keyring is empty */
	DBCRYPT_KEY_NOT_LOADED,		   /* the value's key is not in the keyring */
	DBCRYPT_KEY_NOT_REGISTERED,	   /* the primary key has no catalog row */
	DBCRYPT_KEY_REVOKED,		   /* the key needed is revoked */
	DBCRYPT_KEY_RETIRED,		   /* the primary key is retired */
	DBCRYPT_KEY_CANARY_MISMATCH,   /* the primary key does not match its canary */
	DBCRYPT_KEY_NAME_SHARED,	   /* two keys of the keyring have one name in the scheme */
	DBCRYPT_KEY_HAS_NO_TEXT,	   /* the scheme derives from a text: key, and this is none */
	DBCRYPT_KEY_TEXTS_DIFFER,	   /* two text: keys have the same first 32 bytes */
	DBCRYPT_AUTHENTICATION_FAILED, /* wrong AAD, wrong key or changed value */
	DBCRYPT_NOT_OPENED,			   /* the column's key does not open it, for whatever reason */
	DBCRYPT_NOT_AN_ENVELOPE,	   /* malformed or too short */
	DBCRYPT_NEWER_FORMAT,		   /* byte 11 of the envelope is not 0 */
	DBCRYPT_NEWER_ALGORITHM,	   /* byte 3 of the envelope is not 1 */
	DBCRYPT_TOO_LARGE,			   /* for a buffer, or for AES-GCM (2^36 - 32 bytes) */
	DBCRYPT_BAD_KEY,			   /* not 64 hex digits, not the base64 of 32 bytes, not text:... */
	DBCRYPT_WEAK_KEY,			   /* 32 equal bytes, or text: of fewer than 32 characters */
	DBCRYPT_KEY_FILE_MISSING,	   /* no such file, or no encryption-key-N in the directory */
	DBCRYPT_KEY_FILE_UNREADABLE,   /* any other error of open or read; see errno */
	DBCRYPT_KEY_FILE_NOT_REGULAR,  /* neither a regular file nor a directory */
	DBCRYPT_KEY_FILE_OWNER,		   /* owned by neither this user nor root */
	DBCRYPT_KEY_FILE_PERMISSIONS,  /* more permissions than ssl_key_file may have */
	DBCRYPT_KEY_FILE_EMPTY,		   /* holds no key */
	DBCRYPT_NO_MEMORY,
	DBCRYPT_RANDOM_FAILED, /* OpenSSL's random generator failed */
	DBCRYPT_INTERNAL	   /* a cryptographic library failed */
} dbcrypt_status;

#endif
