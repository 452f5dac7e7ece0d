#include "status.h"

#include <algorithm>
#include <utility>
#include <vector>

#include <sys/resource.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif

#include "../crypto/random.h"
#include "../crypto/secret.h"
#include "../crypto/secret_memory.h"
#include "../formats/envelope.h"
#include "../keys/key.h"
#include "exception_boundary.h"

#include "../crypto/no_postgres.h"

using namespace dbcrypt;

void
dbcrypt_prepare(void) noexcept
{
	(void) exception_boundary(
		[]
		{
			Secret zeros(key_size);
			const auto bytes = reveal_secret(zeros);
			std::fill(bytes.begin(), bytes.end(), uint8_t{0});
			Key nobodys_key({std::move(zeros), true});
			std::vector<uint8_t> envelope(envelope_size(DBCRYPT_ENCODING_BINARY, 0));
			envelope_seal(nobodys_key, DBCRYPT_ENCODING_BINARY, {}, {}, envelope.data());
			drop_nonces();
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

bool
dbcrypt_secrets_are_locked(void) noexcept
{
	return secrets_are_locked();
}

void
dbcrypt_cleanse(void *data, size_t size) noexcept
{
	cleanse(data, size);
}
