-- Included by the runbook scripts: variables, and names that nobody can capture.
--
-- The scripts run as a superuser in a database where others may create functions and
-- operators. So search_path holds pg_catalog alone, and the extension is called by its
-- schema (:"ext") with all arguments in their exact types: whoever may create in that
-- schema too could add a function with fewer.
\set ON_ERROR_STOP on
\set QUIET on
\set AUTOCOMMIT on
\set SHOW_CONTEXT never
\pset pager off
\pset footer off
\if :{?table}
\else
	\set table ''
\endif
\if :{?column}
\else
	\set column ''
\endif
\if :{?aad}
\else
	\set aad ''
\endif
\if :{?accept}
\else
	\set accept ''
\endif
\if :{?yes}
\else
	\set yes 0
\endif
SELECT pg_catalog.current_setting('search_path'::pg_catalog.text) AS callers_path
\gset
SET search_path = pg_catalog, pg_temp;
SELECT set_config('runbook.table'::text, :'table'::text, false),
       set_config('runbook.column'::text, :'column'::text, false)
\g /dev/null
DO $$
BEGIN
	IF current_setting('runbook.table'::text) = ''::text OR
		current_setting('runbook.column'::text) = ''::text THEN
		RAISE EXCEPTION 'stopped: no column is named'
			USING HINT = 'Call psql with -v table=schema.table -v column=column.';
	ELSIF pg_is_in_recovery() THEN
		RAISE EXCEPTION 'stopped: this server is a standby'
			USING HINT = 'Run the script on the primary server.';
	ELSIF NOT EXISTS (SELECT FROM pg_extension WHERE extname = 'dbcrypt'::name) THEN
		RAISE EXCEPTION 'stopped: database "%" has no dbcrypt extension', current_database()
			USING HINT = 'Connect to the right database, or run CREATE EXTENSION dbcrypt.';
	END IF;
END $$;
SELECT n.nspname AS ext
  FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace
 WHERE e.extname = 'dbcrypt'::name
\gset

-- The caller's search_path finds the table, and nothing else.
SELECT set_config('search_path'::text, :'callers_path'::text, false)
\g /dev/null
SELECT :'table'::pg_catalog.regclass::pg_catalog.oid AS relation
\gset
SET search_path = pg_catalog, pg_temp;
SELECT :'relation'::oid::regclass::text AS table,
       format('%s.%I'::text, :'relation'::oid::regclass, :'column'::text) AS place
\gset
SELECT set_config('runbook.place'::text, :'place'::text, false)
\g /dev/null
