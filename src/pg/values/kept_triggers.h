/*
 * kept_triggers.h
 *		What is known of encrypting triggers, kept by the session from one statement to
 *		the next.
 */
#ifndef DBCRYPT_KEPT_TRIGGERS_H
#define DBCRYPT_KEPT_TRIGGERS_H

#include "postgres.h"

#include "commands/trigger.h"
#include "fmgr.h"

#include "values/encrypt_trigger_setup.h"

/* To be called once, when the library is loaded. */
extern void kept_triggers_init(void);

/*
 * What is known of the trigger that is called, as new as what others have committed
 * before this statement; *first is set if it was prepared for this call. Valid until
 * code of users runs, or until the end of the statement if it runs such code itself.
 */
extern EncryptTrigger *kept_trigger(FunctionCallInfo fcinfo, TriggerData *data, bool *first);

#endif
