#include "utf8.h"

#include "../crypto/no_postgres.h"

namespace dbcrypt
{

namespace
{

/*
 * Bytes of the character at the front, 0 if that is none: no longer a sequence than
 * needed, no surrogate, nothing above U+10FFFF.
 */
size_t
character_size(Bytes bytes)
{
	const uint8_t lead = bytes[0];
	if (lead < 0x80)
		return 1;
	const size_t size = lead >= 0xC2 && lead <= 0xDF   ? 2
						: (lead & 0xF0) == 0xE0		   ? 3
						: lead >= 0xF0 && lead <= 0xF4 ? 4
													   : 0;
	if (size == 0 || bytes.size() < size)
		return 0;
	for (size_t i = 1; i < size; i++)
		if ((bytes[i] & 0xC0) != 0x80)
			return 0;
	const uint8_t second = bytes[1];
	if ((lead == 0xE0 && second < 0xA0) || (lead == 0xED && second > 0x9F) ||
		(lead == 0xF0 && second < 0x90) || (lead == 0xF4 && second > 0x8F))
		return 0;
	return size;
}

} // namespace

bool
is_utf8(Bytes bytes)
{
	while (!bytes.empty())
	{
		const size_t size = character_size(bytes);
		if (size == 0)
			return false;
		bytes = bytes.subspan(size);
	}
	return true;
}

} // namespace dbcrypt
