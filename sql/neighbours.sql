-- What other programs do beside dbcrypt: triggers that copy a table, tables whose
-- rows are elsewhere, event triggers.
\set key1 0101010101010101010101010101010101010101010101010101010101010101
\set key2 0202020202020202020202020202020202020202020202020202020202020202
\set both :key2 ',' :key1
SET dbcrypt.key_file = '';
SET dbcrypt.keys = :'both';
CREATE EXTENSION dbcrypt;
SELECT count(*) FROM dbcrypt_register_keys();
SET dbcrypt.keys = :'key1';
SELECT dbcrypt_encrypt('token') AS old \gset
SET dbcrypt.keys = :'both';
CREATE FUNCTION copy_row() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;

-- A trigger that follows updates: every way refuses, whatever its state.
CREATE TABLE copied (id int, v text);
INSERT INTO copied VALUES (1, :'old');
CREATE TRIGGER copy AFTER INSERT OR UPDATE ON copied FOR EACH ROW EXECUTE FUNCTION copy_row();
SELECT dbcrypt_rotate('copied', 'v');
\set VERBOSITY terse
SELECT dbcrypt_rotate('copied', 'v', dry_run => true);
CALL dbcrypt_rotate_online('copied', 'v');
CALL dbcrypt_rotate_in_place('copied', 'v');
SELECT dbcrypt_encrypt_column('copied', 'v');
SELECT dbcrypt_encrypt_column('copied', 'v', dry_run => true);
SELECT dbcrypt_decrypt_column('copied', 'v');
SELECT dbcrypt_delete_column('copied', 'v', 'public.copied.v');
ALTER TABLE copied ENABLE ALWAYS TRIGGER copy;
SELECT dbcrypt_rotate('copied', 'v');
ALTER TABLE copied ENABLE REPLICA TRIGGER copy;
SELECT dbcrypt_rotate('copied', 'v');
-- Reading is free, and registering is.
SELECT state, "values" FROM dbcrypt_verify('copied', 'v');
SELECT dbcrypt_register_column('copied', 'v');
-- What works on all columns does the others, and names it at the end.
CREATE TABLE here (v text);
INSERT INTO here VALUES (:'old');
SELECT dbcrypt_register_column('here', 'v');
\set VERBOSITY default
SELECT * FROM dbcrypt_rotate_all(true);
SELECT * FROM dbcrypt_rotate_all();
SELECT severity, subject, finding, hint FROM dbcrypt_check() WHERE subject ~ 'copied|here';
SELECT dbcrypt_revoke_key('72cd6e8422c407');
\set VERBOSITY terse
DROP TABLE here;
ALTER TABLE copied DISABLE TRIGGER copy;
SELECT * FROM dbcrypt_rotate('copied', 'v', dry_run => true);
ALTER TABLE copied ENABLE TRIGGER copy;

-- A statement's trigger that is told of the rows counts too.
DROP TRIGGER copy ON copied;
CREATE TRIGGER copy AFTER UPDATE ON copied REFERENCING NEW TABLE AS n EXECUTE FUNCTION copy_row();
SELECT dbcrypt_rotate('copied', 'v', dry_run => true);
DROP TRIGGER copy ON copied;
CREATE TRIGGER copy AFTER UPDATE ON copied REFERENCING OLD TABLE AS o EXECUTE FUNCTION copy_row();
SELECT dbcrypt_rotate('copied', 'v', dry_run => true);

-- Triggers that are told of no change of a row do not matter, nor does dbcrypt's own.
CREATE TABLE uncopied (id int PRIMARY KEY, v text);
CREATE TABLE referring (id int REFERENCES uncopied);
CREATE TRIGGER before BEFORE UPDATE ON uncopied FOR EACH ROW EXECUTE FUNCTION copy_row();
CREATE TRIGGER statement AFTER UPDATE ON uncopied EXECUTE FUNCTION copy_row();
CREATE TRIGGER inserts AFTER INSERT OR DELETE ON uncopied FOR EACH ROW EXECUTE FUNCTION copy_row();
CREATE TRIGGER own AFTER UPDATE ON uncopied FOR EACH ROW EXECUTE FUNCTION dbcrypt_encrypt_trigger('v');
INSERT INTO uncopied VALUES (1, :'old');
SELECT * FROM dbcrypt_rotate('uncopied', 'v');

