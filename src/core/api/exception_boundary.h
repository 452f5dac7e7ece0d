/*
 * exception_boundary.h
 *		What the functions of core.h run in: no exception passes it.
 */
#ifndef DBCRYPT_EXCEPTION_BOUNDARY_H
#define DBCRYPT_EXCEPTION_BOUNDARY_H

#include <cerrno>
#include <new>

#include "../crypto/core_error.h"

namespace dbcrypt
{

/* Runs work, which returns a status, and turns what it throws into one. */
template <typename Work>
dbcrypt_status
guarded(Work &&work) noexcept
{
	try
	{
		return work();
	}
	catch (const Failure &failure)
	{
		errno = failure.error_number;
		return failure.status;
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
