/*
 * dbcrypt.h
 *		What the files of the shim offer each other.
 *
 * Every function here may ereport; none may be called while a C++ frame is on
 * the stack, which cannot happen because the core never calls back.
 */
#ifndef DBCRYPT_H
#define DBCRYPT_H

#include "postgres.h"

#include "access/attnum.h"
#include "executor/tuptable.h"
#include "nodes/execnodes.h"
#include "replication/origin.h"
#include "utils/jsonb.h"
#include "utils/rel.h"

#include "../core/api/keyring.h"
#include "../core/api/scheme.h"
#include "../core/api/status.h"
#include "../core/api/value.h"
#include "compat.h"

/* ---- errors.c ---- */

/* Where a value stands, for an error's DETAIL; rel NULL when nowhere. */
typedef struct ValuePlace
{
	Relation rel;
	AttrNumber attnum;
	ItemPointerData tid;
	bool adopted; /* the column is of another application's scheme */
} ValuePlace;

/* Throws what status means; key_id and place may be NULL. */
pg_noreturn extern void raise_status(dbcrypt_status status, dbcrypt_encoding form,
									 const char *key_id, const ValuePlace *place);

/* The primary message of a status. */
extern const char *status_message(dbcrypt_status status, const char *key_id);

/*
 * The same for a value that did not open. key_id is the value's own, or ""; the
 * error names the primary key where that is the one in question.
 */
pg_noreturn extern void raise_key_status(dbcrypt_status status, dbcrypt_encoding form,
										 const char *key_id, const ValuePlace *place);

/* The same for a native envelope. */
pg_noreturn extern void raise_value_status(dbcrypt_status status, dbcrypt_encoding form,
										   struct varlena *envelope, const ValuePlace *place);

/*
 * For the callback of an error context: a value that cannot be converted is not
 * named in the message.
 */
extern void hide_value(void);

/* ---- settings.c ---- */

extern char *setting_keys;
extern char *setting_key_file;
extern char *setting_key_command;
extern char *setting_decrypt_keys;

/* Loaded at server start, so that no placeholder ever showed a literal key. */
extern bool library_preloaded;

extern void settings_init(void);

/* Whether dbcrypt.decrypt_keys names this key. */
extern bool settings_decrypt_key(const char *key_id);

/* ---- mask.c ---- */

extern void mask_init(void);

/* Takes the keys of the running statement out of pg_stat_activity. */
extern void mask_activity(void);

/* ---- session.c ---- */

extern void session_init(void);

/* Forgets the ring: the next use reads every source again. */
extern void session_forget_ring(void);

/*
 * The session's ring, its keys' states read from dbcrypt_keys. Costs two
 * comparisons unless a statement began, a setting changed or dbcrypt_keys did.
 * Valid until the next call: user code may run between two values.
 */
extern dbcrypt_ring *session_ring(void);

/*
 * A number that changes with dbcrypt_keys, once the session has heard of it: at
 * the latest when it takes a lock that the change's transaction conflicted with.
 * Counts from the first session_ring() on.
 */
extern uint64 session_keys_changes(void);

/* The ring as it was last read, possibly NULL; never reads, never throws. */
extern dbcrypt_ring *session_ring_if_loaded(void);

/* ---- catalog.c ---- */

/* OID of a table of the extension's schema, InvalidOid without the extension. */
extern Oid catalog_relation(const char *name);

/* The same, for use in a query: quoted and qualified. */
extern char *catalog_relation_name(const char *name);

/* Sets each ring key's state from dbcrypt_keys; its OID, to watch for changes. */
extern Oid catalog_read_key_states(dbcrypt_ring *ring);

/* A row of dbcrypt_keys. */
typedef struct RegisteredKey
{
	char key_id[DBCRYPT_KEY_ID_LEN + 1];
	bool revoked;
} RegisteredKey;

/* Every row of dbcrypt_keys, as RegisteredKey. */
extern List *catalog_keys(void);

/* Runs a query as the owner of dbcrypt's tables, whoever the caller is. */
extern uint64 catalog_execute(const char *query, int nargs, Oid *types, Datum *values,
							  const char *nulls, int expected);

/* ---- text.c ---- */

/* Bytes that stay valid as long as the value they came from. */
typedef struct Bytes
{
	const uint8_t *data;
	size_t size;
} Bytes;

