/*
 * recorded_key.c
 *		What columns of a scheme without authentication refuse.
 */
#include "postgres.h"

#include "utils/lsyscache.h"

#include "columns/recorded_key.h"
#include "columns/registry.h"
#include "core/api/scheme.h"

void
recorded_key_check_caller(Relation rel, const TargetColumn *target)
{
	if (!column_may_decrypt(rel, target->name))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied to open values of column \"%s\" of table \"%s\"",
						target->name, RelationGetRelationName(rel)),
				 errdetail("Scheme %s has no authentication: whether a value opens tells of its "
						   "plaintext. Only a role with EXECUTE on dbcrypt_decrypt() may see it.",
						   dbcrypt_scheme_traits_of(target->scheme)->name)));
}

void
recorded_key_refuse(const TargetColumn *target)
{
	if (!column_is_authenticated(target))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("column \"%s\" of table \"%s\" can only be rotated or converted as a "
						"whole",
						target->name, get_rel_name(target->relid)),
				 errdetail("Scheme %s has no authentication: the whole column is under the "
						   "key that its options record.",
						   dbcrypt_scheme_traits_of(target->scheme)->name),
				 errhint("Use dbcrypt_rotate() or dbcrypt_convert().")));
}

void
recorded_key_refuse_part(const TargetColumn *target)
{
	TargetColumn *registered = column_covering(target->relid, target->name);

	if (registered && registered->relid != target->relid)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("column \"%s\" of table \"%s\" is a part of a registered column",
						target->name, get_rel_name(target->relid)),
				 errdetail("The whole column of table \"%s\" is under the key that its options "
						   "record.",
						   get_rel_name(registered->relid)),
				 errhint("Name table \"%s\".", get_rel_name(registered->relid))));
}

LOCKMODE
recorded_key_lock(const TargetColumn *target, LOCKMODE otherwise)
{
	TargetColumn *registered = column_covering(target->relid, target->name);

	return registered == NULL || column_is_authenticated(registered) ? otherwise
																	 : ShareRowExclusiveLock;
}

void
recorded_key_check_lock(const TargetColumn *target, LOCKMODE held)
{
	if (!column_is_authenticated(target) && held < ShareRowExclusiveLock)
		ereport(ERROR, (errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
						errmsg("column \"%s\" of table \"%s\" was adopted meanwhile", target->name,
							   get_rel_name(target->relid)),
						errhint("Call the function again.")));
}
