/*
 * hex.h
 *		Hex digits (RFC 4648 section 8), of either case.
 */
#ifndef DBCRYPT_HEX_H
#define DBCRYPT_HEX_H

#include <cstdint>

namespace dbcrypt
{

/* The value of a hex digit; -1 for any other character. */
constexpr int
hex_value(uint8_t character)
{
	if (character >= '0' && character <= '9')
		return character - '0';
	const int letter = character | 0x20;
	return letter >= 'a' && letter <= 'f' ? letter - 'a' + 10 : -1;
}

} // namespace dbcrypt

#endif
