-- A column's whole life: plaintext, encrypted, plaintext again, deleted.
\set key1 0101010101010101010101010101010101010101010101010101010101010101
\set key2 0202020202020202020202020202020202020202020202020202020202020202
\set both :key2 ',' :key1
LOAD 'dbcrypt';
SET dbcrypt.key_file = '';
SET dbcrypt.keys = :'both';
CREATE EXTENSION dbcrypt;
SELECT * FROM dbcrypt_register_keys();
\set id1 72cd6e8422c407
\set id2 75877bb41d393b

-- Everything at once: a dropped column, a default from before the rows, TOAST,
-- generated columns, constraints, indexes, a view, a row type in use.
CREATE TABLE person (id int PRIMARY KEY, gone text, email text NOT NULL CHECK (email <> ''),
    domain text GENERATED ALWAYS AS (split_part(email, '@', 2)) STORED, note text);
INSERT INTO person (id, gone, email) SELECT i, 'gone', 'user' || i || '@host' || i % 3 FROM generate_series(1, 30) i;
UPDATE person SET note = (SELECT string_agg(md5(i::text), '') FROM generate_series(1, 1000) i) WHERE id = 1;
ALTER TABLE person DROP COLUMN gone;
ALTER TABLE person ADD COLUMN phone text DEFAULT '555-0100';
CREATE INDEX person_email ON person (email);
CREATE INDEX person_upper ON person (upper(email));
CREATE INDEX person_domain ON person (domain) WHERE email IS NOT NULL;
CREATE STATISTICS person_statistics (mcv) ON email, note FROM person;
CREATE STATISTICS person_expression ON lower(email) FROM person;
CREATE STATISTICS person_other (mcv) ON id, note FROM person;
CREATE VIEW person_view AS SELECT id, email FROM person;
CREATE TABLE uses_row_type (p person);
INSERT INTO person (id, email) SELECT 100 + i, 'deleted' FROM generate_series(1, 5) i;
DELETE FROM person WHERE id > 100;
ANALYZE person;
CREATE TABLE before AS SELECT * FROM person;
SELECT pg_relation_filenode('person') AS node \gset

-- Dry run: counts, and changes nothing.
SELECT * FROM dbcrypt_encrypt_column('person', 'email', 'id', true);
BEGIN READ ONLY;
SELECT * FROM dbcrypt_encrypt_column('person', 'email', aad => 'id', dry_run => true);
SELECT * FROM dbcrypt_encrypt_column('person', 'email', 'id');
ROLLBACK;
SELECT count(*) FROM person WHERE dbcrypt_is_encrypted(email);
SELECT "table", "column", scheme, aad, options FROM dbcrypt_columns;
SELECT pg_relation_filenode('person') = :node AS untouched;

-- Encrypt. What was sampled is gone, of the column and what is computed from it.
SELECT * FROM dbcrypt_encrypt_column('person', 'email', 'id');
SELECT count(*), count(*) FILTER (WHERE dbcrypt_key_id(p.email) = :'id2') AS under_primary,
       count(*) FILTER (WHERE dbcrypt_decrypt(p.email, p.id::text) = b.email) AS decrypt,
       count(*) FILTER (WHERE p.domain = '') AS generated,
       count(*) FILTER (WHERE p.note IS NOT DISTINCT FROM b.note AND p.phone = b.phone) AS others
  FROM person p JOIN before b USING (id);
SELECT tablename, attname FROM pg_stats WHERE tablename LIKE 'person%' ORDER BY 1, 2;
SELECT stxname, d.stxoid IS NOT NULL AS has_data FROM pg_statistic_ext LEFT JOIN pg_statistic_ext_data d ON d.stxoid = pg_statistic_ext.oid ORDER BY 1;
SELECT "table", "column", scheme, aad FROM dbcrypt_columns;
SELECT pg_relation_filenode('person') = :node AS untouched;
SELECT count(*) FROM person_view WHERE dbcrypt_is_encrypted(email);
SET enable_seqscan = off;
SELECT count(*) FROM person WHERE email = (SELECT p.email FROM person p WHERE id = 7);
SELECT count(*) FROM person WHERE email LIKE '%@%';
RESET enable_seqscan;
INSERT INTO person (id, email) VALUES (1, 'duplicate');
INSERT INTO person (id, email) VALUES (99, '');
SELECT phone, atthasmissing FROM person, pg_attribute WHERE id = 3 AND attrelid = 'person'::regclass AND attname = 'phone';

