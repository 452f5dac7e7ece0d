/*
 * codec_row.h
 *		What a codec reads of one row. For the other files of the codec.
 */
#ifndef DBCRYPT_CODEC_ROW_H
#define DBCRYPT_CODEC_ROW_H

#include "postgres.h"

#include "executor/tuptable.h"

#include "core/api/value.h"
#include "values/codec.h"

/* Whether the row holds a value of the column: what its where expression says. */
extern bool codec_row_selected(ColumnCodec *codec, TupleTableSlot *slot);

/* Reads the stored cell into per-tuple memory; false if the value is NULL. */
extern bool codec_read_cell(ColumnCodec *codec, TupleTableSlot *slot, dbcrypt_cell *cell);

/*
 * Evaluates the row's AAD and attribute. Where one is NULL, throws, or with
 * soft_errors sets bad_reason and returns false.
 */
extern bool codec_read_context(ColumnCodec *codec, TupleTableSlot *slot);

#endif
