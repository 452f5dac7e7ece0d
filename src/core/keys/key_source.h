/*
 * key_source.h
 *		Where keys come from: a list, a key file, or a directory of key files.
 *
 * Each function returns the keys in order, the primary key first. For a bad source it
 * throws CoreError and says in *error where the fault is. For formats and statuses
 * see dbcrypt_ring_add_list, dbcrypt_ring_add_contents, dbcrypt_ring_add_file.
 */
#ifndef DBCRYPT_KEY_SOURCE_H
#define DBCRYPT_KEY_SOURCE_H

#include <string_view>
#include <vector>

#include "../crypto/secret.h"
#include "key.h"
#include "key_types.h"

namespace dbcrypt
{

/* Bytes. A larger key file is DBCRYPT_KEY_FILE_UNREADABLE with errno EFBIG. */
constexpr size_t key_file_limit = 1024 * 1024;

/* What becomes of a key that is weak: see DBCRYPT_WEAK_KEY. */
enum class WeakKeys
{
	refused,
	allowed
};

/* The keys of a list, of the contents of a file, and of a file or directory. */
std::vector<SourceKey> keys_of_list(std::string_view list, WeakKeys weak,
									dbcrypt_source_error *error);
std::vector<SourceKey> keys_of_contents(Bytes contents, WeakKeys weak, dbcrypt_source_error *error);
std::vector<SourceKey> keys_of_file(const char *path, WeakKeys weak, dbcrypt_source_error *error);

/* See dbcrypt_file_stamp. */
uint64_t file_stamp(const char *path);

} // namespace dbcrypt

#endif