/* The UTF-8 of a detoasted text in the database's encoding. */
extern Bytes text_to_utf8(struct varlena *value);

/* Text of the database's encoding from UTF-8 in a varlena, perhaps the same. */
extern struct varlena *utf8_to_text(struct varlena *utf8);

/* ---- owner.c ---- */

/* What owner_enter saves and owner_leave restores. */
typedef struct OwnerContext
{
	Oid userid;
	int security;
	int nestlevel;
} OwnerContext;

/* The role that owns a relation; throws if it is gone. */
extern Oid owner_of(Oid relid);

/* From here code runs as the relation's owner, restricted, with a fixed search_path. */
extern void owner_enter(Oid owner, OwnerContext *saved);
extern void owner_leave(const OwnerContext *saved);

/* ---- expression.c ---- */

/*
 * Parses an AAD expression over a relation's columns, as the current user. Its
 * type is text or bytea. Refuses what would change with the rotation of the
 * column. NULL for NULL.
 */
extern Expr *aad_parse(Relation rel, AttrNumber attnum, const char *expression);

/*
 * The AAD of the row in slot, in the per-tuple memory of econtext; false if the
 * expression is NULL there.
 */
extern bool aad_evaluate(ExprState *state, ExprContext *econtext, TupleTableSlot *slot, Bytes *aad);

/* A prepared expression that may look into other tables. */
typedef struct RowExpression
{
	Oid type;				/* of its values: text or boolean */
	ExprState *state;		/* NULL with a subquery */
	struct _SPI_plan *plan; /* NULL without */
} RowExpression;

/* Parses, checks and prepares; what names the expression in errors. */
extern RowExpression *expression_prepare(Relation rel, AttrNumber attnum, const char *expression,
										 const char *what, Oid type, EState *estate);

/* The columns that such an expression reads, offset as in pull_varattnos. */
extern Bitmapset *expression_inputs(Relation rel, AttrNumber attnum, const char *expression,
									const char *what, Oid type);

/* Its value for the row in slot, in per-tuple memory; false for NULL. */
extern bool expression_evaluate(RowExpression *self, ExprContext *econtext, TupleTableSlot *slot,
								Datum *value);

/* ---- options.c ---- */

/* Where a scheme finds what is not in the value; each NULL if not given. */
typedef struct ColumnOptions
{
	char *companion;			/* column of the key id, iv or nonce */
	char *table;				/* HKDF table name */
	char *attribute;			/* HKDF attribute, "_ciphertext" included */
	char *attribute_expression; /* the same, over the row */
	char *where;				/* predicate: which rows hold values */
	char *json;					/* $.path, or ILIKE pattern of field names */
} ColumnOptions;

/* The scheme of that name; throws for an unknown one, naming all. */
extern const dbcrypt_scheme *scheme_named(const char *name);
extern const dbcrypt_scheme *scheme_native(void);

/* Options as dbcrypt_columns holds them. */
extern void options_read(Jsonb *stored, ColumnOptions *options);
extern Datum options_write(const ColumnOptions *options);

/* An HKDF attribute as Lockbox spells it: name_ciphertext. */
extern char *options_attribute(const char *name);

/* ---- columns.c ---- */

/* A column that dbcrypt works on: what was named, or what dbcrypt_columns holds. */
typedef struct TargetColumn
{
	Oid relid;
	AttrNumber attnum;
	char *name;					  /* the column's current name */
	char *registered_name;		  /* the name that dbcrypt_columns holds */
	char *aad;					  /* expression, or NULL */
	Oid runs_as;				  /* who evaluates expressions; InvalidOid: the table's owner */
	const dbcrypt_scheme *scheme; /* NULL for native */
	ColumnOptions options;
} TargetColumn;

/* Whether every row of the column holds a native envelope, or should. */
extern bool column_is_native(const TargetColumn *target);

/* Refuses everyone but the table's owner and superusers. */
extern void column_check_owner(Oid relid);

/*
 * Locks the partitioned tables above a relation for reading, topmost first; their
 * OIDs. To be called before the relation is locked: DDL locks in this order.
 */
extern List *column_lock_ancestors(Oid relid);

/*
 * OIDs of a relation and its children of any depth. A partition that is being
 * detached concurrently counts: its rows are still there.
 */
