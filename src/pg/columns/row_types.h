/*
 * row_types.h
 *		Which columns have rows of a composite type in them.
 */
#ifndef DBCRYPT_ROW_TYPES_H
#define DBCRYPT_ROW_TYPES_H

#include "postgres.h"

#include "nodes/pg_list.h"

/*
 * The names of a table's columns, or of a composite type's attributes, whose values have
 * rows of a composite type in them, however deep. Takes no lock.
 */
extern List *columns_with_row(Oid relid, Oid row_type);

#endif
