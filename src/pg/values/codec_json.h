/*
 * codec_json.h
 *		JSON columns: each string field that the column's pattern names is a cell
 *		of its own. For the other files of the codec.
 */
#ifndef DBCRYPT_CODEC_JSON_H
#define DBCRYPT_CODEC_JSON_H

#include "postgres.h"

#include "core/api/value.h"
#include "values/codec.h"

/* What a field's cell becomes; NULL leaves it. Runs in per-tuple memory. */
typedef char *(*JsonCellFunction)(ColumnCodec *codec, const dbcrypt_cell *cell, void *arg);

/*
 * Calls function for the cell of each field of a JSON cell, with the field's
 * attribute set. Returns the new JSON in per-tuple memory, NULL if no field changed.
 */
extern text *codec_replace_json(ColumnCodec *codec, const dbcrypt_cell *json,
								JsonCellFunction function, void *arg);

#endif
