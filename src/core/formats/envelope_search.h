/*
 * envelope_search.h
 *		Finds native envelopes that stand somewhere in other bytes.
 */
#ifndef DBCRYPT_ENVELOPE_SEARCH_H
#define DBCRYPT_ENVELOPE_SEARCH_H

#include "../crypto/secret.h"
#include "../keys/key.h"

namespace dbcrypt
{

/* A header found in text: where it begins and ends, and the key that it names. */
struct FoundHeader
{
	size_t begin;
	size_t end;
	KeyId key_id;
};

/*
 * The first envelope's header in text from an offset on, in base64 or hex; false if
 * there is none. Base64 may have its slashes escaped as in JSON. Takes linear time.
 */
bool envelope_search(Bytes text, size_t from, FoundHeader *found);

} // namespace dbcrypt

#endif
