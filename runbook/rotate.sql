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
--            yes     1 takes the backup for granted, for unattended use
-- psql ends with 0 when every value is under the primary key, else with 3.
\ir start.sql
\if :{?method}
\else
	\set method transaction
\endif
SELECT set_config('runbook.method', :'method', false) AS ignored,
       :'method' = 'transaction' AS by_transaction, :'method' = 'online' AS by_online,
       :'method' = 'in_place' AS by_in_place
\gset
DO $$
DECLARE
	method text := current_setting('runbook.method');
BEGIN
	IF method NOT IN ('transaction', 'online', 'in_place') THEN
		RAISE EXCEPTION 'stopped: method "%" is none of transaction, online, in_place', method;
	ELSIF method <> 'transaction' AND
		NOT EXISTS (SELECT FROM pg_proc WHERE proname = 'dbcrypt_rotate_' || method) THEN
		RAISE EXCEPTION 'stopped: this version of dbcrypt has no method "%"', method;
	END IF;
END $$;

\ir check.sql

\echo
\echo '2. Dry run: every value is opened, nothing is written'
SELECT clock_timestamp() AS started
\gset
SELECT * FROM dbcrypt_rotate(:'table', :'column', nullif(:'aad', ''), dry_run => true)
\gset dry_
SELECT :dry_scanned AS rows, :dry_rotated AS to_rotate, :dry_current AS under_primary,
       :dry_nulls AS nulls, pg_size_pretty(pg_table_size(:'table')) AS table_size,
       date_trunc('milliseconds', clock_timestamp() - :'started') AS dry_run_took;
SELECT format('Rotating will take %s to %s: 5 to 20 times the dry run, as the disk allows.',
              date_trunc('second', 5 * took) + interval '1 s',
              date_trunc('second', 20 * took) + interval '1 s') AS estimate
  FROM (SELECT clock_timestamp() - :'started' AS took) AS dry_run
\gset
\echo :estimate

\ir confirm.sql

\echo
\echo '4. Rotation'
\if :by_transaction
	SELECT * FROM dbcrypt_rotate(:'table', :'column', nullif(:'aad', ''));
\endif
\if :by_online
	CALL dbcrypt_rotate_online(:'table', :'column', nullif(:'aad', ''));
\endif
\if :by_in_place
	CALL dbcrypt_rotate_in_place(:'table', :'column', nullif(:'aad', ''));
\endif

\ir verify.sql
DO $$
DECLARE
	old bigint := (SELECT sum("values") FROM pg_temp.runbook_verified WHERE state = 'old');
BEGIN
	IF old > 0 THEN
		RAISE EXCEPTION 'stopped: % values are under an old key though the rotation is complete', old
			USING HINT = 'A session still encrypts under the old key: have the application connect '
				'again or reload its keys, then run this script again.';
	END IF;
END $$;

\echo
\echo '6. Revocation of the keys that came before the primary one'
DO $$
DECLARE
	key record;
	used_at text;
BEGIN
	FOR key IN
		SELECT k.key_id, k.created_at > p.created_at AS is_newer
		  FROM dbcrypt_keys k, dbcrypt_keys p
		 WHERE k.revoked_at IS NULL AND k.key_id <> p.key_id
		   AND p.key_id = (SELECT key_id FROM dbcrypt_key_status WHERE is_primary)
		 ORDER BY k.created_at, k.key_id
	LOOP
		IF key.is_newer THEN
			RAISE NOTICE 'kept key %: it was registered after the primary key', key.key_id
				USING HINT = format('SELECT dbcrypt_revoke_key(%L) revokes it.', key.key_id);
			CONTINUE;
		END IF;
		BEGIN
			PERFORM dbcrypt_revoke_key(key.key_id);
			RAISE NOTICE 'revoked key %', key.key_id;
		EXCEPTION WHEN object_in_use THEN
			GET STACKED DIAGNOSTICS used_at = PG_EXCEPTION_DETAIL;
			RAISE NOTICE 'kept key %: it is still in use', key.key_id
				USING DETAIL = used_at, HINT = 'Rotate that column too.';
		END;
		COMMIT;	-- gives the tables back to their writers
	END LOOP;
END $$;

\echo
\echo '7. What is left to do by hand'
SELECT format('Take key %s out of the key file or the configuration.', key_id) AS "to do"
  FROM dbcrypt_key_status WHERE revoked_at IS NOT NULL AND is_loaded
 UNION ALL
SELECT 'Before that, rotate what else uses the key: other databases of this server, applications.'
 UNION ALL
SELECT 'Keep the key, apart from the server, as long as a backup is kept that holds values under it.';
\echo 'Done: every value is under the primary key.'
