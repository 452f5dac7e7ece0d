/*
 * methods.c
 *		The table of methods. A worker finds its method by number.
 */
#include "postgres.h"

#include "rotation/in_place/in_place.h"
#include "rotation/job_state.h"
#include "rotation/method.h"
#include "rotation/methods.h"
#include "rotation/online.h"

static const RotationMethod *const rotation_methods[] = {
	[ROTATION_METHOD_ONLINE] = &rotation_method_online,
	[ROTATION_METHOD_IN_PLACE] = &rotation_method_in_place,
};

const RotationMethod *
job_method(const JobState *shared)
{
	return rotation_methods[shared->method];
}
