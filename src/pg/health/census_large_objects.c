/*
 * census_large_objects.c
 *		Reads the large objects for the census.
 *
 * A large object is stored in chunks of 2 kB. What may be the start of an envelope's
 * header at a chunk's end is searched again together with the next chunk.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "storage/large_object.h"
#include "utils/snapmgr.h"

#include "core/api/search.h"
#include "core/api/value.h"
#include "health/census_large_objects.h"
#include "health/census_result.h"
#include "health/census_rows.h"
#include "health/census_search.h"

#define FETCH_ROWS 256

/* The search in one large object after the other. */
typedef struct LargeObjectSearch
{
	CensusRelation *relation;
	Oid loid;
	int32 next_page;
	size_t kept; /* bytes of the previous chunks, at the start of buffer */
	uint8_t buffer[DBCRYPT_LONGEST_HEADER + LOBLKSIZE];
} LargeObjectSearch;

/* Counts an envelope of the large object at work. */
static void
count_envelope(LargeObjectSearch *search, const char *key_id)
{
	char example[16];
	CensusRow *row;

	if (!census_wants_key(search->relation->census, key_id))
		return;
	row = census_row(search->relation, InvalidAttrNumber, NULL, key_id, CENSUS_UNREGISTERED);
	row->values++;
	snprintf(example, sizeof(example), "%u", search->loid);
	census_add_example(search->relation, row, example);
}

/* Searches one chunk, and keeps its end. */
static void
search_chunk(LargeObjectSearch *search, Oid loid, int32 page, const uint8_t *data, size_t size)
{
	dbcrypt_found found = {0};
	char key_id[DBCRYPT_KEY_ID_LEN + 1];
	size_t kept;

	if (loid != search->loid || page != search->next_page)
		search->kept = 0;
	search->loid = loid;
	search->next_page = page + 1;
	if (page == 0 && dbcrypt_read_header(DBCRYPT_ENCODING_BINARY, data, search_whole_size(size),
										 key_id) == DBCRYPT_OK)
		count_envelope(search, key_id);
	memcpy(search->buffer + search->kept, data, size);
	size += search->kept;
	/* One that ends in what was kept has been counted before. */
	while (dbcrypt_search_envelope(search->buffer, size, found.end, &found))
		if (found.end > search->kept)
			count_envelope(search, found.key_id);
	kept = Min(size, DBCRYPT_LONGEST_HEADER);
	memmove(search->buffer, search->buffer + size - kept, kept);
	search->kept = kept;
}

/* Searches the chunk in a row of pg_largeobject. */
static void
search_row(LargeObjectSearch *search, HeapTuple row, TupleDesc desc)
{
	bool isnull;
	Oid loid = DatumGetObjectId(SPI_getbinval(row, desc, 1, &isnull));
	int32 page = DatumGetInt32(SPI_getbinval(row, desc, 2, &isnull));
	struct varlena *data = PG_DETOAST_DATUM_PACKED(SPI_getbinval(row, desc, 3, &isnull));
	size_t size = VARSIZE_ANY_EXHDR(data);

	if (size > LOBLKSIZE)
		ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED),
						errmsg("large object %u has a page of %zu bytes", loid, size)));
	search_chunk(search, loid, page, (const uint8_t *) VARDATA_ANY(data), size);
}

void
census_read_large_objects(void *arg)
{
	LargeObjectSearch *search = palloc0(sizeof(LargeObjectSearch));
	Portal portal;

	search->relation = arg;
	SPI_connect();
	portal = SPI_cursor_open_with_args(NULL,
									   "SELECT loid, pageno, data FROM pg_catalog.pg_largeobject "
									   "ORDER BY loid, pageno",
									   0, NULL, NULL, NULL, true, 0);
	do
	{
		CHECK_FOR_INTERRUPTS();
		SPI_cursor_fetch(portal, true, FETCH_ROWS);
		for (uint64 i = 0; i < SPI_processed; i++)
			search_row(search, SPI_tuptable->vals[i], SPI_tuptable->tupdesc);
		SPI_freetuptable(SPI_tuptable);
	} while (SPI_processed > 0);
	SPI_cursor_close(portal);
	SPI_finish();
}
