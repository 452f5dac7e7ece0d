/*
 * relation_name.h
 *		The name of a relation as SQL needs it.
 */
#ifndef DBCRYPT_RELATION_NAME_H
#define DBCRYPT_RELATION_NAME_H

#include "postgres.h"

/* A relation's name, qualified and quoted; NULL if it is gone. */
extern char *relation_name(Oid relid);

#endif
