/*
 * check_registered.h
 *		What is wrong with the values of registered columns.
 */
#ifndef DBCRYPT_CHECK_REGISTERED_H
#define DBCRYPT_CHECK_REGISTERED_H

#include "columns/target.h"
#include "health/findings.h"

/* Looks at the values and the AAD expression of a registered column. */
extern void check_registered_column(HealthCheck *check, const TargetColumn *target);

#endif
