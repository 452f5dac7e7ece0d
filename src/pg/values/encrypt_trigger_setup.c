/*
 * encrypt_trigger_setup.c
 *		What dbcrypt_encrypt_trigger needs to know of one trigger of one relation.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/sysattr.h"
#include "access/table.h"
#include "catalog/indexing.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "columns/expression.h"
#include "columns/registry.h"
#include "columns/target.h"
#include "core/api/scheme.h"
#include "support/run_as.h"
#include "values/codec.h"
#include "values/encrypt_trigger_setup.h"

/* Refuses an AAD over generated columns, which have no value before the row is written. */
static void
check_generated(Relation rel, Node *aad)
{
	Bitmapset *inputs = NULL;
	int bit = -1;

	pull_varattnos(aad, 1, &inputs);
	while ((bit = bms_next_member(inputs, bit)) >= 0)
	{
		Form_pg_attribute attribute =
			TupleDescAttr(RelationGetDescr(rel), bit + FirstLowInvalidHeapAttributeNumber - 1);

		if (attribute->attgenerated != '\0')
			ereport(ERROR, (errcode(ERRCODE_INVALID_COLUMN_REFERENCE),
							errmsg("AAD expression of a trigger cannot read generated column "
								   "\"%s\"",
								   NameStr(attribute->attname)),
							errdetail("It is computed after the trigger.")));
	}
}

/*
 * The table that a trigger was created on. A partition's trigger is a copy of the
 * partitioned table's.
 */
static Oid
table_of_trigger(Oid trigger)
{
	Oid relid = InvalidOid;
	Relation rel = table_open(TriggerRelationId, AccessShareLock);

	while (OidIsValid(trigger))
	{
		ScanKeyData key;
		SysScanDesc scan;
		HeapTuple tuple;

		ScanKeyInit(&key, Anum_pg_trigger_oid, BTEqualStrategyNumber, F_OIDEQ,
					ObjectIdGetDatum(trigger));
		scan = systable_beginscan(rel, TriggerOidIndexId, true, NULL, 1, &key);
		tuple = systable_getnext(scan);
		if (!HeapTupleIsValid(tuple))
			elog(ERROR, "could not find trigger %u", trigger);
		relid = ((Form_pg_trigger) GETSTRUCT(tuple))->tgrelid;
		trigger = ((Form_pg_trigger) GETSTRUCT(tuple))->tgparentid;
		systable_endscan(scan);
	}
	table_close(rel, AccessShareLock);
	return relid;
}

/* Refuses a column whose values the trigger cannot encrypt. */
static void
check_column(Relation rel, AttrNumber attnum)
{
	Form_pg_attribute attribute = TupleDescAttr(RelationGetDescr(rel), attnum - 1);
	Oid type = getBaseType(attribute->atttypid);

	if (attribute->attgenerated != '\0')
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						errmsg("column \"%s\" of table \"%s\" is a generated column",
							   NameStr(attribute->attname), RelationGetRelationName(rel))));
	if (type == JSONOID || type == JSONBOID)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("column \"%s\" of table \"%s\" is of type %s", NameStr(attribute->attname),
						RelationGetRelationName(rel), format_type_be(type)),
				 errhint("A trigger encrypts columns of type text, varchar or bytea.")));
}

/*
 * Takes over how the column is registered, if it is, and decides who evaluates the
 * AAD. Whoever may create a trigger is not always the table's owner, but only the
 * owner registers: an AAD that is not the registered one runs as whoever writes.
 */
static void
apply_registration(TargetColumn *target, Relation rel, const Trigger *trigger, bool *by_writer)
{
	TargetColumn *registered = column_covering(target->relid, target->name);

	if (registered)
		registry_refuse_problem(registered);
	if (target->aad && (registered == NULL || registered->aad == NULL ||
						strcmp(registered->aad, target->aad) != 0))
	{
		target->runs_as = GetUserId();
		*by_writer = true;
	}
	else if (registered)
	{
		target->runs_as = owner_of(registered->relid);
		target->registered_by = registered->registered_by;
	}
	if (registered && !column_is_native(registered))
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						errmsg("column \"%s\" of table \"%s\" is adopted with scheme %s",
							   target->name, RelationGetRelationName(rel),
							   dbcrypt_scheme_traits_of(registered->scheme)->name),
						errdetail("The trigger would write native envelopes into it."),
						errhint("The application encrypts such values; drop trigger \"%s\", or run "
								"dbcrypt_convert().",
								trigger->tgname)));
}

/* Reads the trigger's arguments: the column and its AAD. */
static void
read_arguments(TriggerData *data, TargetColumn *target)
{
	Relation rel = data->tg_relation;
	const Trigger *trigger = data->tg_trigger;

	if (trigger->tgnargs < 1 || trigger->tgnargs > 2)
		ereport(ERROR, (errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
						errmsg("trigger \"%s\" must have a column name and at most an AAD "
							   "expression as arguments",
							   trigger->tgname)));
	target->name = trigger->tgargs[0];
	target->aad = trigger->tgnargs > 1 ? trigger->tgargs[1] : NULL;
	target->relid = trigger->tgisclone ? table_of_trigger(trigger->tgoid) : RelationGetRelid(rel);
	target->attnum = get_attnum(RelationGetRelid(rel), target->name);
	if (target->attnum <= 0)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_COLUMN),
						errmsg("column \"%s\" of relation \"%s\" does not exist", target->name,
							   RelationGetRelationName(rel)),
						errdetail("Trigger \"%s\" names it.", trigger->tgname)));
}

EncryptTrigger *
encrypt_trigger_prepare(TriggerData *data, EState *estate)
{
	Relation rel = data->tg_relation;
	EncryptTrigger *self = palloc0(sizeof(EncryptTrigger));
	TargetColumn target = {0};
	TupleDesc desc;
	RunAsContext saved;
	MemoryContext scratch =
		AllocSetContextCreate(CurrentMemoryContext, "dbcrypt setup", ALLOCSET_SMALL_SIZES);
	MemoryContext caller = MemoryContextSwitchTo(scratch);

	read_arguments(data, &target);
	check_column(rel, target.attnum);
	apply_registration(&target, rel, data->tg_trigger, &self->by_writer);
	MemoryContextSwitchTo(caller);

	self->trigger = data->tg_trigger->tgoid;
	self->relid = RelationGetRelid(rel);
	run_as_owner(rel->rd_rel->relowner, &saved);
	codec_init(&self->codec, rel, &target, estate);
	run_as_restore(&saved);
	MemoryContextDelete(scratch);
	self->runs_user_code = OidIsValid(self->codec.domain);
	if (self->codec.aad)
	{
		check_generated(rel, self->codec.aad->parsed);
		/* Becoming the owner costs more than encrypting a short value. */
		self->switches_user = self->codec.aad->calls_user;
		self->runs_user_code |= self->codec.aad->runs_user_code;
	}
	/* A slot would pin the relation's own descriptor, and nobody drops these. */
	desc = CreateTupleDescCopyConstr(RelationGetDescr(rel));
	self->old_row = MakeSingleTupleTableSlot(desc, &TTSOpsHeapTuple);
	self->new_row = MakeSingleTupleTableSlot(desc, &TTSOpsHeapTuple);
	return self;
}
