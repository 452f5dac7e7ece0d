/*
 * no_postgres.h
 *		Stops the compiler if a PostgreSQL header was included. Every .cpp file of the
 *		core includes this last.
 *
 * PostgreSQL's errors are longjmps. They would skip the destructors that wipe keys,
 * so the core must not call PostgreSQL.
 */
#if defined(POSTGRES_H) || defined(C_H) || defined(FMGR_H) || defined(PG_VERSION_NUM)
#error "src/core must not include PostgreSQL headers"
#endif
