-- dbcrypt_check: every finding that SQL can bring about. In a database of its
-- own, because it looks at every table.
CREATE DATABASE dbcrypt_checkdb TEMPLATE template0 ENCODING 'UTF8';
\c dbcrypt_checkdb
CREATE EXTENSION dbcrypt;
\set key1 '101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f'
\set key2 '202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f'
\set key3 '303132333435363738393a3b3c3d3e3f404142434445464748494a4b4c4d4e4f'
\set keys12 :key1 ',' :key2
\set keys21 :key2 ',' :key1
SET dbcrypt.key_file = '';
SET dbcrypt.allow_weak_keys = off;

-- Nothing is encrypted here yet.
SELECT * FROM dbcrypt_check();
SET dbcrypt.keys = :'key1';
SELECT * FROM dbcrypt_check();
SELECT count(*) FROM dbcrypt_register_keys();
SELECT * FROM dbcrypt_check();

-- Keys exist and none is loaded.
SET dbcrypt.keys = '';
SELECT * FROM dbcrypt_check();

-- Encrypted values that nobody registered: by sample, once per partitioned table.
SET dbcrypt.keys = :'key1';
CREATE SCHEMA "Odd";
CREATE TABLE "Odd"."T" (id int, "S" text, v varchar(200), b bytea, n int);
INSERT INTO "Odd"."T" SELECT i FROM generate_series(1, 200) i;
INSERT INTO "Odd"."T" VALUES
	(0, dbcrypt_encrypt('x'), dbcrypt_encrypt('y'), dbcrypt_encrypt('\x00'::bytea), 1);
CREATE TABLE parts (id int, s text) PARTITION BY LIST (id);
CREATE TABLE part1 PARTITION OF parts FOR VALUES IN (1);
CREATE TABLE part2 PARTITION OF parts FOR VALUES IN (2);
INSERT INTO parts VALUES (1, dbcrypt_encrypt('x')), (2, dbcrypt_encrypt('y'));
CREATE TABLE harmless (s text, b bytea);
INSERT INTO harmless VALUES ('dbc1', '\x75b735'), ('text', '\x00');
SELECT * FROM dbcrypt_check();
SELECT dbcrypt_register_column('"Odd"."T"', 'S'), dbcrypt_register_column('"Odd"."T"', 'v'),
	dbcrypt_register_column('"Odd"."T"', 'b'), dbcrypt_register_column('parts', 's');
SELECT * FROM dbcrypt_check();

-- A new primary key: not registered, then values under the old one.
SET dbcrypt.keys = :'keys21';
SELECT * FROM dbcrypt_check() WHERE severity = 'error';
SELECT count(*) FROM dbcrypt_register_keys();
SELECT * FROM dbcrypt_check();

-- The old key is gone though values need it.
SET dbcrypt.keys = :'key2';
SELECT * FROM dbcrypt_check();

-- Plaintext in a registered column, and a newer format.
SET dbcrypt.keys = :'keys12';
UPDATE "Odd"."T" SET "S" = 'clear' WHERE id < 4;
UPDATE "Odd"."T" SET b = overlay(b PLACING '\x01'::bytea FROM 12) WHERE b IS NOT NULL;
SELECT * FROM dbcrypt_check();
DELETE FROM "Odd"."T" WHERE id < 4;

-- A revoked key that is loaded, that values use, and that is primary.
SET dbcrypt.keys = :'keys21';
-- By hand, as values under it remain.
UPDATE dbcrypt_keys SET revoked_at = now() WHERE key_id IN
	(SELECT key_id FROM dbcrypt_key_status WHERE is_loaded AND NOT is_primary);
SELECT * FROM dbcrypt_check();
SET dbcrypt.keys = :'keys12';
SELECT * FROM dbcrypt_check();
SELECT dbcrypt_reinstate_key(key_id) FROM dbcrypt_key_status WHERE revoked_at IS NOT NULL;
SELECT * FROM dbcrypt_check();

-- A canary that its key does not open.
CREATE TEMP TABLE saved AS SELECT * FROM dbcrypt_keys;
UPDATE dbcrypt_keys SET canary = overlay(canary PLACING 'AAAA' FROM 30) FROM dbcrypt_key_status s
	WHERE s.key_id = dbcrypt_keys.key_id AND s.is_primary;
SELECT * FROM dbcrypt_check();
UPDATE dbcrypt_keys k SET canary = s.canary FROM saved s WHERE s.key_id = k.key_id;
SELECT * FROM dbcrypt_check();

-- A key source that cannot be read is a finding, and the others follow it.
CREATE TABLE late (s text);
INSERT INTO late VALUES (dbcrypt_encrypt('x'));
SET dbcrypt.key_file = '/nonexistent/keys';
SELECT * FROM dbcrypt_check();
SET dbcrypt.key_file = '';
DROP TABLE late;

