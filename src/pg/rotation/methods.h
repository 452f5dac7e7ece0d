/*
 * methods.h
 *		The table of methods. A worker finds its method by number.
 */
#ifndef DBCRYPT_ROTATION_METHODS_H
#define DBCRYPT_ROTATION_METHODS_H

#include "postgres.h"

#include "rotation/job_state.h"
#include "rotation/method.h"

enum
{
	ROTATION_METHOD_ONLINE,
	ROTATION_METHOD_IN_PLACE
};

/* The method of a job. */
extern const RotationMethod *job_method(const JobState *shared);

#endif
