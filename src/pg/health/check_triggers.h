/*
 * check_triggers.h
 *		Triggers of dbcrypt that do not fire when they must.
 */
#ifndef DBCRYPT_CHECK_TRIGGERS_H
#define DBCRYPT_CHECK_TRIGGERS_H

#include "health/findings.h"

/* Looks at the extension's own triggers, and for encrypting triggers that are disabled. */
extern void check_own_triggers(HealthCheck *check);

#endif
