/*
 * finish.h
 *		What ends a rotation in place.
 */
#ifndef DBCRYPT_IN_PLACE_FINISH_H
#define DBCRYPT_IN_PLACE_FINISH_H

#include "postgres.h"

#include "columns/target.h"
#include "rotation/method.h"

/* Refreshes statistics that hold old values, and commits durably. */
extern void in_place_finish(const TargetColumn *target, const RotationResult *result);

#endif
