/*
 * core_error.h
 *		The one exception of the core. It never passes core.h.
 */
#ifndef DBCRYPT_CORE_ERROR_H
#define DBCRYPT_CORE_ERROR_H

#include "status_code.h"

namespace dbcrypt
{

struct Failure
{
	dbcrypt_status status;
	int error_number = 0; /* errno to hand to the caller, or 0 */
};

} // namespace dbcrypt

#endif