-- Again: nothing to do, nothing written. A late plaintext is found.
SELECT pg_relation_filenode('person') AS node \gset
SELECT * FROM dbcrypt_encrypt_column('person', 'email');
SELECT pg_relation_filenode('person') = :node AS untouched;
SELECT * FROM dbcrypt_encrypt_column('person', 'email', 'note');
INSERT INTO person (id, email) VALUES (31, 'late');
SELECT * FROM dbcrypt_encrypt_column('person', 'email');
SELECT dbcrypt_decrypt(email, '31') FROM person WHERE id = 31;
-- An envelope that does not open stops it, and nothing changes.
INSERT INTO person (id, email) VALUES (32, 'later'), (33, dbcrypt_encrypt('other', '34'));
SELECT * FROM dbcrypt_encrypt_column('person', 'email', dry_run => true);
SELECT * FROM dbcrypt_encrypt_column('person', 'email');
SELECT email FROM person WHERE id = 32;
DELETE FROM person WHERE id > 30;

-- Decrypt: only when dbcrypt.decrypt_keys names each key in use.
SET dbcrypt.keys = :'key1';
UPDATE person SET email = dbcrypt_encrypt('under key 1', id::text) WHERE id = 30;
SET dbcrypt.keys = :'both';
SELECT * FROM dbcrypt_decrypt_column('person', 'email');
SELECT * FROM dbcrypt_decrypt_column('person', 'email', true);
SET dbcrypt.decrypt_keys = :'id1';
SELECT * FROM dbcrypt_decrypt_column('person', 'email');
SET dbcrypt.decrypt_keys = :'key1';
SET dbcrypt.decrypt_keys = '72cd6e8422c40';
SET dbcrypt.decrypt_keys = '72cd6e8422c407 75877bb41d393b';
SET dbcrypt.decrypt_keys = '72CD6E8422C407';
SET dbcrypt.decrypt_keys = 'all';
SHOW dbcrypt.decrypt_keys;
SET dbcrypt.decrypt_keys = '72cd6e8422c407', '75877bb41d393b';
SHOW dbcrypt.decrypt_keys;
SET dbcrypt.decrypt_keys = ' 75877bb41d393b ,72cd6e8422c407';
INSERT INTO person (id, email) VALUES (31, 'never encrypted');
SELECT * FROM dbcrypt_decrypt_column('person', 'email', true);
SELECT * FROM dbcrypt_decrypt_column('person', 'email');
SELECT count(*), count(*) FILTER (WHERE p.email = b.email) AS same, count(*) FILTER (WHERE p.domain = b.domain) AS generated
  FROM person p JOIN before b USING (id) WHERE id < 30;
SELECT id, email FROM person WHERE id >= 30 ORDER BY 1;
SELECT "table", "column", scheme, aad, options FROM dbcrypt_columns;
SELECT pg_relation_filenode('person') AS node \gset
SELECT * FROM dbcrypt_decrypt_column('person', 'email');
SELECT pg_relation_filenode('person') = :node AS untouched;
RESET dbcrypt.decrypt_keys;
-- An index may refuse what it gets back; the error shows no value.
CREATE TABLE twin (id int, v text);
INSERT INTO twin SELECT i, 'the same secret' FROM generate_series(1, 2) i;
SELECT * FROM dbcrypt_encrypt_column('twin', 'v');
CREATE UNIQUE INDEX twin_v ON twin (v);
SET dbcrypt.decrypt_keys = :'id2';
SELECT * FROM dbcrypt_decrypt_column('twin', 'v');
SELECT count(*) FROM twin WHERE dbcrypt_is_encrypted(v);
RESET dbcrypt.decrypt_keys;

