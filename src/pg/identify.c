/*
 * identify.c
 *		Which key each value of a relation's column is under, as cheaply as the
 *		column's scheme can tell.
 */
#include "postgres.h"

#include "access/tableam.h"
#include "dbcrypt.h"
#include "miscadmin.h"
#include "utils/snapmgr.h"

void
identify_values(Relation rel, const TargetColumn *target, IdentifyVisitor visit, void *arg)
{
	TargetColumn bare = *target;
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	RowUpdater	updater;
	TableScanDesc scan;
	bool		more = true;

	/* An envelope names its key: no expression, working or not, is needed. */
	if (bare.scheme == NULL || bare.scheme == scheme_native())
		bare.aad = NULL;
	PushActiveSnapshot(snapshot);
	updater_begin(&updater, rel, &bare, true);
	scan = table_beginscan(rel, snapshot, 0, NULL);
	while (more && table_scan_getnextslot(scan, ForwardScanDirection, updater.row))
	{
		char		key_id[DBCRYPT_KEY_ID_LEN + 1];
		CipherState state;

		CHECK_FOR_INTERRUPTS();
		updater.tid = updater.row->tts_tid;
		state = cipher_identify(&updater.cipher, updater.row, key_id);
		if (state != CIPHER_NULL)
			more = visit(arg, rel, state, key_id, &updater.tid);
		ResetPerTupleExprContext(updater.estate);
	}
	table_endscan(scan);
	updater_end(&updater);
	PopActiveSnapshot();
	UnregisterSnapshot(snapshot);
}
