-- The extension in a schema of its own; nothing depends on search_path.
\set key1 0101010101010101010101010101010101010101010101010101010101010101
\set key2 0202020202020202020202020202020202020202020202020202020202020202
\set both :key2 ',' :key1
LOAD 'dbcrypt';
SET dbcrypt.key_file = '';
SET dbcrypt.keys = :'key1';
CREATE SCHEMA "Crypt x";
CREATE SCHEMA regress_dbcrypt_evil;
CREATE EXTENSION dbcrypt SCHEMA "Crypt x";

-- Decoys in the search_path.
CREATE TABLE regress_dbcrypt_evil.dbcrypt_keys (LIKE "Crypt x".dbcrypt_keys);
CREATE TABLE regress_dbcrypt_evil.dbcrypt_columns (LIKE "Crypt x".dbcrypt_columns);
CREATE FUNCTION regress_dbcrypt_evil.now() RETURNS timestamptz LANGUAGE plpgsql AS $$ BEGIN RAISE 'decoy'; END $$;
CREATE FUNCTION regress_dbcrypt_evil.never(text, text) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE 'decoy'; END $$;
CREATE OPERATOR regress_dbcrypt_evil.= (FUNCTION = regress_dbcrypt_evil.never, LEFTARG = text, RIGHTARG = text);
CREATE TEMP TABLE dbcrypt_keys (LIKE "Crypt x".dbcrypt_keys);
CREATE TEMP TABLE dbcrypt_columns (LIKE "Crypt x".dbcrypt_columns);
SET search_path = regress_dbcrypt_evil, pg_temp, pg_catalog;

SELECT * FROM "Crypt x".dbcrypt_register_keys();
CREATE TABLE public.tokens (id int, v text);
INSERT INTO public.tokens SELECT n, "Crypt x".dbcrypt_encrypt('v' || n, n::text) FROM generate_series(1, 3) n;
SET dbcrypt.keys = :'both';
SELECT * FROM "Crypt x".dbcrypt_register_keys();
SELECT * FROM "Crypt x".dbcrypt_rotate('public.tokens', 'v', 'id');
SELECT "table", "column", aad FROM "Crypt x".dbcrypt_columns;
ALTER TABLE public.tokens RENAME COLUMN v TO w;
SELECT "table", "column", aad FROM "Crypt x".dbcrypt_columns;
SELECT "table", "column", scanned, rotated, current, nulls FROM "Crypt x".dbcrypt_rotate_all();
SELECT "Crypt x".dbcrypt_revoke_key('72cd6e8422c407');
SELECT key_id, is_primary, is_loaded, is_registered, revoked_at IS NOT NULL AS revoked, canary_ok FROM "Crypt x".dbcrypt_key_status;
SELECT "Crypt x".dbcrypt_reinstate_key('72cd6e8422c407');
SELECT "Crypt x".dbcrypt_decrypt(w, id::text) FROM public.tokens;
SELECT "Crypt x".dbcrypt_unregister_column('public.tokens', 'w');
SELECT "Crypt x".dbcrypt_register_column('public.tokens', 'w', 'id');
SELECT (SELECT count(*) FROM regress_dbcrypt_evil.dbcrypt_keys), (SELECT count(*) FROM regress_dbcrypt_evil.dbcrypt_columns),
       (SELECT count(*) FROM pg_temp.dbcrypt_keys), (SELECT count(*) FROM pg_temp.dbcrypt_columns);
DROP TABLE public.tokens;
SELECT count(*) FROM "Crypt x".dbcrypt_columns;
RESET search_path;

-- It cannot be moved, but its schema can be renamed.
ALTER EXTENSION dbcrypt SET SCHEMA public;
ALTER SCHEMA "Crypt x" RENAME TO regress_dbcrypt_moved;
SELECT regress_dbcrypt_moved.dbcrypt_decrypt(regress_dbcrypt_moved.dbcrypt_encrypt('secret'));
SELECT count(*) FROM regress_dbcrypt_moved.dbcrypt_key_status;

-- Dropped with its schema it warns, too, of what is forgotten.
BEGIN;
SELECT regress_dbcrypt_moved.dbcrypt_revoke_key('72cd6e8422c407');
DROP SCHEMA regress_dbcrypt_evil CASCADE;
DROP SCHEMA regress_dbcrypt_moved CASCADE;
ROLLBACK;
SET client_min_messages = warning;
DROP EXTENSION dbcrypt;
DROP SCHEMA regress_dbcrypt_evil, regress_dbcrypt_moved CASCADE;
