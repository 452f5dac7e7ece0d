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
SELECT * FROM :"ext".dbcrypt_encrypt_column(:'table'::regclass, :'column'::name,
                                            nullif(:'aad'::text, ''::text), true)
\gset dry_
SELECT :dry_scanned AS rows, :dry_encrypted AS to_encrypt, :dry_already AS encrypted_already,
       :dry_nulls AS nulls, pg_size_pretty(pg_table_size(:'table'::regclass)) AS table_size,
       date_trunc('milliseconds'::text, clock_timestamp() - :'started'::timestamptz)
           AS dry_run_took;
SELECT format('The table will be locked for %s to %s: 3 to 20 times the dry run, as the disk allows.'::text,
              date_trunc('second'::text, took * 3::float8 + '1 s'::interval),
              date_trunc('second'::text, took * 20::float8 + '1 s'::interval)) AS estimate
  FROM (SELECT clock_timestamp() - :'started'::timestamptz AS took) AS dry_run
\gset
\echo :estimate

\ir confirm.sql

\echo
\echo '4. Encryption'
SELECT * FROM :"ext".dbcrypt_encrypt_column(:'table'::regclass, :'column'::name,
                                            nullif(:'aad'::text, ''::text), false);

\ir verify.sql

\echo
\echo '6. What is left to do by hand'
SELECT format('Encrypt what the application writes: it calls dbcrypt_encrypt(), or run '
              'CREATE TRIGGER zz_encrypt BEFORE INSERT OR UPDATE ON %s FOR EACH ROW '
              'EXECUTE FUNCTION %I.dbcrypt_encrypt_trigger(%s);'::text, :'table'::regclass,
              :'ext'::text,
              concat_ws(', '::text, quote_literal(:'column'::text),
                        quote_literal(nullif(:'aad'::text, ''::text)))) AS "to do"
 UNION ALL
SELECT 'Backups and archived WAL made until now hold the plaintext: keep them as it must be kept, '
       'or take a new backup and delete them.'::text
 UNION ALL
SELECT 'Include the key file in a backup of its own. Without the keys every value is lost.'::text;
\echo 'Done: every value of' :place 'is encrypted.'
