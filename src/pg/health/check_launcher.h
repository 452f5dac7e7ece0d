/*
 * check_launcher.h
 *		The background worker that has every database checked.
 */
#ifndef DBCRYPT_CHECK_LAUNCHER_H
#define DBCRYPT_CHECK_LAUNCHER_H

/* Registers the launcher, if the library is preloaded. */
extern void check_launcher_init(void);

#endif
