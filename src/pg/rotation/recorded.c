/*
 * recorded.c
 *		The rotation of a column of a scheme without authentication: all of its values
 *		or none, from the recorded key to the primary one.
 */
#include "postgres.h"

#include "access/xact.h"
#include "executor/spi.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "columns/recorded_key.h"
#include "columns/registry.h"
#include "core/api/keyring.h"
#include "keys/session_keyring.h"
#include "rotation/recorded.h"
#include "rows/derivations.h"
#include "rows/kept_values.h"
#include "rows/staged_update.h"
#include "values/codec_change.h"

/* Each value is opened with a key of its own, and sealed with another. */
#define DERIVATIONS 2

/* Writes the new values and the key that they are under. */
static void
write_values(const List *staged, TargetColumn *target, const char *keep, int64 changed)
{
	if (keep && changed > 0)
		kept_values_save(target, keep, changed);
	staged_write(staged, target);
	target->options.key = pstrdup(dbcrypt_ring_key_id(session_ring(), 0));
	SPI_connect();
	column_set_options(target, &target->options);
	SPI_finish();
}

void
rotate_recorded(const List *members, TargetColumn *target, bool dry_run, const char *keep,
				int64 *outcomes)
{
	List *staged;

	recorded_key_refuse_part(target);
	derivations_announce(members, target, DERIVATIONS);
	staged = staged_compute(members, target, codec_reencrypt, outcomes);
	if (!dry_run)
		write_values(staged, target, keep, outcomes[VALUE_CHANGED]);
	staged_end(staged);
}