-- Delete: by name, without a key.
SELECT dbcrypt_encrypt_column('person', 'email', 'id');
SET dbcrypt.keys = '';
SELECT dbcrypt_delete_column('person', 'email', NULL);
SELECT dbcrypt_delete_column('person', 'email', 'person.email');
SELECT dbcrypt_delete_column('person', 'email', 'public.person.note');
SELECT dbcrypt_delete_column('person', 'email', 'public.person.email');
ALTER TABLE person DROP CONSTRAINT person_email_check;
SELECT dbcrypt_delete_column('person', 'email', 'public.person.email');
SELECT count(*), min(email) AS email, min(domain) AS domain, count(note) AS notes FROM person GROUP BY email;
SELECT "table", "column", scheme, aad, options FROM dbcrypt_columns WHERE "table" = 'person';
CREATE SCHEMA "Odd";
CREATE DOMAIN "Odd".required AS text NOT NULL;
CREATE DOMAIN "Odd".checked AS "Odd".required CHECK (value <> 'x');
CREATE TABLE "Odd"."Ta ble" ("Co.l" text, r "Odd".required, c "Odd".checked);
INSERT INTO "Odd"."Ta ble" VALUES ('a', 'b', 'c'), (NULL, 'd', 'e');
SELECT dbcrypt_delete_column('"Odd"."Ta ble"', 'Co.l', '"Odd"."Ta ble"."Co.l"');
SELECT dbcrypt_delete_column('"Odd"."Ta ble"', 'Co.l', 'Odd.Ta ble.Co.l');
SELECT dbcrypt_delete_column('"Odd"."Ta ble"', 'r', 'Odd.Ta ble.r');
SELECT dbcrypt_delete_column('"Odd"."Ta ble"', 'c', 'Odd.Ta ble.c');
SELECT "Co.l" IS NULL AS is_null, r, c FROM "Odd"."Ta ble";
SET dbcrypt.keys = :'both';

-- Partitions and inheritance: all at once; statistics of parents too.
CREATE TABLE part (id int, v text) PARTITION BY RANGE (id);
CREATE TABLE part_1 PARTITION OF part FOR VALUES FROM (0) TO (10);
CREATE TABLE part_2 (extra int, v text, id int);
ALTER TABLE part_2 DROP COLUMN extra;
ALTER TABLE part ATTACH PARTITION part_2 FOR VALUES FROM (10) TO (20);
INSERT INTO part SELECT i, 'part ' || i FROM generate_series(0, 19) i;
ANALYZE part;
SELECT * FROM dbcrypt_encrypt_column('part_1', 'v', 'id');
SELECT tablename, attname FROM pg_stats WHERE tablename LIKE 'part%' ORDER BY 1, 2;
SELECT * FROM dbcrypt_encrypt_column('part', 'v', 'id');
SELECT count(*) FROM part WHERE dbcrypt_decrypt(v, id::text) = 'part ' || id;
SELECT "table" FROM dbcrypt_columns WHERE "table"::text LIKE 'part%' ORDER BY 1;
SET dbcrypt.decrypt_keys = :'id2';
SELECT * FROM dbcrypt_decrypt_column('part', 'v');
SELECT "table" FROM dbcrypt_columns WHERE "table"::text LIKE 'part%' ORDER BY 1;
RESET dbcrypt.decrypt_keys;
CREATE TABLE base (v text);
CREATE TABLE derived (d int) INHERITS (base);
INSERT INTO base VALUES ('base');
INSERT INTO derived VALUES ('derived', 1);
SELECT * FROM dbcrypt_encrypt_column('base', 'v');
SELECT tableoid::regclass, dbcrypt_decrypt(v) FROM base ORDER BY 2;

-- bytea, NULLs, an empty table, unlogged and temporary tables, domains.
CREATE UNLOGGED TABLE raw (v bytea);
INSERT INTO raw VALUES ('\x00'), (NULL), ('');
SELECT * FROM dbcrypt_encrypt_column('raw', 'v');
SELECT dbcrypt_decrypt(v) FROM raw ORDER BY 1;
CREATE TABLE empty (v text);
SELECT * FROM dbcrypt_encrypt_column('empty', 'v');
SELECT "table" FROM dbcrypt_columns WHERE "table" = 'empty';
CREATE TEMP TABLE passing (v "Odd".checked);
INSERT INTO passing VALUES ('p');
SELECT * FROM dbcrypt_encrypt_column('passing', 'v');
SELECT dbcrypt_decrypt(v) FROM passing;
SELECT count(*) FROM dbcrypt_columns WHERE "table" = 'passing';
CREATE DOMAIN short AS text CHECK (length(value) < 20);
CREATE TABLE checks (d short, c text CHECK (length(c) < 20), w varchar(20));
INSERT INTO checks VALUES ('a secret', 'a secret', 'a secret');
SELECT * FROM dbcrypt_encrypt_column('checks', 'd');
SELECT * FROM dbcrypt_encrypt_column('checks', 'c', dry_run => true);
SELECT * FROM dbcrypt_encrypt_column('checks', 'c');
SELECT * FROM dbcrypt_encrypt_column('checks', 'w');

