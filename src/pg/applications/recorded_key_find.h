/*
 * recorded_key_find.h
 *		Under which key a column without authentication is.
 */
#ifndef DBCRYPT_RECORDED_KEY_FIND_H
#define DBCRYPT_RECORDED_KEY_FIND_H

#include "postgres.h"

#include "nodes/pg_list.h"

#include "applications/adopt_read.h"
#include "columns/target.h"

/*
 * Sets the target's options.key: the one that is named there, if it opens every value of
 * the open relations; otherwise the only loaded key that does, if there are values enough
 * to tell. Reads every value. Throws where it cannot tell.
 */
extern AdoptedValues recorded_key_find(const List *members, TargetColumn *target);

#endif
