/*
 * registry_guard.h
 *		Refuses DDL after which values could not be decrypted.
 */
#ifndef DBCRYPT_REGISTRY_GUARD_H
#define DBCRYPT_REGISTRY_GUARD_H

#include "postgres.h"

#include "nodes/nodes.h"

/* Throws if the command, not yet begun, would make values unreadable. */
extern void registry_guard(Node *command);

/* The same for a column that a command has dropped, with a type it depended on. */
extern void registry_guard_dropped(Oid relid, const char *column);

/*
 * Warns if the command drops the extension, and with it the states of retired or revoked
 * keys.
 */
extern void registry_guard_states(Node *command);

#endif
