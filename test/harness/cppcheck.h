/* What cppcheck must know of PostgreSQL's macros, without its headers. */
#define ERROR 21
#define WARNING 19
#define NOTICE 18
#define LOG 15
#define ereport(elevel, ...)   \
	do                         \
	{                          \
		if ((elevel) >= ERROR) \
			abort();           \
	} while (0)
#define elog(elevel, ...)      \
	do                         \
	{                          \
		if ((elevel) >= ERROR) \
			abort();           \
	} while (0)
#define foreach(cell, list) for ((cell) = list_head(list); (cell); (cell) = lnext((list), (cell)))
#define PG_FUNCTION_INFO_V1(name)
#define PG_MODULE_MAGIC
#define PG_TRY() if (1)
#define PG_CATCH() else
#define PG_FINALLY()
#define PG_END_TRY() (void) 0
#define PG_RE_THROW() abort()
#define PG_USED_FOR_ASSERTS_ONLY
#define pg_attribute_noreturn()
