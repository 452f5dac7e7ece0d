/*
 * mask.h
 *		Overwrites in text what looks like a key.
 */
#ifndef DBCRYPT_MASK_H
#define DBCRYPT_MASK_H

#include <span>

#include "ring.h"

namespace dbcrypt
{

/* See dbcrypt_mask_keys. */
size_t mask_keys(std::span<char> text, const Ring *only);

} // namespace dbcrypt

#endif
