/*
 * remote_members.h
 *		Relations whose rows are not in this database.
 */
#ifndef DBCRYPT_REMOTE_MEMBERS_H
#define DBCRYPT_REMOTE_MEMBERS_H

#include "postgres.h"

/*
 * Where the rows of a relation are, as a clause, if they are not here to read and
 * write; NULL if they are. Asks every provider that remote_members.c lists.
 */
extern char *remote_member_reason(Oid relid);

#endif
