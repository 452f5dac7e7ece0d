/*
 * no_postgres.h
 *		Included last by every file of the core: no PostgreSQL header may be in sight.
 *
 * A longjmp out of PostgreSQL would skip the destructors that wipe keys, so
 * nothing here may be able to call it.
 */
#if defined(POSTGRES_H) || defined(C_H) || defined(FMGR_H) || defined(PG_VERSION_NUM)
#error "src/core must not include PostgreSQL headers"
#endif
