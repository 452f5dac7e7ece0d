/*
 * log_masking.h
 *		Keeps literal keys out of the log and pg_stat_activity.
 */
#ifndef DBCRYPT_LOG_MASKING_H
#define DBCRYPT_LOG_MASKING_H

#include "postgres.h"

/* Sets the hooks; to be called once, when the library is loaded. */
extern void mask_init(void);

/* Takes the keys of the running statement out of pg_stat_activity. */
extern void mask_activity(void);

#endif