-- An AAD expression that a change to the table broke.
CREATE TABLE bound (id int, s text);
SELECT dbcrypt_register_column('bound', 's', 'id::text');
ALTER EVENT TRIGGER dbcrypt_columns_prepare DISABLE; -- it would refuse
ALTER TABLE bound RENAME id TO number;
ALTER EVENT TRIGGER dbcrypt_columns_prepare ENABLE ALWAYS;
SELECT * FROM dbcrypt_check();
DROP TABLE bound;

-- An expression that makes the session read its keys again.
CREATE TABLE adopted (s text);
CREATE FUNCTION sets() RETURNS boolean LANGUAGE sql STABLE SET dbcrypt.key_file = '' AS 'SELECT true';
SELECT dbcrypt_adopt('adopted', 's', 'lockbox', '{"where": "public.sets()"}');
INSERT INTO adopted VALUES ('damaged');
CREATE TABLE old (s text);
SELECT dbcrypt_register_column('old', 's');
SET dbcrypt.keys = :'keys21';
INSERT INTO old VALUES (dbcrypt_encrypt('x'));
SET dbcrypt.keys = :'keys12';
SELECT subject, finding FROM dbcrypt_check() WHERE subject IN ('column public.adopted.s', 'column public.old.s');
DROP TABLE adopted, old;

-- Triggers as pg_restore --disable-triggers leaves them.
CREATE TABLE written (s text);
CREATE TRIGGER encrypt BEFORE INSERT OR UPDATE ON written FOR EACH ROW EXECUTE FUNCTION dbcrypt_encrypt_trigger('s');
SELECT * FROM dbcrypt_check() WHERE subject LIKE '%trigger%';
ALTER TABLE dbcrypt_keys DISABLE TRIGGER ALL;
ALTER TABLE dbcrypt_keys ENABLE TRIGGER ALL;
ALTER EVENT TRIGGER dbcrypt_columns_dropped DISABLE;
ALTER TABLE written DISABLE TRIGGER ALL;
SELECT * FROM dbcrypt_check() WHERE subject LIKE '%trigger%';
ALTER TABLE dbcrypt_keys ENABLE ALWAYS TRIGGER dbcrypt_keys_changed, ENABLE ALWAYS TRIGGER dbcrypt_keys_truncated,
    ENABLE ALWAYS TRIGGER dbcrypt_keys_merge;
ALTER EVENT TRIGGER dbcrypt_columns_dropped ENABLE ALWAYS;
DROP TABLE written;
SELECT * FROM dbcrypt_check() WHERE subject LIKE '%trigger%';

-- What keeps decrypted values: not an index, which takes what is immutable, unless a function
-- says that it is; one with a body in quotes nobody sees through.
CREATE TABLE kept (id int, c text);
CREATE MATERIALIZED VIEW opened AS SELECT dbcrypt_decrypt(c) AS c FROM kept;
CREATE VIEW opening AS SELECT dbcrypt_decrypt(c) AS c FROM kept;
CREATE FUNCTION immutably(c text) RETURNS text LANGUAGE sql IMMUTABLE BEGIN ATOMIC SELECT dbcrypt_decrypt(c); END;
CREATE FUNCTION by_way_of(c text) RETURNS text LANGUAGE sql IMMUTABLE BEGIN ATOMIC SELECT immutably(c); END;
CREATE INDEX kept_index ON kept (by_way_of(c));
CREATE INDEX kept_harmless ON kept (dbcrypt_key_id(c));
CREATE STATISTICS kept_statistics ON id, (dbcrypt_decrypt(c)) FROM kept;
ALTER TABLE kept ADD COLUMN generated text GENERATED ALWAYS AS (immutably(c)) STORED;
SELECT * FROM dbcrypt_check() WHERE finding ~ 'plaintext on disk';
DROP TABLE kept CASCADE;
DROP FUNCTION by_way_of, immutably;

-- It reads only, and needs no privilege on the tables.
CREATE ROLE dbcrypt_checkdb_role;
SET ROLE dbcrypt_checkdb_role;
SELECT * FROM dbcrypt_check();
RESET ROLE;
GRANT EXECUTE ON FUNCTION dbcrypt_check() TO dbcrypt_checkdb_role;
CREATE TABLE private (s text);
INSERT INTO private VALUES (dbcrypt_encrypt('x'));
SET ROLE dbcrypt_checkdb_role;
BEGIN READ ONLY;
SELECT * FROM dbcrypt_check();
COMMIT;
RESET ROLE;

\c contrib_regression
DROP DATABASE dbcrypt_checkdb;
DROP ROLE dbcrypt_checkdb_role;
