/*
 * job.h
 *		Rotation while the application runs: passes over block ranges of a table,
 *		a transaction each, by one or more processes.
 */
#ifndef DBCRYPT_ROTATION_JOB_H
#define DBCRYPT_ROTATION_JOB_H

#include "postgres.h"

#include "columns/target.h"
#include "rotation/method.h"
#include "rotation/options.h"

/*
 * Rotates a column by a method (its number in methods.h) until a check under one
 * snapshot finds no value under another key. Commits as it goes: the caller is a
 * procedure outside a transaction block, and connected to SPI (non-atomic).
 */
extern void rotation_job_run(TargetColumn *target, int method, const RotationOptions *options,
							 RotationResult *result);

#endif
