/*
 * key_command.h
 *		Runs dbcrypt.key_command.
 */
#ifndef DBCRYPT_KEY_COMMAND_H
#define DBCRYPT_KEY_COMMAND_H

#include "postgres.h"

#include "core/api/keyring.h"
#include "core/api/status.h"

/*
 * Adds the keys that a shell command prints to a ring; returns what is wrong with
 * them. Throws if the command fails, prints too much or takes longer than
 * dbcrypt.key_command_timeout, and when the query is cancelled. However it ends, the
 * command's process group ends too, and its output is wiped.
 */
extern dbcrypt_status key_command_add(dbcrypt_ring *ring, const char *command,
									  dbcrypt_source_error *error);

#endif
