/*
 * column_use.h
 *		Whether indexes and statistics read a column.
 */
#ifndef DBCRYPT_COLUMN_USE_H
#define DBCRYPT_COLUMN_USE_H

#include "postgres.h"

#include "access/attnum.h"
#include "nodes/bitmapset.h"
#include "nodes/nodes.h"

/* Sets of columns are as column_dependents gives them. */

/* Whether a set holds a column. */
extern bool columns_include(const Bitmapset *columns, AttrNumber attnum);

/* Whether an expression over a relation's row reads one of a set, or the whole row. */
extern bool expression_reads(Node *expression, const Bitmapset *columns);

#endif