-- An adopted column whose values stand in some rows only: the others are left alone.
CREATE TABLE adopted (id int, kind text, v text);
SELECT dbcrypt_adopt('adopted', 'v', 'lockbox', '{"where": "kind = ''secret''", "table": "adopted", "attribute": "v"}');
INSERT INTO adopted VALUES (1, 'secret', 'plain'), (2, 'public', 'plain'), (3, 'secret', NULL);
SELECT * FROM dbcrypt_encrypt_column('adopted', 'v');
SELECT id, v = 'plain' AS plain, dbcrypt_is_encrypted(v) AS native FROM adopted ORDER BY id;
SET dbcrypt.decrypt_keys = :'id2';
BEGIN;
SELECT * FROM dbcrypt_decrypt_column('adopted', 'v');
SELECT id, v FROM adopted ORDER BY id;
ROLLBACK;
RESET dbcrypt.decrypt_keys;
SELECT dbcrypt_delete_column('adopted', 'v', 'public.adopted.v');
SELECT id, v FROM adopted ORDER BY id;
CREATE TABLE document (j jsonb);
SELECT dbcrypt_adopt('document', 'j', 'lockbox', '{"json": "$.token", "table": "document"}');
SELECT dbcrypt_delete_column('document', 'j', 'public.document.j');

-- In one transaction with changes of its own, and rolled back.
BEGIN;
INSERT INTO empty VALUES ('in the same transaction');
SAVEPOINT s;
SELECT * FROM dbcrypt_encrypt_column('empty', 'v');
ROLLBACK TO s;
SELECT * FROM empty;
SELECT * FROM dbcrypt_encrypt_column('empty', 'v');
SELECT dbcrypt_decrypt(v) FROM empty;
COMMIT;
SELECT dbcrypt_decrypt(v) FROM empty;

-- Refused.
CREATE TABLE guarded (id int PRIMARY KEY, u text UNIQUE, e text, x text, i text, g text GENERATED ALWAYS AS (lower(i)) STORED,
    EXCLUDE USING btree (x WITH =));
CREATE UNIQUE INDEX ON guarded (lower(e));
SELECT dbcrypt_encrypt_column('guarded', 'u');
SELECT dbcrypt_encrypt_column('guarded', 'u', dry_run => true);
SELECT dbcrypt_encrypt_column('guarded', 'e');
SELECT dbcrypt_encrypt_column('guarded', 'x');
CREATE UNIQUE INDEX guarded_g ON guarded (g);
SELECT dbcrypt_encrypt_column('guarded', 'i');
DROP INDEX guarded_g;
CREATE UNIQUE INDEX ON guarded (id) INCLUDE (i) WHERE i IS NOT NULL;
SELECT dbcrypt_encrypt_column('guarded', 'i');
SELECT dbcrypt_encrypt_column('guarded', 'g');
SELECT dbcrypt_encrypt_column('person_view', 'email');
SELECT dbcrypt_encrypt_column('part', 'id');
CREATE TABLE by_value (v text) PARTITION BY LIST (v);
CREATE TABLE by_value_1 PARTITION OF by_value DEFAULT;
SELECT dbcrypt_encrypt_column('by_value', 'v');
SELECT dbcrypt_encrypt_column('by_value_1', 'v');
SELECT dbcrypt_delete_column('by_value_1', 'v', 'public.by_value_1.v');
SELECT dbcrypt_encrypt_column(NULL, 'v');
SELECT dbcrypt_encrypt_column('twin', NULL);
SELECT dbcrypt_encrypt_column('twin', 'v', NULL, NULL);
SELECT dbcrypt_decrypt_column('twin', 'v', NULL);
SET client_min_messages = error;
CREATE PUBLICATION regress_dbcrypt_publication FOR TABLE base;
RESET client_min_messages;
SELECT dbcrypt_encrypt_column('base', 'v');
SELECT dbcrypt_delete_column('base', 'v', 'public.base.v');
DROP PUBLICATION regress_dbcrypt_publication;
BEGIN;
DECLARE c CURSOR FOR SELECT * FROM base;
MOVE c;
SELECT dbcrypt_encrypt_column('base', 'v');
ROLLBACK;
CREATE TABLE constrained (id int PRIMARY KEY, v text, other int REFERENCES guarded DEFERRABLE INITIALLY DEFERRED);
BEGIN;
INSERT INTO constrained VALUES (1, 'v', 7);
SELECT dbcrypt_encrypt_column('constrained', 'v');
ROLLBACK;

