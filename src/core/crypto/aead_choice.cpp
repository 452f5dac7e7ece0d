#include "aead_choice.h"

#include <utility>

#include "aead_ipsec_mb.h"
#include "aead_openssl.h"

#include "no_postgres.h"

namespace dbcrypt
{

std::unique_ptr<Aead>
make_aead(Secret key)
{
#ifdef DBCRYPT_IPSEC_MB
	if (IpsecMbAead::is_supported() && OpenSslAead::is_default_provider())
		return std::make_unique<IpsecMbAead>(std::move(key));
#endif
	return std::make_unique<OpenSslAead>(std::move(key));
}

} // namespace dbcrypt
