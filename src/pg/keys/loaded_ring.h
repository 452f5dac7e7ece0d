/*
 * loaded_ring.h
 *		The ring that this session has loaded.
 */
#ifndef DBCRYPT_LOADED_RING_H
#define DBCRYPT_LOADED_RING_H

#include "postgres.h"

#include "core/api/keyring.h"

/* The ring as it was last loaded, possibly NULL or out of date; never reads, never throws. */
extern dbcrypt_ring *loaded_ring(void);

/* Puts another ring in its place and frees the old one. At the process's end it is freed. */
extern void loaded_ring_replace(dbcrypt_ring *ring);

#endif
