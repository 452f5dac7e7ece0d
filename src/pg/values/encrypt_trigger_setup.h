/*
 * encrypt_trigger_setup.h
 *		What dbcrypt_encrypt_trigger needs to know of one trigger of one relation.
 */
#ifndef DBCRYPT_ENCRYPT_TRIGGER_SETUP_H
#define DBCRYPT_ENCRYPT_TRIGGER_SETUP_H

#include "postgres.h"

#include "commands/trigger.h"
#include "executor/tuptable.h"
#include "nodes/execnodes.h"

#include "values/codec.h"

typedef struct EncryptTrigger
{
	Oid trigger;
	Oid relid;
	ColumnCodec codec;
	bool by_writer;		 /* its AAD runs as whoever writes, and was parsed as such */
	bool switches_user;	 /* its AAD depends on who evaluates it */
	bool runs_user_code; /* its AAD, or the column's domain */
	TupleTableSlot *old_row;
	TupleTableSlot *new_row;
} EncryptTrigger;

/*
 * Prepares the trigger that is called, in the current memory context; its expressions
 * go to the estate's. Refuses arguments, columns and registrations that do not fit.
 */
extern EncryptTrigger *encrypt_trigger_prepare(TriggerData *data, EState *estate);

#endif
