/*
 * check_settings.h
 *		Literal keys in places that are copied or that every role can read.
 */
#ifndef DBCRYPT_CHECK_SETTINGS_H
#define DBCRYPT_CHECK_SETTINGS_H

#include "health/findings.h"

/* Looks at configuration files, and at what is set for roles, databases and functions. */
extern void check_settings(HealthCheck *check);

#endif
