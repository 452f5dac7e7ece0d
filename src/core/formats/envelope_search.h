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
 * there is none. It may be broken into lines, and its characters escaped: as in JSON
 * ("\/", "\u002b"), URLs ("%2B"), XML and HTML ("&#43;"), each also within itself.
 * Base64 may be of the URL-safe alphabet.
 *
 * Not found: other encodings of the text (base64 again, compressed, UTF-16), bytea's
 * output format "escape", names of characters ("&plus;"), and headers longer than
 * DBCRYPT_LONGEST_HEADER bytes. Takes linear time.
 */
bool envelope_search(Bytes text, size_t from, FoundHeader *found);

} // namespace dbcrypt

#endif
