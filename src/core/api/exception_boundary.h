/*
 * exception_boundary.h
 *		No exception leaves the API: its functions run their work in here.
 */
#ifndef DBCRYPT_EXCEPTION_BOUNDARY_H
#define DBCRYPT_EXCEPTION_BOUNDARY_H

#include <cerrno>
#include <new>

#include "../crypto/core_error.h"

namespace dbcrypt
{

/*
 * Runs work, which returns a status. If work throws, the result is the status that
 * belongs to the exception; for a CoreError errno is set too.
 */
template <typename Work>
dbcrypt_status
exception_boundary(Work &&work) noexcept
{
	try
	{
		return work();
	}
	catch (const CoreError &error)
	{
		errno = error.error_number;
		return error.status;
	}
	catch (const std::bad_alloc &)
	{
		return DBCRYPT_NO_MEMORY;
	}
	catch (...)
	{
		return DBCRYPT_INTERNAL;
	}
}

} // namespace dbcrypt

#endif
