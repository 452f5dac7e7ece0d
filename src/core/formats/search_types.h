/*
 * search_types.h
 *		Types for the search for encrypted values that the API shares with its C callers.
 */
#ifndef DBCRYPT_SEARCH_TYPES_H
#define DBCRYPT_SEARCH_TYPES_H

#include "value_types.h"

#define DBCRYPT_SAMPLE_VALUES 128
#define DBCRYPT_SAMPLE_BYTES 64

/* A sample of a column's values. Starts zeroed; can be copied and moved as bytes. */
typedef struct dbcrypt_sample
{
	uint32_t values;					  /* looked at */
	uint32_t decoded;					  /* of these, decoded to enough bytes of no known format */
	uint32_t size;						  /* of the first decoded one */
	uint32_t same_size;					  /* how many decoded ones have that size */
	uint8_t sizes[DBCRYPT_SAMPLE_VALUES]; /* bytes kept of each decoded one */
	uint8_t bytes[DBCRYPT_SAMPLE_VALUES][DBCRYPT_SAMPLE_BYTES];
} dbcrypt_sample;

#endif
