/*
 * aead_choice.h
 *		Which library does AES-256-GCM on this machine.
 */
#ifndef DBCRYPT_AEAD_CHOICE_H
#define DBCRYPT_AEAD_CHOICE_H

#include <memory>

#include "aead.h"

namespace dbcrypt
{

/*
 * The faster of two libraries. intel-ipsec-mb: if it is built in, the processor has
 * AES-NI and PCLMULQDQ, and OpenSSL uses its default provider. Otherwise OpenSSL.
 * key: Aead::key_size bytes.
 */
std::unique_ptr<Aead> make_aead(Secret key);

} // namespace dbcrypt

#endif