extern List *column_members(Oid relid, LOCKMODE lockmode);

/*
 * Locks a relation and its children, in a fixed order; their OIDs, without those of
 * temporary tables of other sessions, which nobody else can read.
 */
extern List *column_lock_members(Oid relid, LOCKMODE lockmode);

/* Refuses a relation that cannot be rotated, saying why; column number in it. */
extern AttrNumber column_check_relation(Relation rel, const TargetColumn *target);

/* A column and the generated columns computed from it, offset as in pull_varattnos. */
extern Bitmapset *column_dependents(Relation rel, AttrNumber attnum);

/* Form of a column's values: text or bytea, through domains. */
extern dbcrypt_encoding column_form(Relation rel, AttrNumber attnum);

/* The registered columns in order of OID and number; all of TargetColumn. */
extern List *columns_registered(void);

/* The registry's row of a column, or NULL. */
extern TargetColumn *column_registered(Oid relid, AttrNumber attnum);

/* The same, or the row of a table above it whose column it inherits. */
extern TargetColumn *column_covering(Oid relid, const char *name);

/*
 * Takes the registered scheme and options, and the registered AAD where none is
 * given; refuses one that differs from it.
 */
extern void column_resolve(TargetColumn *target);

/*
 * Registers a column. Does nothing if it is registered, if what it was resolved to
 * covers it (runs_as), and for temporary tables. Needs SPI.
 */
extern void column_register(const TargetColumn *target);

/* Unregisters a column; false if it was not registered. Needs SPI. */
extern bool column_unregister(Oid relid, AttrNumber attnum);

/* ---- cipher.c ---- */

/* New values of a row: the column's, and those of its companions. */
#define CIPHER_MAX_COLUMNS 2
typedef struct ColumnChange
{
	int count;
	AttrNumber attnums[CIPHER_MAX_COLUMNS];
	Datum values[CIPHER_MAX_COLUMNS];
	bool nulls[CIPHER_MAX_COLUMNS];
} ColumnChange;

/* What became of one value. */
typedef enum ValueOutcome
{
	VALUE_NULL,
	VALUE_CURRENT, /* as it should be already */
	VALUE_CHANGED, /* the change is set */
	VALUE_GONE,	   /* the row was deleted meanwhile */
	VALUE_BAD,	   /* it does not open; only with soft_errors */
	VALUE_SKIPPED, /* the column's where leaves the row out */
	VALUE_BUSY	   /* someone else is changing the row; only with nowait */
} ValueOutcome;

/* What one value is found to be. */
typedef enum CipherState
{
	CIPHER_NULL,
	CIPHER_PRIMARY,
	CIPHER_OLD,
	CIPHER_REVOKED,
	CIPHER_NOT_LOADED,
	CIPHER_PLAINTEXT,
	CIPHER_FAILED
} CipherState;

/* Opens and seals the values of one column of one relation. */
typedef struct ColumnCipher
{
	Relation rel;
	AttrNumber attnum;
	AttrNumber companion; /* column beside it, InvalidAttrNumber for none */
	dbcrypt_encoding form;
	const dbcrypt_scheme *scheme;
	dbcrypt_context context; /* of the row at work */
	Oid type;				 /* below domains */
	Oid domain;				 /* InvalidOid unless the type is a domain */
	void *domain_cache;
	bool not_null;			  /* the column or its domain */
	int max_characters;		  /* of varchar(n), or -1 */
	ExprState *aad;			  /* NULL for none */
	Oid runs_as;			  /* who evaluates all expressions */
	RowExpression *attribute; /* NULL for none, and so below */
	RowExpression *where;
	const char *json;		  /* which fields are values; each has its name as attribute … */
	bool attribute_per_field; /* … unless another is given */
	ExprContext *econtext;
	MemoryContext query_context;
	bool soft_errors;		/* return VALUE_BAD rather than throw for a bad value */
	const char *bad_reason; /* with VALUE_BAD, in per-tuple memory */
} ColumnCipher;

/*
 * Prepares the target's column in rel, which may be a child of the target's
 * table. Call it as the owner (owner_enter). estate must outlive the cipher;
 * values come in its per-tuple memory, which the caller resets.
 */
extern void cipher_init(ColumnCipher *cipher, Relation rel, const TargetColumn *target,
						EState *estate);

