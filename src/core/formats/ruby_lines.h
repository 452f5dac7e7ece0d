/*
 * ruby_lines.h
 *		Base64 as Ruby's pack("m") writes it: lines of 60 characters, each ended by a
 *		newline. base64_decode_as(Base64Reader::ruby) reads it.
 */
#ifndef DBCRYPT_RUBY_LINES_H
#define DBCRYPT_RUBY_LINES_H

#include "../crypto/secret.h"

namespace dbcrypt
{

/* Characters that encode so many bytes. */
size_t ruby_lines_size(size_t size);

/* Writes them. out may overlap in, as base64_encode allows. */
void ruby_lines_encode(Bytes in, uint8_t *out);

} // namespace dbcrypt

#endif