-- Accepted by name. Only a registered column's, and only one that is there.
SELECT dbcrypt_unregister_column('uncopied', 'v');
SELECT dbcrypt_ignore_triggers('uncopied', 'v', '{}');
SELECT dbcrypt_ignore_triggers('copied', 'v', '{other}');
SELECT dbcrypt_ignore_triggers('copied', 'v', '{NULL}');
SELECT dbcrypt_ignore_triggers('copied', 'v', NULL);
SELECT dbcrypt_ignore_triggers('uncopied', 'v', '{inserts}');
SELECT dbcrypt_ignore_triggers('copied', 'v', '{copy}');
SELECT "column", options FROM dbcrypt_columns;
SELECT * FROM dbcrypt_rotate('copied', 'v');
CREATE TRIGGER "another ""copy" AFTER UPDATE OF id ON copied FOR EACH ROW EXECUTE FUNCTION copy_row();
SELECT * FROM dbcrypt_rotate('copied', 'v');
SELECT dbcrypt_ignore_triggers('copied', 'v', '{copy,"another \"copy"}');
CALL dbcrypt_rotate_online('copied', 'v');
CALL dbcrypt_rotate_in_place('copied', 'v');
SELECT dbcrypt_ignore_triggers('copied', 'v', '{}');
SELECT options FROM dbcrypt_columns;
SELECT dbcrypt_rotate('copied', 'v');
CREATE ROLE regress_dbcrypt_nobody;
GRANT EXECUTE ON FUNCTION dbcrypt_ignore_triggers TO regress_dbcrypt_nobody;
SET ROLE regress_dbcrypt_nobody;
SELECT dbcrypt_ignore_triggers('copied', 'v', '{}');
RESET ROLE;
DROP OWNED BY regress_dbcrypt_nobody;
DROP ROLE regress_dbcrypt_nobody;
DROP TABLE copied, referring, uncopied;

-- Partitions and children: their own triggers and the clones of their parents'.
CREATE TABLE parts (id int, v text) PARTITION BY RANGE (id);
CREATE TABLE part1 PARTITION OF parts FOR VALUES FROM (0) TO (10);
CREATE TABLE part2 PARTITION OF parts FOR VALUES FROM (10) TO (20);
INSERT INTO parts VALUES (1, :'old'), (11, :'old');
CREATE TRIGGER copy AFTER UPDATE ON part2 FOR EACH ROW EXECUTE FUNCTION copy_row();
SELECT dbcrypt_rotate('parts', 'v');
SELECT dbcrypt_rotate('part2', 'v');
SELECT * FROM dbcrypt_rotate('part1', 'v');
SELECT dbcrypt_unregister_column('part1', 'v');
DROP TRIGGER copy ON part2;
CREATE TRIGGER copy AFTER UPDATE ON parts FOR EACH ROW EXECUTE FUNCTION copy_row();
SELECT dbcrypt_rotate('part2', 'v');
SELECT dbcrypt_register_column('parts', 'v');
SELECT dbcrypt_ignore_triggers('parts', 'v', '{copy}');
SELECT * FROM dbcrypt_rotate('part2', 'v');
SELECT * FROM dbcrypt_rotate('parts', 'v');
SELECT dbcrypt_unregister_column('parts', 'v');
-- One with a transition table has no clones on partitions, and is found all the same.
DROP TRIGGER copy ON parts;
CREATE TRIGGER copy_all AFTER UPDATE ON parts REFERENCING NEW TABLE AS n EXECUTE FUNCTION copy_row();
SELECT dbcrypt_rotate('parts', 'v', dry_run => true);
SELECT dbcrypt_rotate('part2', 'v', dry_run => true);
SELECT dbcrypt_register_column('part2', 'v');
SELECT dbcrypt_ignore_triggers('part2', 'v', '{copy_all}');
SELECT * FROM dbcrypt_rotate('part2', 'v', dry_run => true);
DROP TABLE parts;
CREATE TABLE base (id int, v text);
CREATE TABLE child () INHERITS (base);
CREATE TRIGGER copy AFTER UPDATE ON child FOR EACH ROW EXECUTE FUNCTION copy_row();
SELECT dbcrypt_encrypt_column('base', 'v');
DROP TABLE base CASCADE;

-- A conversion refuses too, and keeps what was accepted.
\set VERBOSITY default
CREATE TABLE hooks (id int PRIMARY KEY, encrypted_url text, encrypted_url_iv text);
CREATE TRIGGER copy AFTER UPDATE ON hooks FOR EACH ROW EXECUTE FUNCTION copy_row();
SELECT dbcrypt_adopt('hooks', 'encrypted_url', 'attr_encrypted');
SELECT dbcrypt_convert('hooks', 'encrypted_url');
SELECT dbcrypt_ignore_triggers('hooks', 'encrypted_url', '{copy}');
SELECT dbcrypt_convert('hooks', 'encrypted_url');
SELECT scheme, options FROM dbcrypt_columns;
DROP TABLE hooks;

