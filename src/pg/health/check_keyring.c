/*
 * check_keyring.c
 *		What is wrong with the session's keys and dbcrypt_keys.
 */
#include "postgres.h"

#include "core/api/keyring.h"
#include "core/api/status.h"
#include "health/check_keyring.h"
#include "health/findings.h"
#include "health/reading.h"
#include "keys/key_catalog.h"
#include "keys/keyring.h"
#include "keys/loaded_ring.h"
#include "keys/session_keyring.h"
#include "keys/settings.h"
#include "support/errors.h"
#include "values/codec_inspect.h"

/* Loads the keyring, as an action of read_without_waiting. */
static void
load_keyring(void *arg)
{
	(void) session_ring();
}

/*
 * The session's keyring, or NULL. Ask for it anew after an owner's expression
 * ran: that may have made the session read its keys again.
 */
static dbcrypt_ring *
keyring_of(const HealthCheck *check)
{
	return check->has_keyring ? loaded_ring() : NULL;
}

/* What is to be said of the key at this place of the keyring. */
static void
check_key(HealthCheck *check, dbcrypt_ring *ring, size_t i)
{
	const char *subject = psprintf("key %s", dbcrypt_ring_key_id(ring, i));
	unsigned state = dbcrypt_ring_state(ring, i);

	if (state & DBCRYPT_STATE_BAD_CANARY)
		finding_add(check, SEVERITY_ERROR, subject, "does not match its canary",
					"The key or its row in dbcrypt_keys was changed: restore the right one "
					"before anything is encrypted.");
	if (i == 0 && !(state & DBCRYPT_STATE_REGISTERED))
		finding_add(check, SEVERITY_ERROR, subject,
					"is the primary key and not registered: nothing can be encrypted",
					"Run SELECT * FROM dbcrypt_register_keys().");
	if (i == 0 && (state & DBCRYPT_STATE_REVOKED))
		finding_add(check, SEVERITY_ERROR, subject,
					"is the primary key and revoked: nothing can be encrypted",
					"Put another key first in dbcrypt.key_file, or run dbcrypt_reinstate_key().");
	else if (i == 0 && (state & DBCRYPT_STATE_RETIRED))
		finding_add(check, SEVERITY_ERROR, subject,
					"is the primary key and retired: nothing can be encrypted",
					"Put another key first in dbcrypt.key_file, or run dbcrypt_reinstate_key().");
	else if (state & DBCRYPT_STATE_REVOKED)
		finding_add(check, SEVERITY_NOTICE, subject, "is revoked and still loaded",
					"Remove it from dbcrypt.key_file once no other database needs it; see "
					"dbcrypt_databases().");
	else if (state & DBCRYPT_STATE_RETIRED)
		finding_add(check, SEVERITY_NOTICE, subject, "is retired and not revoked",
					"Finish with CALL dbcrypt_revoke_keys(), or run dbcrypt_reinstate_key().");
}

/*
 * Weak keys, and the setting that lets them in. A key that is being rotated away from is
 * a notice: the runbook stops at warnings, and is the way to be rid of it.
 */
static void
check_weak_keys(HealthCheck *check, dbcrypt_ring *ring)
{
	bool found = false;

	for (size_t i = 0; i < dbcrypt_ring_count(ring); i++)
	{
		if (!dbcrypt_ring_key_is_weak(ring, i))
			continue;
		found = true;
		finding_add(check, i == 0 ? SEVERITY_WARNING : SEVERITY_NOTICE,
					psprintf("key %s", dbcrypt_ring_key_id(ring, i)),
					i == 0 ? "is the primary key and weak: 32 equal bytes, or a short text"
						   : "is weak: 32 equal bytes, or a short text",
					"Rotate to a key made with openssl rand -hex 32, and take this one out of "
					"the ring.");
	}
	if (setting_allow_weak_keys && !found)
		finding_add(check, SEVERITY_WARNING, "key ring",
					"dbcrypt.allow_weak_keys is on, and no loaded key is weak", "Set it to off.");
}

void
check_keyring(HealthCheck *check)
{
	ErrorData *error = read_without_waiting(load_keyring, NULL);
	dbcrypt_ring *ring;

	check->has_keyring = error == NULL;
	if (error)
		finding_add(check, SEVERITY_ERROR, "key ring", error_line(error),
					error->hint ? error->hint
								: "No value can be decrypted until this is repaired.");
	check->known = catalog_keys();

	ring = keyring_of(check);
	if (ring == NULL)
		return;
	if (dbcrypt_ring_count(ring) == 0 && (check->registered != NIL || check->known != NIL))
		finding_add(check, SEVERITY_ERROR, "key ring", "no encryption keys are configured",
					"Set dbcrypt.key_file to the file of this database's keys.");
	for (size_t i = 0; i < dbcrypt_ring_count(ring); i++)
		check_key(check, ring, i);
	check_weak_keys(check, ring);
	if (!dbcrypt_secrets_are_locked())
		finding_add(check, SEVERITY_NOTICE, "key ring",
					"keys are not locked in memory: they may be written to swap space",
					"Raise the server's limit on locked memory (ulimit -l, LimitMEMLOCK=).");
}

ValueState
state_under_key(const HealthCheck *check, const char *key_id)
{
	dbcrypt_ring *ring = keyring_of(check);
	const RegisteredKey *key = catalog_find_key(check->known, key_id);

	if (key && key->revoked)
		return STATE_REVOKED;
	if (ring == NULL)
		return STATE_PRIMARY; /* unknown; that is a finding already */
	switch (keyring_find(ring, key_id))
	{
		case -1:
			return STATE_NOT_LOADED;
		case 0:
			return STATE_PRIMARY;
		default:
			return STATE_OLD;
	}
}
