/*
 * databases.h
 *		What dbcrypt_databases and the worker that it starts in a database share.
 */
#ifndef DBCRYPT_DATABASES_H
#define DBCRYPT_DATABASES_H

#include "postgres.h"

#include "core/api/keyring.h"

typedef enum DatabaseAnswer
{
	DATABASE_NOT_ASKED, /* or the worker failed, or could not read all */
	DATABASE_NO_EXTENSION,
	DATABASE_NOT_IN_USE,
	DATABASE_IN_USE
} DatabaseAnswer;

/* In dynamic shared memory. The worker writes the answer and ends. */
typedef struct DatabaseQuestion
{
	Oid database;
	char key_id[DBCRYPT_KEY_ID_LEN + 1];
	DatabaseAnswer answer;
} DatabaseQuestion;

#endif
