/*
 * check_plaintext.h
 *		What keeps decrypted values.
 */
#ifndef DBCRYPT_CHECK_PLAINTEXT_H
#define DBCRYPT_CHECK_PLAINTEXT_H

#include "health/findings.h"

extern void check_plaintext(HealthCheck *check);

#endif
