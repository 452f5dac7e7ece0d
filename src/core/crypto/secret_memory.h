/*
 * secret_memory.h
 *		Memory for secrets: never swapped out, in no core dump, not a child's, wiped.
 *
 * It is locked where the limit on locked memory allows, and excluded from core dumps and
 * from forked children where the kernel offers that. A child of fork() finds zeros there:
 * it must not use a keyring of its parent. Not safe for threads.
 */
#ifndef DBCRYPT_SECRET_MEMORY_H
#define DBCRYPT_SECRET_MEMORY_H

#include <cstddef>
#include <cstdint>

namespace dbcrypt
{

/* Every block of it begins at a multiple of this. */
constexpr size_t secret_alignment = 64;

/* size bytes, not initialised; null for none. Throws std::bad_alloc. */
uint8_t *secret_allocate(size_t size);

/* Wipes and frees what secret_allocate has given for this size. */
void secret_free(uint8_t *data, size_t size) noexcept;

/* Whether all that is in use now is locked. */
bool secrets_are_locked() noexcept;

} // namespace dbcrypt

#endif
