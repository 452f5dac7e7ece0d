/*
 * census_large_objects.h
 *		Reads the large objects for the census.
 */
#ifndef DBCRYPT_CENSUS_LARGE_OBJECTS_H
#define DBCRYPT_CENSUS_LARGE_OBJECTS_H

/* Searches all large objects, as a subtransaction's action on a CensusRelation. */
extern void census_read_large_objects(void *relation);

#endif