/*
 * Each works on the value in slot (with its tts_tid), sets *change when it
 * returns VALUE_CHANGED, and throws for a bad value, naming the row and the key.
 *
 * reencrypt: to the primary key; check_current opens what is there already too.
 * encrypt: from plaintext; a value that is an envelope must open, and stays.
 * decrypt: to plaintext; a value that is not encrypted stays.
 * convert: to a native envelope without AAD.
 * erase: to NULL, or '' where the column cannot be; looks at no value.
 */
extern ValueOutcome cipher_reencrypt(ColumnCipher *cipher, TupleTableSlot *slot, bool check_current,
									 ColumnChange *change);
extern ValueOutcome cipher_encrypt(ColumnCipher *cipher, TupleTableSlot *slot,
								   ColumnChange *change);
extern ValueOutcome cipher_decrypt(ColumnCipher *cipher, TupleTableSlot *slot,
								   ColumnChange *change);

extern ValueOutcome cipher_convert(ColumnCipher *cipher, TupleTableSlot *slot,
								   ColumnChange *change);
extern ValueOutcome cipher_erase(ColumnCipher *cipher, TupleTableSlot *slot, ColumnChange *change);

/*
 * Whether the value needs to be re-encrypted, as cheaply as its scheme can tell:
 * VALUE_CHANGED if it is not under the primary key, or no encrypted value.
 */
extern ValueOutcome cipher_inspect(ColumnCipher *cipher, TupleTableSlot *slot);

/* What a value is, and our id of its key, "" where nothing tells. */
typedef void (*ValueVisitor)(void *arg, CipherState state, const char *key_id);

/*
 * identify: says what the row's value is, as cheaply as its scheme can tell.
 * examine: opens it and says what it is. Neither throws for a bad one. A JSON
 * column has a value for each of its fields; NULL, and what the scheme keeps
 * empty, is no value.
 */
extern void cipher_identify(ColumnCipher *cipher, TupleTableSlot *slot, ValueVisitor visit,
							void *arg);
extern void cipher_examine(ColumnCipher *cipher, TupleTableSlot *slot, ValueVisitor visit,
						   void *arg);

/*
 * identify for a column of nothing but native envelopes: reads no more of a long
 * value than its header. key_id has DBCRYPT_KEY_ID_LEN + 1 bytes.
 */
extern CipherState cipher_identify_envelope(ColumnCipher *cipher, TupleTableSlot *slot,
											char *key_id);

/* Status and key id of a value's header, however it is stored; no key needed. */
extern dbcrypt_status value_read_header(Datum value, dbcrypt_encoding form, char *key_id);

/* ---- json_fields.c ---- */

/* What a field's value becomes; NULL leaves it. Both names are NUL-terminated. */
typedef char *(*JsonFieldReplace)(void *arg, const char *name, const char *value);

/*
 * A JSON text with the string fields that pattern names replaced; NULL if none
 * was. Pattern: $.path.to.field, or an ILIKE pattern for field names.
 */
extern text *json_fields_replace(text *json, const char *pattern, JsonFieldReplace replace,
								 void *arg);

/* ---- origin.c ---- */

/* The origin to mark changes with, made if need be; invalid where none is needed. */
extern RepOriginId origin_lookup(void);

/* Marks what is logged in between. An error in between must origin_leave too. */
extern void origin_enter(RepOriginId origin);
extern void origin_leave(RepOriginId origin);

/* ---- adopt.c ---- */

/* Registers a column of another scheme after a look at its values; needs no SPI. */
extern void adopt_column(TargetColumn *target);

/* ---- appkeys.c ---- */

/*
 * An application may have a catalog of its keys, which the companion column of a
 * value refers to by a foreign key. check: refuses a foreign key to anything else.
 */
extern void appkeys_check(Relation rel, AttrNumber companion);

/*
 * Before values are written into a relation: sees that the catalog, if it has
 * one, holds the primary key, and holds that row until the transaction ends.
 */
extern void appkeys_hold(Relation rel, AttrNumber companion, const dbcrypt_scheme *scheme);

/*
 * After a rotation: revokes in the catalogs of these targets (TargetColumn) the
 * other keys of the ring, those still referred to excepted.
 */
extern void appkeys_revoke_unused(List *targets);

/* ---- progress.c ---- */

