/*
 * online.h
 *		The method of dbcrypt_rotate_online.
 */
#ifndef DBCRYPT_ONLINE_H
#define DBCRYPT_ONLINE_H

#include "postgres.h"

#include "rotation/method.h"

extern const RotationMethod rotation_method_online;

#endif