-- Rows that are elsewhere: refused by name; what works on all columns does the rest.
CREATE FOREIGN DATA WRAPPER regress_dbcrypt_wrapper;
CREATE SERVER regress_dbcrypt_server FOREIGN DATA WRAPPER regress_dbcrypt_wrapper;
CREATE TABLE parts (id int, v text) PARTITION BY RANGE (id);
CREATE TABLE part1 PARTITION OF parts FOR VALUES FROM (0) TO (10);
CREATE FOREIGN TABLE part2 PARTITION OF parts FOR VALUES FROM (10) TO (20) SERVER regress_dbcrypt_server;
CREATE FOREIGN TABLE part3 PARTITION OF parts FOR VALUES FROM (20) TO (30) SERVER regress_dbcrypt_server;
CREATE TABLE here (v text);
INSERT INTO parts VALUES (1, :'old');
INSERT INTO here VALUES (:'old');
SELECT dbcrypt_register_column('parts', 'v'), dbcrypt_register_column('here', 'v');
SELECT dbcrypt_rotate('parts', 'v');
\set VERBOSITY terse
SELECT dbcrypt_verify('parts', 'v');
CALL dbcrypt_rotate_online('parts', 'v');
CALL dbcrypt_rotate_in_place('parts', 'v');
SELECT dbcrypt_encrypt_column('parts', 'v');
SELECT dbcrypt_decrypt_column('parts', 'v');
SELECT dbcrypt_delete_column('parts', 'v', 'public.parts.v');
\set VERBOSITY default
SELECT * FROM dbcrypt_rotate_all(true);
SELECT * FROM dbcrypt_rotate_all();
SELECT "table", state, "values", problem FROM dbcrypt_verify_all();
SELECT severity, subject, finding, hint FROM dbcrypt_check() WHERE finding ~ 'server';
SELECT * FROM dbcrypt_rotate('part1', 'v');
DROP FOREIGN TABLE part2, part3;
SELECT * FROM dbcrypt_rotate('parts', 'v');
DROP TABLE parts;
DROP FOREIGN DATA WRAPPER regress_dbcrypt_wrapper CASCADE;

-- Citus lists its tables in a table of its own. This stands in for it.
BEGIN;
CREATE EXTENSION pgcrypto;
UPDATE pg_extension SET extname = 'citus' WHERE extname = 'pgcrypto';
SET LOCAL allow_system_table_mods = on;
CREATE TABLE pg_catalog.pg_dist_partition (logicalrelid regclass, partmethod "char");
INSERT INTO pg_dist_partition VALUES ('here', 'h');
SELECT scanned, rotated FROM dbcrypt_rotate('here', 'v'); -- a table of that name alone means nothing
ALTER EXTENSION citus ADD TABLE pg_dist_partition;
CREATE TABLE local (v text);
SELECT scanned FROM dbcrypt_rotate('local', 'v');
SAVEPOINT listed;
SELECT dbcrypt_rotate('here', 'v');
ROLLBACK TO listed;
SELECT dbcrypt_encrypt_column('here', 'v');
ROLLBACK TO listed;
SELECT dbcrypt_unregister_column('here', 'v');
SELECT dbcrypt_register_column('here', 'v');
ROLLBACK TO listed;
SELECT * FROM dbcrypt_rotate_all();
SELECT "table", state, problem FROM dbcrypt_verify_all();
ROLLBACK;

-- A rewrite fires event triggers for it, as ALTER TABLE does; what they do is seen.
CREATE FUNCTION note_rewrite() RETURNS event_trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE NOTICE '% rewrites %, reason %', tg_tag, pg_event_trigger_table_rewrite_oid()::regclass, pg_event_trigger_table_rewrite_reason(); END $$;
CREATE EVENT TRIGGER regress_dbcrypt_rewrite ON table_rewrite EXECUTE FUNCTION note_rewrite();
CREATE TABLE parts (id int, v text) PARTITION BY RANGE (id);
CREATE TABLE part1 PARTITION OF parts FOR VALUES FROM (0) TO (10);
CREATE TABLE part2 PARTITION OF parts FOR VALUES FROM (10) TO (20);
INSERT INTO parts VALUES (1, 'plain'), (11, 'plain');
SELECT * FROM dbcrypt_encrypt_column('parts', 'v', dry_run => true);
SELECT * FROM dbcrypt_encrypt_column('parts', 'v');
SELECT * FROM dbcrypt_encrypt_column('parts', 'v'); -- rewrites nothing
SELECT dbcrypt_delete_column('parts', 'v', 'public.parts.v');
CREATE OR REPLACE FUNCTION note_rewrite() RETURNS event_trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE 'not today'; END $$;
INSERT INTO parts VALUES (2, 'plain');
SELECT dbcrypt_encrypt_column('parts', 'v');
SELECT * FROM parts WHERE id = 2;
DROP EVENT TRIGGER regress_dbcrypt_rewrite;
SELECT * FROM dbcrypt_encrypt_column('parts', 'v');
DROP TABLE parts, here;
DROP FUNCTION copy_row, note_rewrite;
DROP EXTENSION dbcrypt;
