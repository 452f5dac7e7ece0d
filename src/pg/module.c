/*
 * module.c
 *		Loading of the library.
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"

#include "columns/registry_store.h"
#include "core/api/status.h"
#include "health/check_launcher.h"
#include "keys/log_masking.h"
#include "keys/session_keyring.h"
#include "keys/settings.h"
#include "values/kept_triggers.h"

PG_MODULE_MAGIC;

void _PG_init(void);

/* Called when a process loads the library; its settings exist from then on. */
void
_PG_init(void)
{
	settings_init();
	session_init();
	registry_store_init();
	kept_triggers_init();
	mask_init();
	check_launcher_init();
	if (process_shared_preload_libraries_in_progress)
		dbcrypt_prepare();
}
