-- Encrypts a plaintext column the way a careful operator does, and stops at the
-- first doubt:
--
--   psql -v ON_ERROR_STOP=1 -v table=public.people -v column=secret \
--        -v aad='id::text' -f first_encryption.sql
--
-- Variables: table, column
--            aad     AAD expression that binds a value to its row; none by default
--            yes     1 takes the backup for granted, for unattended use
-- The table is locked while it is rewritten. psql ends with 0 when every value is
-- encrypted, else with 3.
\ir start.sql
\ir check.sql

\echo
\echo '2. Dry run: what would be encrypted; nothing is written'
SELECT clock_timestamp() AS started
\gset
SELECT * FROM dbcrypt_encrypt_column(:'table', :'column', nullif(:'aad', ''), dry_run => true)
\gset dry_
SELECT :dry_scanned AS rows, :dry_encrypted AS to_encrypt, :dry_already AS encrypted_already,
       :dry_nulls AS nulls, pg_size_pretty(pg_table_size(:'table')) AS table_size,
       date_trunc('milliseconds', clock_timestamp() - :'started') AS dry_run_took;
SELECT format('The table will be locked for %s to %s: 3 to 20 times the dry run, as the disk allows.',
              date_trunc('second', 3 * took) + interval '1 s',
              date_trunc('second', 20 * took) + interval '1 s') AS estimate
  FROM (SELECT clock_timestamp() - :'started' AS took) AS dry_run
\gset
\echo :estimate

\ir confirm.sql

\echo
\echo '4. Encryption'
SELECT * FROM dbcrypt_encrypt_column(:'table', :'column', nullif(:'aad', ''));

\ir verify.sql

\echo
\echo '6. What is left to do by hand'
SELECT format('Encrypt what the application writes: it calls dbcrypt_encrypt(), or run '
              'CREATE TRIGGER dbcrypt_encrypt BEFORE INSERT OR UPDATE ON %s FOR EACH ROW '
              'EXECUTE FUNCTION dbcrypt_encrypt_trigger(%s);', :'table'::regclass,
              concat_ws(', ', quote_literal(:'column'), quote_literal(nullif(:'aad', '')))) AS "to do"
 UNION ALL
SELECT 'Backups and archived WAL made until now hold the plaintext: keep them as it must be kept, '
       'or take a new backup and delete them.'
 UNION ALL
SELECT 'Include the key file in a backup of its own. Without the keys every value is lost.';
\echo 'Done: every value is encrypted.'
