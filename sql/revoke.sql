-- Keys are active, retired or revoked, and revocation looks at the whole database.
\set key1 0101010101010101010101010101010101010101010101010101010101010101
\set key2 0202020202020202020202020202020202020202020202020202020202020202
\set key3 0303030303030303030303030303030303030303030303030303030303030303
\set id1 72cd6e8422c407
\set id2 75877bb41d393b
\set old dbc1AXLNboQixAcAERERERERERERERERoj3jOq9gTKDxH6sH6t5ZeeVQzrCJUQ==
CREATE EXTENSION dbcrypt;
SET dbcrypt.key_file = '';
\set keys :key2 ',' :key1 ',' :key3
SET dbcrypt.keys = :'keys';
SELECT * FROM dbcrypt_register_keys();
SELECT key_id AS id3 FROM dbcrypt_keys WHERE key_id NOT IN (:'id1', :'id2') \gset
CREATE VIEW states AS SELECT key_id, is_primary, retired_at IS NOT NULL AS retired, revoked_at IS NOT NULL AS revoked
	FROM dbcrypt_key_status;

-- A retired key opens values and encrypts none.
CREATE TABLE tokens (id int, v text);
CREATE TRIGGER seal BEFORE INSERT OR UPDATE ON tokens FOR EACH ROW EXECUTE FUNCTION dbcrypt_encrypt_trigger('v');
SELECT dbcrypt_register_column('tokens', 'v');
INSERT INTO tokens VALUES (1, :'old'), (2, 'new');
CALL dbcrypt_revoke_keys(ARRAY[:'id1', :'id3', :'id1']);
SELECT * FROM states;
SELECT * FROM dbcrypt_register_keys();
SELECT dbcrypt_decrypt(:'old');
INSERT INTO tokens VALUES (3, :'old');
UPDATE tokens SET v = :'old' WHERE id = 2;
UPDATE tokens SET id = 4 WHERE id = 1;
SET dbcrypt.keys = :'key1';
SELECT dbcrypt_encrypt('secret');
INSERT INTO tokens VALUES (3, 'secret');
SELECT * FROM dbcrypt_rotate('tokens', 'v', dry_run => true);
SELECT severity, subject, finding FROM dbcrypt_check() WHERE subject LIKE 'key %';
SELECT dbcrypt_reinstate_key(:'id1');
SELECT dbcrypt_key_id(dbcrypt_encrypt('secret'));
SET dbcrypt.keys = :'keys';
SELECT severity, subject, finding FROM dbcrypt_check() WHERE subject LIKE 'key %';
SELECT * FROM states;

-- What is wrong with a call.
CALL dbcrypt_revoke_keys(NULL);
CALL dbcrypt_revoke_keys(ARRAY[:'id1', NULL]);
CALL dbcrypt_revoke_keys(ARRAY['00000000000000']);
CALL dbcrypt_revoke_keys(ARRAY[:'id1', :'id2']);
CALL dbcrypt_revoke_keys(ARRAY[:'id1'], 'everywhere');
CALL dbcrypt_revoke_keys(ARRAY[:'id1'], accept => ARRAY['tokens.v']);
CALL dbcrypt_revoke_keys(ARRAY[:'id1'], accept => ARRAY['public.nothing.v']);
CALL dbcrypt_revoke_keys(ARRAY[:'id1'], accept => ARRAY['public.tokens.w']);
CALL dbcrypt_revoke_keys(ARRAY[:'id1'], wait_timeout => -1);
CALL dbcrypt_revoke_keys('{}');
BEGIN;
CALL dbcrypt_revoke_keys(ARRAY[:'id1']);
ROLLBACK;
SELECT * FROM states;

-- Values that do not open are counted apart.
SELECT dbcrypt_reinstate_key(:'id1');
SELECT dbcrypt_reinstate_key(:'id3');
ALTER TABLE tokens DISABLE TRIGGER seal;
INSERT INTO tokens VALUES (5, overlay(:'old' PLACING 'AAAA' FROM 30));
CALL dbcrypt_revoke_keys(ARRAY[:'id1']);
DELETE FROM tokens WHERE id = 4;
CALL dbcrypt_revoke_keys(ARRAY[:'id1']);
DELETE FROM tokens WHERE id = 5;
ALTER TABLE tokens ENABLE TRIGGER seal;

