/*
 * in_place.h
 *		The method of dbcrypt_rotate_in_place.
 */
#ifndef DBCRYPT_IN_PLACE_H
#define DBCRYPT_IN_PLACE_H

#include "postgres.h"

#include "rotation/method.h"

extern const RotationMethod rotation_method_in_place;

#endif
