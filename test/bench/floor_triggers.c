/*
 * floor_triggers.c
 *		Triggers that do nothing, or only put a constant into a column: what a trigger in C
 *		costs at least.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "utils/rel.h"

PG_MODULE_MAGIC;

PG_FUNCTION_INFO_V1(floor_nothing);

Datum
floor_nothing(PG_FUNCTION_ARGS)
{
	TriggerData *data = (TriggerData *) fcinfo->context;

	return PointerGetDatum(TRIGGER_FIRED_BY_UPDATE(data->tg_event) ? data->tg_newtuple
																   : data->tg_trigtuple);
}

PG_FUNCTION_INFO_V1(floor_replace);

/* Writes the column's own value back. */
Datum
floor_replace(PG_FUNCTION_ARGS)
{
	TriggerData *data = (TriggerData *) fcinfo->context;
	TupleDesc desc = RelationGetDescr(data->tg_relation);
	int column = SPI_fnumber(desc, data->tg_trigger->tgargs[0]);
	bool isnull;
	Datum value = heap_getattr(data->tg_trigtuple, column, desc, &isnull);

	return PointerGetDatum(
		heap_modify_tuple_by_cols(data->tg_trigtuple, desc, 1, &column, &value, &isnull));
}
