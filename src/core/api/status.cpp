#include "status.h"

#include <sys/resource.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif

#include "../crypto/aead_choice.h"
#include "../crypto/secret.h"
#include "exception_boundary.h"

#include "../crypto/no_postgres.h"

using namespace dbcrypt;

void
dbcrypt_prepare(void) noexcept
{
	(void) exception_boundary(
		[]
		{
			prepare_aead();
			return DBCRYPT_OK;
		});
}

void
dbcrypt_forbid_core_dump(void) noexcept
{
#ifdef __linux__
	(void) prctl(PR_SET_DUMPABLE, 0);
#else
	const struct rlimit none = {0, 0};
	(void) setrlimit(RLIMIT_CORE, &none);
#endif
}

void
dbcrypt_cleanse(void *data, size_t size) noexcept
{
	cleanse(data, size);
}