-- Another role: only the owner, and only when granted.
CREATE ROLE regress_dbcrypt_owner;
CREATE ROLE regress_dbcrypt_other;
GRANT EXECUTE ON FUNCTION dbcrypt_encrypt_column, dbcrypt_decrypt_column, dbcrypt_delete_column TO regress_dbcrypt_owner;
GRANT EXECUTE ON FUNCTION dbcrypt_encrypt_column, dbcrypt_decrypt_column, dbcrypt_delete_column TO regress_dbcrypt_other;
CREATE TABLE owned (id int, v text);
INSERT INTO owned VALUES (1, 'owned');
ALTER TABLE owned OWNER TO regress_dbcrypt_owner;
SET ROLE regress_dbcrypt_other;
SELECT dbcrypt_encrypt_column('owned', 'v');
SELECT dbcrypt_decrypt_column('owned', 'v');
SELECT dbcrypt_delete_column('owned', 'v', 'public.owned.v');
SET ROLE regress_dbcrypt_owner;
SELECT dbcrypt_encrypt_column('owned', 'v', 'id');
SELECT dbcrypt_encrypt('no');
SET dbcrypt.decrypt_keys = :'id2';
SELECT dbcrypt_decrypt_column('owned', 'v');
RESET dbcrypt.decrypt_keys;
SELECT dbcrypt_delete_column('owned', 'v', 'public.owned.v');
RESET ROLE;
SELECT relowner::regrole FROM pg_class WHERE oid = 'owned'::regclass;

-- The keys behind it.
SET dbcrypt.keys = '';
INSERT INTO owned VALUES (2, 'plain');
SELECT dbcrypt_encrypt_column('owned', 'v');
SET dbcrypt.keys = :'both';
SELECT dbcrypt_revoke_key(:'id1');
SET dbcrypt.keys = :'key1';
SELECT dbcrypt_encrypt_column('owned', 'v');
SELECT v FROM owned WHERE id = 2;

SET dbcrypt.keys = :'both';
-- An envelope cut short is no plaintext: it is neither encrypted again nor let pass.
CREATE TABLE damaged (id int, v text);
INSERT INTO damaged SELECT 1, left(dbcrypt_encrypt('hello'), 41);
\set VERBOSITY terse
SELECT * FROM dbcrypt_encrypt_column('damaged', 'v');
SET dbcrypt.decrypt_keys = :'id2';
SELECT * FROM dbcrypt_decrypt_column('damaged', 'v');
RESET dbcrypt.decrypt_keys;
\set VERBOSITY default
SELECT state, "values" FROM dbcrypt_verify('damaged', 'v');
DROP TABLE damaged;

-- A partition of a registered table has its AAD, and needs no registration of its own.
CREATE TABLE region (id int, v text) PARTITION BY LIST (id);
CREATE TABLE region1 PARTITION OF region FOR VALUES IN (1);
INSERT INTO region VALUES (1, 'one');
SELECT dbcrypt_register_column('region', 'v', 'id');
SELECT * FROM dbcrypt_encrypt_column('region1', 'v', 'id + 1');
SELECT * FROM dbcrypt_encrypt_column('region1', 'v');
SELECT dbcrypt_decrypt(v, '1') FROM region;
SELECT "table", aad FROM dbcrypt_columns WHERE "table" IN ('region', 'region1');
DROP TABLE region;

-- What cannot be computed from a new value does not print it.
CREATE TABLE number (v text);
INSERT INTO number VALUES ('123456');
CREATE INDEX number_v ON number ((v::int));
SELECT * FROM dbcrypt_encrypt_column('number', 'v');
DROP INDEX number_v;
ALTER TABLE number ADD n int GENERATED ALWAYS AS (v::int) STORED;
SELECT * FROM dbcrypt_encrypt_column('number', 'v');
DROP TABLE number;

RESET dbcrypt.keys;
SET client_min_messages = warning;
DROP TABLE person, before, uses_row_type, twin, part, base, raw, empty, checks, constrained, guarded, by_value, owned, adopted, document CASCADE;
DROP SCHEMA "Odd" CASCADE;
DROP DOMAIN short;
REVOKE ALL ON FUNCTION dbcrypt_encrypt_column, dbcrypt_decrypt_column, dbcrypt_delete_column FROM regress_dbcrypt_owner, regress_dbcrypt_other;
DROP ROLE regress_dbcrypt_owner, regress_dbcrypt_other;
DROP EXTENSION dbcrypt;
