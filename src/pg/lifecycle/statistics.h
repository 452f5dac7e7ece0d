/*
 * statistics.h
 *		What ANALYZE has sampled of a column.
 */
#ifndef DBCRYPT_STATISTICS_H
#define DBCRYPT_STATISTICS_H

#include "postgres.h"

#include "columns/target.h"

/*
 * Removes what ANALYZE sampled of a column and of generated columns over it, in
 * its table, the children and the tables above: most common values and histograms,
 * those of index expressions, and extended statistics that cover it. They hold
 * values as they were before a rewrite. The next ANALYZE gathers new ones.
 */
extern void statistics_remove(const TargetColumn *target);

#endif