typedef enum ProgressPhase
{
	PROGRESS_ROTATING,
	PROGRESS_WAITING, /* throttled */
	PROGRESS_VACUUMING,
	PROGRESS_CHECKING /* the pass that must find nothing */
} ProgressPhase;

/* This backend's row of dbcrypt_progress; an abort ends it by itself. */
extern void progress_start(Oid relid, AttrNumber attnum, uint64 blocks_total);

/* Begins to count blocks anew. */
extern void progress_total(uint64 blocks_total);
extern void progress_phase(ProgressPhase phase);
extern void progress_update(uint64 blocks_done, int64 rotated);
extern void progress_end(void);

/* Shows the row again after a subtransaction's abort has ended it. */
extern void progress_resume(void);

/* ---- rowupdate.c ---- */

/* Updates rows of one relation below the executor. */
typedef struct RowUpdater
{
	Relation rel;
	EState *estate;
	ResultRelInfo *result; /* without its indexes when rows are only read */
	ColumnCipher cipher;
	TupleTableSlot *row; /* as scanned, or as relocked */
	TupleTableSlot *updated;
	char *table_name;	 /* qualified and quoted */
	ItemPointerData tid; /* of the row at work, for error contexts */
	bool updating;
	bool nowait;		/* return VALUE_BUSY rather than wait for a row */
	RepOriginId origin; /* InvalidRepOriginId: changes are not marked */
	int64 cold_updates; /* those that wrote index entries */
	ErrorContextCallback error_context;
	OwnerContext owner;
} RowUpdater;

/*
 * Prepares work on a relation that is locked and checked, and enters its
 * owner's context; updater_end leaves it. An active snapshot is needed.
 */
extern void updater_begin(RowUpdater *updater, Relation rel, const TargetColumn *target,
						  bool read_only);
extern void updater_end(RowUpdater *updater);

/*
 * Puts into updater->updated the row with its change: generated columns
 * computed, constraints checked, dropped columns NULL.
 */
extern void updater_build_row(RowUpdater *updater, const ColumnChange *change);

/*
 * Re-encrypts the row in updater->row, in its newest version if someone else
 * changed it. Throws 40001 where UPDATE would.
 */
extern ValueOutcome updater_reencrypt_row(RowUpdater *updater);

/* The same with another function of cipher.c. */
typedef ValueOutcome (*CipherFunction)(ColumnCipher *cipher, TupleTableSlot *slot,
									   ColumnChange *change);
extern ValueOutcome updater_update_row(RowUpdater *updater, CipherFunction function);

/* ---- identify.c ---- */

/* A value that is not NULL; false ends the scan. */
typedef bool (*IdentifyVisitor)(void *arg, Relation rel, CipherState state, const char *key_id,
								ItemPointer tid);

/* Visits every value of a relation that is locked, under the latest snapshot. */
extern void identify_values(Relation rel, const TargetColumn *target, IdentifyVisitor visit,
							void *arg);

/* ---- rotate.c ---- */

/* What a rotation did, in values. */
typedef struct RotateCounts
{
	int64 scanned;
	int64 rotated;
	int64 current;
	int64 nulls;
} RotateCounts;

/*
 * Locks a table and its children, checks that the caller may and dbcrypt can
 * work on the column, and resolves the target's number and AAD. Returns the
 * open relations that have rows of their own. With more than AccessShareLock,
 * no key is revoked before the transaction ends, even if nobody has registered
 * the column yet. Without a command the caller only reads, and the table may be
 * in use by the session.
 */
extern List *target_open(TargetColumn *target, LOCKMODE lockmode, const char *command);

/* ---- verify.c ---- */

/* Values of a column that are in one state under one key. */
typedef struct Tally
{
	CipherState state;
	char key_id[DBCRYPT_KEY_ID_LEN + 1]; /* "" for none */
	int64 values;
	int nexamples;
	char *examples[5]; /* places of what cannot be opened */
} Tally;

/* Counts a value in a list of Tally, which stays small. */
extern void tally_value(List **tallies, CipherState state, const char *key_id, Relation rel,
						ItemPointer tid);

/* Orders a list of Tally by state and key id. */
extern void tally_sort(List *tallies);

/* ---- doctor_worker.c ---- */

/* Registers the worker that runs dbcrypt_check() at start and after a reload. */
extern void doctor_worker_init(void);

#endif
