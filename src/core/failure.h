/*
 * failure.h
 *		The one exception of the core. It never passes core.h.
 */
#ifndef DBCRYPT_FAILURE_H
#define DBCRYPT_FAILURE_H

#include "core.h"

namespace dbcrypt
{

struct Failure
{
	dbcrypt_status status;
	int error_number = 0; /* errno to hand to the caller, or 0 */
};

} // namespace dbcrypt

#endif
