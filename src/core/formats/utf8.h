/*
 * utf8.h
 *		Whether bytes are UTF-8 (RFC 3629).
 */
#ifndef DBCRYPT_UTF8_H
#define DBCRYPT_UTF8_H

#include "../crypto/secret.h"

namespace dbcrypt
{

bool is_utf8(Bytes bytes);

} // namespace dbcrypt

#endif
