/*
 * adopt_read.c
 *		What adoption reads of a column before it is registered.
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/tableam.h"
#include "storage/bufmgr.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "applications/adopt_read.h"
#include "core/api/scheme.h"
#include "rows/column_scan.h"
#include "values/codec_inspect.h"

/* All values are read of relations that have as many blocks, with what is out of line. */
#define READ_ALL_BLOCKS (128 * 1024 * 1024 / BLCKSZ)

/* Of larger ones, as many blocks are read: fewer where most is out of line. */
#define SAMPLE_BLOCKS 2000
#define SAMPLE_BLOCKS_LEAST 16

/* The reading of one column. The blocks of its relations are numbered through. */
typedef struct Reading
{
	const TargetColumn *target;
	uint64 blocks; /* of all relations */
	uint64 sample; /* how many of these are read */
	uint64 taken;  /* of these, how many have been chosen */
	bool bad;	   /* the row at work has a value that does not decrypt */
	AdoptedValues result;
} Reading;

/* Blocks of the values that a relation keeps out of line. */
static BlockNumber
toast_blocks(Relation rel)
{
	Relation toast;
	BlockNumber blocks;

	if (!OidIsValid(rel->rd_rel->reltoastrelid))
		return 0;
	toast = relation_open(rel->rd_rel->reltoastrelid, AccessShareLock);
	blocks = RelationGetNumberOfBlocks(toast);
	relation_close(toast, NoLock);
	return blocks;
}

/* Decides how many blocks are read. */
static void
plan_reading(Reading *reading, const List *members)
{
	uint64 out_of_line = 0;
	uint64 affordable;
	ListCell *cell;

	foreach(cell, members)
	{
		reading->blocks += RelationGetNumberOfBlocks((Relation) lfirst(cell));
		out_of_line += toast_blocks(lfirst(cell));
	}
	reading->sample = reading->blocks;
	if (reading->blocks + out_of_line <= READ_ALL_BLOCKS)
		return;
	affordable = READ_ALL_BLOCKS * reading->blocks / (reading->blocks + out_of_line);
	affordable = Max(SAMPLE_BLOCKS_LEAST, Min(SAMPLE_BLOCKS, affordable));
	reading->sample = Min(reading->blocks, affordable);
	reading->result.sampled = reading->sample < reading->blocks;
}

/* The number of the next block to read: the first is the first, the last the last. */
static uint64
next_block(const Reading *reading)
{
	if (reading->taken >= reading->sample)
		return PG_UINT64_MAX;
	return reading->taken * (reading->blocks - 1) / Max(reading->sample - 1, 1);
}

/* Notes a value of the row at work, as a ValueVisitor. */
static void
note_value(void *arg, ValueState state, const char *key_id)
{
	Reading *reading = arg;

	if (state == STATE_PRIMARY || state == STATE_OLD)
		reading->result.opened++;
	else if (state != STATE_PLAINTEXT)
		reading->bad = true;
}

/*
 * Whether the row's companion is an iv of AES-CBC: 16 bytes, or their base64 and a
 * line feed. GCM's has 12.
 */
static bool
looks_like_cbc(ColumnScan *scan)
{
	bool isnull;
	Datum iv;

	if (scan->codec.companion_attnum == InvalidAttrNumber)
		return false;
	iv = slot_getattr(scan->row, scan->codec.companion_attnum, &isnull);
	if (isnull)
		return false;
	return VARSIZE_ANY_EXHDR(PG_DETOAST_DATUM_PACKED(iv)) ==
		   (scan->codec.encoding == DBCRYPT_ENCODING_BINARY ? 16 : 25);
}

/* What to look at where a value does not decrypt. */
static const char *
hint_of(const dbcrypt_scheme_traits *traits)
{
	if (traits->names_key)
		return "See that the key it names is in dbcrypt.key_file.";
	return psprintf("It does not say which key it is under: see that the application's key is in "
					"dbcrypt.key_file%s%s. Rows that hold no encrypted value are left out by the "
					"option where.",
					traits->hkdf ? ", that the options table and attribute are the names which "
								   "its key is derived with"
								 : "",
					traits->aad ? ", that the option aad gives the bytes it is bound to" : "");
}

/* Refuses to adopt a column because of a value of the row at work. */
pg_noreturn static void
refuse_row(ColumnScan *scan, const TargetColumn *target)
{
	bool cbc = looks_like_cbc(scan);

	ereport(
		ERROR,
		(errcode(ERRCODE_DATA_EXCEPTION),
		 errmsg("cannot adopt column \"%s\" of table \"%s\": a value does not decrypt",
				target->name, RelationGetRelationName(scan->rel)),
		 errdetail("Table %s, row (%u,%u).%s", scan->table_name,
				   ItemPointerGetBlockNumber(&scan->tid), ItemPointerGetOffsetNumber(&scan->tid),
				   cbc ? " Its iv is one of AES-256-CBC." : ""),
		 cbc ? errhint("Adopt it with scheme attr_encrypted_cbc, or attr_encrypted_cbc_unsalted if "
					   "there is no salt column.")
			 : errhint("%s", hint_of(dbcrypt_scheme_traits_of(target->scheme)))));
}

/* Decrypts the values of one row; refuses one that does not decrypt. */
static bool
read_row(ColumnScan *scan, void *arg)
{
	Reading *reading = arg;

	codec_examine(&scan->codec, scan->row, note_value, reading);
	if (reading->bad)
		refuse_row(scan, reading->target);
	return true;
}

/* Refuses a column whose type is not one of the scheme's. */
static void
check_type(const ColumnScan *scan, const TargetColumn *target)
{
	const dbcrypt_scheme_traits *traits = dbcrypt_scheme_traits_of(target->scheme);

	if (scan->codec.encoding == DBCRYPT_ENCODING_TEXT ? traits->text : traits->binary)
		return;
	ereport(ERROR, (errcode(ERRCODE_DATATYPE_MISMATCH),
					errmsg("column \"%s\" of table \"%s\" is not %s", target->name,
						   RelationGetRelationName(scan->rel), traits->text ? "text" : "bytea"),
					errdetail("Values of scheme %s are %s.", traits->name,
							  traits->text ? "text" : "bytea")));
}

/* Reads those of a relation's blocks that are chosen; first is the number of its first. */
static void
read_relation(Reading *reading, Relation rel, uint64 first)
{
	uint64 end = first + RelationGetNumberOfBlocks(rel);
	bool whole = !reading->result.sampled || rel->rd_tableam->scan_set_tidrange == NULL;
	ColumnScan scan;

	column_scan_begin(&scan, rel, reading->target);
	check_type(&scan, reading->target);
	if (whole)
		column_scan_rows(&scan, GetActiveSnapshot(), read_row, reading);
	for (; next_block(reading) < end; reading->taken++)
		if (!whole)
			column_scan_blocks(&scan, GetActiveSnapshot(),
							   (BlockNumber) (next_block(reading) - first), 1, read_row, reading);
	column_scan_end(&scan);
}

AdoptedValues
adopt_read(const List *members, const TargetColumn *target)
{
	Reading reading = {.target = target};
	uint64 first = 0;
	ListCell *cell;

	plan_reading(&reading, members);
	foreach(cell, members)
	{
		Relation rel = lfirst(cell);
		BlockNumber blocks = RelationGetNumberOfBlocks(rel);

		read_relation(&reading, rel, first);
		first += blocks;
	}
	return reading.result;
}
