/*
 * column_use.c
 *		Whether indexes and statistics read a column.
 */
#include "postgres.h"

#include "access/sysattr.h"
#include "optimizer/optimizer.h"

#include "lifecycle/column_use.h"

bool
columns_include(const Bitmapset *columns, AttrNumber attnum)
{
	return bms_is_member(attnum - FirstLowInvalidHeapAttributeNumber, columns);
}

bool
expression_reads(Node *expression, const Bitmapset *columns)
{
	Bitmapset *inputs = NULL;

	pull_varattnos(expression, 1, &inputs);
	return bms_overlap(inputs, columns) || columns_include(inputs, InvalidAttrNumber);
}