-- Values in columns that nobody registered, in every form.
CREATE TABLE audit (id int, was jsonb, is_now text[]);
INSERT INTO audit SELECT i, jsonb_build_object('v', :'old'), ARRAY['x', :'old'] FROM generate_series(1, 3) i;
CREATE SCHEMA "Odd";
CREATE TABLE "Odd"."Copy" ("V" bytea) PARTITION BY LIST ("V");
CREATE TABLE "Odd".part PARTITION OF "Odd"."Copy" DEFAULT;
INSERT INTO "Odd"."Copy" VALUES (decode(:'old', 'base64'));
CALL dbcrypt_revoke_keys(ARRAY[:'id1', :'id3']);
SELECT dbcrypt_revoke_key(:'id1');
-- Passed over by place, by superusers alone.
CALL dbcrypt_revoke_keys(ARRAY[:'id1', :'id3'], accept => ARRAY['public.audit.was', 'public.audit.is_now']);
CREATE ROLE regress_dbcrypt_revoker;
GRANT EXECUTE ON PROCEDURE dbcrypt_revoke_keys TO regress_dbcrypt_revoker;
SET ROLE regress_dbcrypt_revoker;
CALL dbcrypt_revoke_keys(ARRAY[:'id1'], accept => ARRAY['public.audit.was']);
CALL dbcrypt_revoke_keys(ARRAY[:'id1'], 'registered');
RESET ROLE;
SELECT * FROM states;
SELECT dbcrypt_reinstate_key(:'id1');
CALL dbcrypt_revoke_keys(ARRAY[:'id1', :'id3'], accept => ARRAY['public.audit.was', 'public.audit.is_now', '"Odd"."Copy"."V"']);
SELECT * FROM states;
-- Then they are errors.
SELECT severity, subject, finding, hint FROM dbcrypt_check() WHERE subject LIKE 'column %';
-- Nothing more to do: again.
CALL dbcrypt_revoke_keys(ARRAY[:'id1'], accept => ARRAY['public.audit.was', 'public.audit.is_now', '"Odd"."Copy"."V"']);
DROP TABLE audit;
DROP SCHEMA "Odd" CASCADE;

-- A table of a registered column that cannot be read, and a program that copies one.
CREATE FUNCTION copy() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE TRIGGER copy AFTER UPDATE ON tokens FOR EACH ROW EXECUTE FUNCTION copy();
CALL dbcrypt_revoke_keys(ARRAY[:'id1']);
SELECT dbcrypt_revoke_key(:'id1');
SELECT dbcrypt_ignore_triggers('tokens', 'v', ARRAY['copy']);
CALL dbcrypt_revoke_keys(ARRAY[:'id1']);
DROP TRIGGER copy ON tokens;
CREATE FOREIGN DATA WRAPPER regress_dbcrypt_away;
CREATE SERVER regress_dbcrypt_away FOREIGN DATA WRAPPER regress_dbcrypt_away;
CREATE FOREIGN TABLE elsewhere () INHERITS (tokens) SERVER regress_dbcrypt_away;
CALL dbcrypt_revoke_keys(ARRAY[:'id1']);
-- It is passed over by its name alone, and so are large objects.
SELECT lo_from_bytea(424242, :'old'::bytea) AS object \gset
CALL dbcrypt_revoke_keys(ARRAY[:'id1'], accept => ARRAY['public.elsewhere.v']);
CALL dbcrypt_revoke_keys(ARRAY[:'id1'], accept => ARRAY['public.nothing']);
CALL dbcrypt_revoke_keys(ARRAY[:'id1'], accept => ARRAY['public.elsewhere', 'public.tokens', 'pg_catalog.pg_largeobject']);
SELECT revoked_at IS NOT NULL AS revoked FROM dbcrypt_keys WHERE key_id = :'id1';
SELECT lo_unlink(:object);
SELECT dbcrypt_reinstate_key(:'id1');
SELECT dbcrypt_revoke_key(:'id1');
DROP FOREIGN TABLE elsewhere;
-- One that no registered column has is only named.
CREATE FOREIGN TABLE elsewhere (v text) SERVER regress_dbcrypt_away;
CALL dbcrypt_revoke_keys(ARRAY[:'id1']);
DROP FOREIGN DATA WRAPPER regress_dbcrypt_away CASCADE;

-- Restoring beside keys: the stricter state stays.
SELECT dbcrypt_reinstate_key(:'id3');
CREATE TEMP TABLE dump AS SELECT * FROM dbcrypt_keys;
UPDATE dump SET retired_at = NULL, revoked_at = NULL WHERE key_id <> :'id3';
UPDATE dump SET retired_at = now(), revoked_at = now() WHERE key_id = :'id3';
INSERT INTO dbcrypt_keys SELECT * FROM dump;
SELECT * FROM states;
INSERT INTO dbcrypt_keys SELECT * FROM dump ON CONFLICT (key_id) DO UPDATE SET revoked_at = excluded.revoked_at;
SET session_replication_role = replica;
INSERT INTO dbcrypt_keys SELECT * FROM dump ON CONFLICT DO NOTHING;
RESET session_replication_role;
SELECT * FROM states;
DELETE FROM dbcrypt_keys WHERE key_id = :'id1';
INSERT INTO dbcrypt_keys SELECT * FROM dump;
SELECT * FROM states;

DROP VIEW states;
DROP TABLE tokens;
DROP FUNCTION copy;
DROP EXTENSION dbcrypt;
DROP ROLE regress_dbcrypt_revoker;
