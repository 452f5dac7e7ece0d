/*
 * dbcrypt.c
 *		Loading of the library.
 */
#include "postgres.h"

#include "dbcrypt.h"
#include "fmgr.h"
#include "miscadmin.h"

PG_MODULE_MAGIC;

void _PG_init(void);

void
_PG_init(void)
{
	settings_init();
	session_init();
	mask_init();
	doctor_worker_init();
	if (process_shared_preload_libraries_in_progress)
		dbcrypt_prepare();
}
