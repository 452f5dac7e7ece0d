-- Included by the runbook scripts: variables, and the extension in search_path.
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
\if :{?yes}
\else
	\set yes 0
\endif
SELECT set_config('runbook.table', :'table', false) AS ignored,
       set_config('runbook.column', :'column', false) AS ignored
\gset
DO $$
BEGIN
	IF current_setting('runbook.table') = '' OR current_setting('runbook.column') = '' THEN
		RAISE EXCEPTION 'stopped: no column is named'
			USING HINT = 'Call psql with -v table=schema.table -v column=column.';
	ELSIF pg_is_in_recovery() THEN
		RAISE EXCEPTION 'stopped: this server is a standby'
			USING HINT = 'Run the script on the primary server.';
	ELSIF NOT EXISTS (SELECT FROM pg_extension WHERE extname = 'dbcrypt') THEN
		RAISE EXCEPTION 'stopped: database "%" has no dbcrypt extension', current_database()
			USING HINT = 'Connect to the right database, or run CREATE EXTENSION dbcrypt.';
	END IF;
END $$;
SELECT set_config('search_path',
                  concat_ws(', ', nullif(current_setting('search_path'), ''), quote_ident(nspname)),
                  false) AS ignored
  FROM pg_extension JOIN pg_namespace n ON n.oid = extnamespace
 WHERE extname = 'dbcrypt'
\gset
