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

-- Functions that return one column more than this library knows: an error that says so.
DO $$
DECLARE
  function record;
  call text;
BEGIN
  FOR function IN
    SELECT 'newer_' || p.prosrc AS name, pg_get_function_arguments(p.oid) AS arguments,
           p.proretset, p.probin, p.prosrc
    FROM pg_proc p JOIN pg_depend d ON d.objid = p.oid AND d.deptype = 'e'
         JOIN pg_extension e ON e.oid = d.refobjid AND e.extname = 'dbcrypt'
    WHERE 'o' = ANY (p.proargmodes) AND p.prokind = 'f' AND p.probin IS NOT NULL
  LOOP
    EXECUTE format('CREATE FUNCTION %s(%s, OUT extra text) RETURNS %s record '
                   'AS %L, %L LANGUAGE C', function.name, function.arguments,
                   CASE WHEN function.proretset THEN 'SETOF' END, function.probin,
                   function.prosrc);
  END LOOP;
  FOREACH call IN ARRAY ARRAY['dbcrypt_register_keys()', 'dbcrypt_loaded_keys()',
    'dbcrypt_progress_rows()', $call$dbcrypt_rotate('newer', 'renamed')$call$,
    'dbcrypt_rotate_all()', $call$dbcrypt_encrypt_column('newer', 'renamed')$call$,
    $call$dbcrypt_verify('newer', 'renamed')$call$, 'dbcrypt_verify_all()',
    'dbcrypt_check()', 'dbcrypt_census()', $call$dbcrypt_databases('01234567890123')$call$,
    $call$dbcrypt_adopt_tooljet('public')$call$]
  LOOP
    BEGIN
      EXECUTE 'SELECT * FROM newer_' || call;
      RAISE NOTICE '% works', call;
    EXCEPTION WHEN datatype_mismatch THEN
      RAISE NOTICE '%', SQLERRM;
    END;
  END LOOP;
END $$;
ROLLBACK;
