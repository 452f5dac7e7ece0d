/*
 * core_error.h
 *		The core's one exception. It never leaves the API (see exception_boundary.h).
 */
#ifndef DBCRYPT_CORE_ERROR_H
#define DBCRYPT_CORE_ERROR_H

#include "status_code.h"

namespace dbcrypt
{

struct CoreError
{
	dbcrypt_status status;
	int error_number = 0; /* errno for the caller, or 0 */
};

} // namespace dbcrypt

#endif
