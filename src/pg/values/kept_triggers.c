/*
 * kept_triggers.c
 *		What is known of encrypting triggers, kept by the session from one statement to
 *		the next: to read the catalogs takes many times as long as to encrypt a value.
 *
 * It holds until something changes that it was made of: the relation or one above it,
 * the registry, functions, operators, casts or roles. A trigger that runs code of users
 * is kept for one statement only: such code may call the trigger again, and depends on
 * more than can be watched.
 */
#include "postgres.h"

#include "commands/trigger.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "nodes/pg_list.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

#include "columns/members.h"
#include "columns/registry_store.h"
#include "values/encrypt_trigger_setup.h"
#include "values/kept_triggers.h"

/* A session that writes to more relations forgets them all, and begins anew. */
#define MAX_KEPT 4096

typedef struct TriggerKey
{
	Oid trigger;
	Oid relid;
} TriggerKey;

typedef struct KeptTrigger
{
	TriggerKey key;
	MemoryContext context; /* NULL: nothing is kept */
	EncryptTrigger *trigger;
	List *relids;	 /* the relation and those above it */
	bool valid;		 /* none of them has changed */
	uint64 objects;	 /* objects_changes, */
	uint64 registry; /* registry_changes() and */
	Oid user;		 /* the user when it was prepared */
} KeptTrigger;

static HTAB *kept = NULL;

/* The one that was used last. */
static KeptTrigger *last = NULL;

/* Memory for one row, the same for all of them. */
static ExprContext *row_context = NULL;

/* How often relations and other objects changed, as far as this session has heard. */
static uint64 relations_changes = 1;
static uint64 objects_changes = 1;

/* Relation cache callback. */
static void
relation_changed(Datum arg, Oid relid)
{
	HASH_SEQ_STATUS all;
	KeptTrigger *self;

	relations_changes++;
	if (kept == NULL)
		return;
	hash_seq_init(&all, kept);
	while ((self = hash_seq_search(&all)) != NULL)
		if (relid == InvalidOid || list_member_oid(self->relids, relid))
			self->valid = false;
}

/* System cache callback: what an expression was made of has changed, perhaps. */
static void
object_changed(Datum arg, int cache, uint32 hash)
{
	objects_changes++;
}

void
kept_triggers_init(void)
{
	static const int caches[] = {PROCOID, OPEROID, CASTSOURCETARGET, AUTHOID, AUTHMEMROLEMEM};

	CacheRegisterRelcacheCallback(relation_changed, (Datum) 0);
	for (size_t i = 0; i < lengthof(caches); i++)
		CacheRegisterSyscacheCallback(caches[i], object_changed, (Datum) 0);
}

/* Whether what is known holds still, for this user. */
static bool
is_current(const KeptTrigger *self)
{
	return self->valid && self->objects == objects_changes &&
		   self->registry == registry_changes() &&
		   (!self->trigger->by_writer || self->user == GetUserId());
}

/* What is kept of the trigger that is called; NULL if that is nothing that holds. */
static EncryptTrigger *
find(const TriggerData *data)
{
	TriggerKey key = {data->tg_trigger->tgoid, RelationGetRelid(data->tg_relation)};

	if (last == NULL || last->key.trigger != key.trigger || last->key.relid != key.relid)
		last = kept ? hash_search(kept, &key, HASH_FIND, NULL) : NULL;
	return last && is_current(last) ? last->trigger : NULL;
}

/* Forgets what is kept of one trigger. */
static void
forget(KeptTrigger *self)
{
	if (self->context)
		MemoryContextDelete(self->context);
	self->context = NULL;
	self->valid = false;
	self->relids = NIL;
}

/* Makes the hash, or empties it if it is full. */
static void
make_room(void)
{
	HASHCTL control = {.keysize = sizeof(TriggerKey), .entrysize = sizeof(KeptTrigger)};
	HASH_SEQ_STATUS all;
	KeptTrigger *self;

	if (kept && hash_get_num_entries(kept) < MAX_KEPT)
		return;
	last = NULL;
	if (kept)
	{
		hash_seq_init(&all, kept);
		while ((self = hash_seq_search(&all)) != NULL)
			forget(self);
		hash_destroy(kept);
		kept = NULL;
	}
	kept = hash_create("dbcrypt triggers", 16, &control, HASH_ELEM | HASH_BLOBS);
}

/* Executor state for expressions that are prepared in the current memory context. */
static EState *
estate_here(void)
{
	EState *estate = makeNode(EState);

	if (row_context == NULL)
	{
		MemoryContext caller = MemoryContextSwitchTo(TopMemoryContext);

		row_context = CreateStandaloneExprContext();
		MemoryContextSwitchTo(caller);
	}
	estate->es_query_cxt = CurrentMemoryContext;
	estate->es_per_tuple_exprcontext = row_context;
	return estate;
}

/* Keeps a trigger that was prepared in the current memory context, with what it was made of. */
static EncryptTrigger *
keep(EncryptTrigger *trigger, const KeptTrigger *made_of)
{
	bool found;

	make_room();
	last = hash_search(kept, &made_of->key, HASH_ENTER, &found);
	if (found)
		forget(last);
	*last = *made_of;
	last->context = CurrentMemoryContext;
	last->trigger = trigger;
	MemoryContextSetParent(CurrentMemoryContext, TopMemoryContext);
	return trigger;
}

/* Keeps it for this statement only, with memory of its own for a row. */
static EncryptTrigger *
keep_for_statement(EncryptTrigger *trigger, FmgrInfo *call)
{
	trigger->codec.econtext = CreateStandaloneExprContext();
	MemoryContextSetParent(CurrentMemoryContext, call->fn_mcxt);
	call->fn_extra = trigger;
	return trigger;
}

/* Prepares the trigger that is called, and keeps it. */
static EncryptTrigger *
prepare(FmgrInfo *call, TriggerData *data)
{
	MemoryContext caller = CurrentMemoryContext;
	uint64 before = relations_changes;
	KeptTrigger made_of = {
		.key = {data->tg_trigger->tgoid, RelationGetRelid(data->tg_relation)},
		.objects = objects_changes,
		.registry = registry_changes(),
		.user = GetUserId(),
	};
	EncryptTrigger *trigger;

	MemoryContextSwitchTo(
		AllocSetContextCreate(CurrentMemoryContext, "dbcrypt trigger", 0, 4 * 1024, 8 * 1024));
	made_of.relids = column_ancestors(made_of.key.relid);
	trigger = encrypt_trigger_prepare(data, estate_here());
	made_of.valid = before == relations_changes;
	if (trigger->runs_user_code)
		trigger = keep_for_statement(trigger, call);
	else
		trigger = keep(trigger, &made_of);
	MemoryContextSwitchTo(caller);
	return trigger;
}

EncryptTrigger *
kept_trigger(FunctionCallInfo fcinfo, TriggerData *data, bool *first)
{
	static EncryptTrigger none = {0};
	EncryptTrigger *self = fcinfo->flinfo->fn_extra;

	*first = false;
	if (self == NULL)
	{
		AcceptInvalidationMessages();
		fcinfo->flinfo->fn_extra = &none;
	}
	else if (self->trigger == data->tg_trigger->tgoid &&
			 self->relid == RelationGetRelid(data->tg_relation))
		return self;
	self = find(data);
	if (self)
		return self;
	*first = true;
	return prepare(fcinfo->flinfo, data);
}
