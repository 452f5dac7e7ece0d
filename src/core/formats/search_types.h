/*
 * search_types.h
 *		Types for the search for encrypted values that the API shares with its C callers.
 */
#ifndef DBCRYPT_SEARCH_TYPES_H
#define DBCRYPT_SEARCH_TYPES_H

#include "value_types.h"

/* The most bytes in which an envelope's header is found in a text, escapes included. */
#define DBCRYPT_LONGEST_HEADER 256

#define DBCRYPT_SAMPLE_VALUES 128
#define DBCRYPT_SAMPLE_BYTES 64

/*
 * A sample of a column's values, from all of it. Starts zeroed; can be copied and moved
 * as bytes.
 */
typedef struct dbcrypt_sample
{
	uint64_t seen;						   /* values, empty ones aside */
	uint32_t stride;					   /* one of so many is taken; 0: each */
	uint32_t values;					   /* in the sample */
	uint32_t sizes[DBCRYPT_SAMPLE_VALUES]; /* of each, decoded; 0 if it is no ciphertext */
	uint8_t kept[DBCRYPT_SAMPLE_VALUES];   /* bytes of it that follow */
	uint8_t bytes[DBCRYPT_SAMPLE_VALUES][DBCRYPT_SAMPLE_BYTES];
} dbcrypt_sample;

#endif
