/*
 * key_source.h
 *		Where keys come from: lists, key files and directories of them.
 *
 * Each function gives the keys in ring order or throws Failure after saying in
 * *error where the fault is.
 */
#ifndef DBCRYPT_KEY_SOURCE_H
#define DBCRYPT_KEY_SOURCE_H

#include <string_view>
#include <vector>

#include "../crypto/secret.h"
#include "key_types.h"

namespace dbcrypt
{

/* A larger key file is DBCRYPT_KEY_FILE_UNREADABLE with EFBIG. */
constexpr size_t key_file_limit = 1024 * 1024;

/* See dbcrypt_ring_add_list, _contents, _file and dbcrypt_file_stamp. */
std::vector<Secret> keys_of_list(std::string_view list, dbcrypt_source_error *error);
std::vector<Secret> keys_of_contents(Bytes contents, dbcrypt_source_error *error);
std::vector<Secret> keys_of_file(const char *path, dbcrypt_source_error *error);
uint64_t file_stamp(const char *path);

} // namespace dbcrypt

#endif
