-- The extension's tables as a newer or older script may make them: more columns, and
-- columns that are missing. This library works or says what it misses.
LOAD 'dbcrypt';
SET dbcrypt.key_file = '';
SET dbcrypt.keys = '0101010101010101010101010101010101010101010101010101010101010101';
BEGIN;
CREATE EXTENSION IF NOT EXISTS dbcrypt;
SELECT count(*) > 0 AS registered FROM dbcrypt_register_keys();
CREATE TABLE newer (id int, secret text);
INSERT INTO newer SELECT i, dbcrypt_encrypt('value ' || i) FROM generate_series(1, 3) i;
SELECT dbcrypt_register_column('newer', 'secret');

-- Sixty more columns of all sizes in each table, some with a default.
DO $$
BEGIN
  FOR i IN 1..60 LOOP
    EXECUTE format('ALTER TABLE dbcrypt_keys ADD COLUMN extra%s text DEFAULT %L', i,
                   CASE WHEN i % 2 = 0 THEN repeat('x', 100) END);
    EXECUTE format('ALTER TABLE dbcrypt_columns ADD COLUMN extra%s text DEFAULT %L', i,
                   CASE WHEN i % 2 = 0 THEN repeat('x', 100) END);
  END LOOP;
END $$;
SELECT dbcrypt_decrypt(dbcrypt_encrypt('still works'));
SELECT is_primary, is_loaded, is_registered, canary_ok FROM dbcrypt_key_status WHERE is_primary;
SELECT state, "values" FROM dbcrypt_verify('newer', 'secret');
ALTER TABLE newer RENAME COLUMN secret TO renamed;
SELECT "column" FROM dbcrypt_columns WHERE "table" = 'newer';
SELECT dbcrypt_rotate('newer', 'renamed');
SELECT dbcrypt_unregister_column('newer', 'renamed');
SELECT dbcrypt_register_column('newer', 'renamed');

-- Columns may stand elsewhere: found by name.
ALTER TABLE dbcrypt_columns DROP COLUMN aad;
ALTER TABLE dbcrypt_columns ADD COLUMN aad text;
SELECT state, "values" FROM dbcrypt_verify('newer', 'renamed');

-- A column that is missing, or of another type, is named.
SAVEPOINT s;
ALTER TABLE dbcrypt_columns DROP COLUMN aad;
SELECT state, "values" FROM dbcrypt_verify('newer', 'renamed');
ROLLBACK TO s;
ALTER TABLE dbcrypt_columns ALTER COLUMN options DROP DEFAULT,
                            ALTER COLUMN options TYPE text;
SELECT state, "values" FROM dbcrypt_verify('newer', 'renamed');
ROLLBACK TO s;
ALTER TABLE dbcrypt_columns DROP COLUMN "column" CASCADE; -- DDL needs it
ROLLBACK TO s;
ALTER TABLE dbcrypt_columns ALTER COLUMN options DROP NOT NULL;
UPDATE dbcrypt_columns SET options = NULL;
SELECT state, "values" FROM dbcrypt_verify('newer', 'renamed');
ROLLBACK TO s;
ALTER TABLE dbcrypt_keys DROP COLUMN canary;
SELECT dbcrypt_encrypt('value');
ROLLBACK TO s;
SELECT dbcrypt_decrypt(dbcrypt_encrypt('still works'));
ROLLBACK;
