/*
 * check_unregistered.h
 *		Columns that hold encrypted values and are not registered.
 */
#ifndef DBCRYPT_CHECK_UNREGISTERED_H
#define DBCRYPT_CHECK_UNREGISTERED_H

#include "health/findings.h"

/* Looks at the first rows of every table, in columns not examined yet. */
extern void check_unregistered_columns(HealthCheck *check);

#endif
