-- Rotates a column to the primary key the way a careful operator does, and stops
-- at the first doubt:
--
--   psql -v ON_ERROR_STOP=1 -v table=public.people -v column=secret -f rotate.sql
--
-- Variables: table, column
--            aad     AAD expression, if the column is not registered yet
--            method  transaction (default): dbcrypt_rotate, in one transaction
--                    online: dbcrypt_rotate_online, while the application writes
--                    in_place: dbcrypt_rotate_in_place
--            accept  places that the revocation passes over, separated by commas:
--                    schema.table.column, whose values under an old key are lost;
--                    schema.table, where a table cannot be read
--            yes     1 takes the backup for granted, for unattended use
-- psql ends with 0 when every value is under the primary key, else with 3.
\ir start.sql
\if :{?method}
\else
	\set method transaction
\endif
SELECT set_config('runbook.method'::text, :'method'::text, false),
       :'method'::text = 'transaction'::text AS by_transaction,
       :'method'::text = 'online'::text AS by_online,
       :'method'::text = 'in_place'::text AS by_in_place
\gset
DO $$
BEGIN
	IF current_setting('runbook.method'::text) NOT IN
		('transaction'::text, 'online'::text, 'in_place'::text) THEN
		RAISE EXCEPTION 'stopped: method "%" is none of transaction, online, in_place',
			current_setting('runbook.method'::text);
	END IF;
END $$;

\ir check.sql

\echo
\echo '2. Dry run: every value is opened, nothing is written'
SELECT clock_timestamp() AS started
\gset
SELECT * FROM :"ext".dbcrypt_rotate(:'table'::regclass, :'column'::name,
                                    nullif(:'aad'::text, ''::text), true)
\gset dry_
SELECT :dry_scanned AS rows, :dry_rotated AS to_rotate, :dry_current AS under_primary,
       :dry_nulls AS nulls, pg_size_pretty(pg_table_size(:'table'::regclass)) AS table_size,
       date_trunc('milliseconds'::text, clock_timestamp() - :'started'::timestamptz)
           AS dry_run_took;
SELECT format('Rotating will take %s to %s: 5 to 20 times the dry run, as the disk allows.'::text,
              date_trunc('second'::text, took * 5::float8 + '1 s'::interval),
              date_trunc('second'::text, took * 20::float8 + '1 s'::interval)) AS estimate
  FROM (SELECT clock_timestamp() - :'started'::timestamptz AS took) AS dry_run
\gset
\echo :estimate

\ir confirm.sql

-- Every argument is spelt out, the defaults too: see start.sql.
\echo
\echo '4. Rotation'
\if :by_transaction
	SELECT * FROM :"ext".dbcrypt_rotate(:'table'::regclass, :'column'::name,
	                                    nullif(:'aad'::text, ''::text), false);
\endif
\if :by_online
	CALL :"ext".dbcrypt_rotate_online(:'table'::regclass, :'column'::name,
	    nullif(:'aad'::text, ''::text), 128::int, 1::float8, NULL::text, NULL::text, 1::int,
	    'stop'::text, NULL::int, NULL::bigint, NULL::bigint, NULL::bigint, NULL::bigint,
	    NULL::bigint);
\endif
\if :by_in_place
	CALL :"ext".dbcrypt_rotate_in_place(:'table'::regclass, :'column'::name,
	    nullif(:'aad'::text, ''::text), 256::int, 1::float8, NULL::text, NULL::text, 1::int,
	    'stop'::text, 10000::int, NULL::bigint, NULL::bigint, NULL::bigint, NULL::bigint,
	    NULL::bigint, NULL::bigint, NULL::bigint);
\endif

\ir verify.sql
DO $$
DECLARE
	old bigint := (SELECT sum("values")::bigint FROM pg_temp.runbook_verified
	                WHERE state = 'old'::text);
BEGIN
	IF old > 0::bigint THEN
		RAISE EXCEPTION 'stopped: % values are under an old key though the rotation is complete', old
			USING HINT = 'A session still encrypts under the old key: have the application connect '
				'again or reload its keys, then run this script again.';
	END IF;
END $$;

\ir revoke.sql

\echo 'Done: every value of' :place 'is under the primary key.'
