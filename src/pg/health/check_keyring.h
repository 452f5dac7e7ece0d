/*
 * check_keyring.h
 *		What is wrong with the session's keys and dbcrypt_keys.
 */
#ifndef DBCRYPT_CHECK_KEYRING_H
#define DBCRYPT_CHECK_KEYRING_H

#include "health/findings.h"
#include "values/codec_inspect.h"

/* Reads the session's keys and dbcrypt_keys, and compares them. */
extern void check_keyring(HealthCheck *check);

/* State of a value under this key, by its id alone: no value is decrypted. */
extern ValueState state_under_key(const HealthCheck *check, const char *key_id);

#endif
