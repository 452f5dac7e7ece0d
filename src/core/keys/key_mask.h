/*
 * key_mask.h
 *		Overwrites in text what looks like a key.
 */
#ifndef DBCRYPT_KEY_MASK_H
#define DBCRYPT_KEY_MASK_H

#include <span>

#include "keyring.h"

namespace dbcrypt
{

/* See dbcrypt_mask_keys. */
size_t mask_keys(std::span<char> text, const Keyring *only);

/* See dbcrypt_mask_key_literals. */
size_t mask_key_literals(std::span<char> text);

} // namespace dbcrypt

#endif
