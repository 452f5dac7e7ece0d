/*
 * target.h
 *		The column that dbcrypt works on: its table, scheme, type and owner.
 */
#ifndef DBCRYPT_TARGET_H
#define DBCRYPT_TARGET_H

#include "postgres.h"

#include "access/attnum.h"
#include "fmgr.h"
#include "utils/rel.h"

#include "columns/options.h"
#include "core/api/scheme.h"
#include "core/api/value.h"

/* A column that dbcrypt works on: what was named, or what dbcrypt_columns holds. */
typedef struct TargetColumn
{
	Oid relid;
	AttrNumber attnum;
	char *name;					  /* the column's current name */
	char *aad;					  /* expression, or NULL */
	char *native_aad;			  /* to convert to native envelopes with; NULL for the same */
	const char *registered_by;	  /* for whom; "": unknown; NULL: not registered */
	Oid runs_as;				  /* who evaluates expressions; InvalidOid: the table's owner */
	const dbcrypt_scheme *scheme; /* NULL for native */
	ColumnOptions options;

	/*
	 * What is wrong with its row in dbcrypt_columns, or why columns_workable leaves it
	 * out; NULL if nothing is. With an odd row, relid may be InvalidOid and name is
	 * the registered one.
	 */
	char *problem;
} TargetColumn;

/* The column that arguments 0 (regclass) and 1 (name) of a call name; neither is NULL. */
extern TargetColumn target_from_arguments(FunctionCallInfo fcinfo);

/*
 * Whether the values are dbcrypt's own envelopes, those in JSON and in some of the rows
 * too; and whether every row of the column is one, or should be.
 */
extern bool column_has_envelopes(const TargetColumn *target);
extern bool column_is_native(const TargetColumn *target);

/* The role that evaluates the column's expressions. */
extern Oid column_runs_as(const TargetColumn *target);
/* Whether values of the column can be of a type, or of a domain over it. */
extern bool column_fits_type(const TargetColumn *target, Oid type);

/* Brings the name up to date from the number: a column may be renamed while it is worked on. */
extern void column_refresh_name(TargetColumn *target);

/* Refuses everyone but the table's owner and superusers. */
extern void column_check_owner(Oid relid);

/* A column and the stored generated columns that read it, offset as in pull_varattnos. */
extern Bitmapset *column_dependents(Relation rel, AttrNumber attnum);

/* Whether a value, its companion or its column's record says which key it is under. */
extern bool column_names_key(const TargetColumn *target);

/*
 * Takes down why a column among others was refused, as its problem: the error of working
 * on it. False if there was none. Throws one that is no refusal.
 */
extern bool column_take_refusal(TargetColumn *target, ErrorData *error);

/*
 * Whether a value shows that it was opened with the right key. If not, the whole column
 * is under the key that options.key records.
 */
extern bool column_is_authenticated(const TargetColumn *target);

/* Whether the caller may decrypt values of the column of a relation: EXECUTE on dbcrypt_decrypt. */
extern bool column_may_decrypt(Relation rel, const char *column);

/*
 * Encoding of a column's values: binary for bytea, text for text types and JSON, and
 * for domains over them. Refuses other types.
 */
extern dbcrypt_encoding column_encoding(Relation rel, AttrNumber attnum);

#endif
