-- Rotation of tables of every shape.
\set key1 0101010101010101010101010101010101010101010101010101010101010101
\set key2 0202020202020202020202020202020202020202020202020202020202020202
\set both :key2 ',' :key1
\set reverse :key1 ',' :key2
LOAD 'dbcrypt';
SET dbcrypt.key_file = '';
SET dbcrypt.keys = :'both';
CREATE EXTENSION dbcrypt;
SELECT * FROM dbcrypt_register_keys();
SET dbcrypt.keys = :'key1';

-- Partitions: two levels, columns in another order, columns dropped.
CREATE TABLE logs (id int, region text, gone text, v text, b bytea, PRIMARY KEY (id, region)) PARTITION BY LIST (region);
CREATE TABLE logs_eu PARTITION OF logs FOR VALUES IN ('eu') PARTITION BY RANGE (id);
CREATE TABLE logs_eu_1 PARTITION OF logs_eu FOR VALUES FROM (0) TO (100);
CREATE TABLE logs_eu_2 (junk int, b bytea, v text, junk2 text, gone text, region text NOT NULL, id int NOT NULL);
ALTER TABLE logs_eu_2 DROP COLUMN junk, DROP COLUMN junk2;
ALTER TABLE logs_eu ATTACH PARTITION logs_eu_2 FOR VALUES FROM (100) TO (200);
ALTER TABLE logs DROP COLUMN gone;
CREATE TABLE logs_rest PARTITION OF logs DEFAULT;
INSERT INTO logs SELECT n, CASE WHEN n < 200 THEN 'eu' ELSE 'us' END, dbcrypt_encrypt('v' || n, n::text), dbcrypt_encrypt(convert_to('b' || n, 'UTF8')) FROM generate_series(0, 299, 10) n;
SET dbcrypt.keys = :'both';
SELECT * FROM dbcrypt_rotate('logs', 'v', 'id', true);
SELECT * FROM dbcrypt_rotate('logs', 'v', 'id');
SELECT * FROM dbcrypt_rotate('logs_eu', 'b');
SELECT tableoid::regclass, dbcrypt_key_id(v) AS v, dbcrypt_key_id(b) AS b, count(*), bool_and(dbcrypt_decrypt(v, id::text) = 'v' || id) AS v_same,
       bool_and(dbcrypt_decrypt(b) = convert_to('b' || id, 'UTF8')) AS b_same, min(region) FROM logs GROUP BY 1, 2, 3 ORDER BY 1;
SELECT * FROM dbcrypt_rotate('logs', 'b');
SELECT * FROM dbcrypt_rotate('logs', 'v');
SELECT dbcrypt_rotate('logs', 'region');
SELECT dbcrypt_rotate('logs_eu', 'region');
SELECT dbcrypt_rotate('logs_eu_1', 'region');
DROP TABLE logs;

-- Inheritance: the children's rows too.
SET dbcrypt.keys = :'key1';
CREATE TABLE base (id int, v text);
CREATE TABLE derived (extra int, more text) INHERITS (base);
CREATE TABLE merged (other int, v text, id int);
ALTER TABLE merged INHERIT base;
INSERT INTO base VALUES (1, dbcrypt_encrypt('1'));
INSERT INTO derived VALUES (2, dbcrypt_encrypt('2'), 7, 'more');
INSERT INTO merged VALUES (8, dbcrypt_encrypt('3'), 3);
SET dbcrypt.keys = :'both';
SELECT * FROM dbcrypt_rotate('base', 'v');
SELECT tableoid::regclass, id, dbcrypt_key_id(v), dbcrypt_decrypt(v) FROM base ORDER BY id;
SELECT * FROM derived WHERE v IS NULL OR extra <> 7 OR more <> 'more';
SELECT dbcrypt_revoke_key('72cd6e8422c407');
SELECT dbcrypt_reinstate_key('72cd6e8422c407');
INSERT INTO merged VALUES (8, 'dbc1AXLNboQixAcAERERERERERERERERoj3jOq9gTKDxH6sH6t5ZeeVQzrCJUQ==', 4);
SELECT dbcrypt_revoke_key('72cd6e8422c407');
DROP TABLE base CASCADE;

-- Large values, out of line and compressed or not; and others that stay where they are.
SET dbcrypt.keys = :'key1';
CREATE TABLE large (id int PRIMARY KEY, v text, b bytea, other text);
ALTER TABLE large ALTER v SET STORAGE EXTERNAL, ALTER b SET STORAGE MAIN;
INSERT INTO large SELECT n, dbcrypt_encrypt(repeat('v' || n, n * 20000)), dbcrypt_encrypt(convert_to(repeat('b' || n, n * 5000), 'UTF8')), repeat('o' || n, n * 100000) FROM generate_series(0, 4) n;
SET dbcrypt.keys = :'both';
SELECT * FROM dbcrypt_rotate('large', 'v');
SELECT * FROM dbcrypt_rotate('large', 'b');
SELECT dbcrypt_key_id(v) AS v, dbcrypt_key_id(b) AS b, count(*), bool_and(dbcrypt_decrypt(v) = repeat('v' || id, id * 20000)) AS v_same,
       bool_and(dbcrypt_decrypt(b) = convert_to(repeat('b' || id, id * 5000), 'UTF8')) AS b_same, bool_and(other = repeat('o' || id, id * 100000)) AS other_same
  FROM large GROUP BY 1, 2;
DROP TABLE large;

-- Domains with checks, varchar(n) wide enough and too narrow.
SET dbcrypt.keys = :'key1';
CREATE DOMAIN envelope AS text CHECK (VALUE LIKE 'dbc1%' AND length(VALUE) < 200);
CREATE DOMAIN narrow AS envelope NOT NULL;
CREATE DOMAIN short AS varchar(64);
CREATE DOMAIN raw AS bytea CHECK (length(VALUE) > 40);
CREATE TABLE typed (id int, a envelope, b narrow, c short, d raw, e varchar(64), f varchar(200));
INSERT INTO typed SELECT n, dbcrypt_encrypt('a'), dbcrypt_encrypt('b'), dbcrypt_encrypt('c'), dbcrypt_encrypt('d'::bytea), dbcrypt_encrypt('e'), dbcrypt_encrypt('f') FROM generate_series(1, 3) n;
SET dbcrypt.keys = :'both';
SELECT c, r.* FROM unnest(ARRAY['a', 'b', 'c', 'd', 'e', 'f']) c, dbcrypt_rotate('typed', c) r;
SELECT dbcrypt_decrypt(a), dbcrypt_decrypt(b), dbcrypt_decrypt(c), convert_from(dbcrypt_decrypt(d), 'UTF8') AS d, dbcrypt_decrypt(e), dbcrypt_decrypt(f),
       dbcrypt_key_id(a) = '75877bb41d393b' AND dbcrypt_key_id(b) = '75877bb41d393b' AND dbcrypt_key_id(c) = '75877bb41d393b' AND
       dbcrypt_key_id(d) = '75877bb41d393b' AND dbcrypt_key_id(e) = '75877bb41d393b' AND dbcrypt_key_id(f) = '75877bb41d393b' AS rotated FROM typed;
ALTER DOMAIN envelope ADD CHECK (VALUE NOT LIKE 'dbc1AXWH%') NOT VALID;
INSERT INTO typed (a, b) VALUES ('dbc1AXLNboQixAcAERERERERERERERERoj3jOq9gTKDxH6sH6t5ZeeVQzrCJUQ==', 'dbc1AXLNboQixAcAERERERERERERERERoj3jOq9gTKDxH6sH6t5ZeeVQzrCJUQ==');
SELECT dbcrypt_rotate('typed', 'a');
DROP TABLE typed;
DROP DOMAIN narrow, envelope, short, raw;

-- Generated columns that follow the value; CHECK constraints; defaults left alone.
CREATE TABLE derived (id int GENERATED ALWAYS AS IDENTITY, v text NOT NULL CHECK (v LIKE 'dbc1%'), key text GENERATED ALWAYS AS (left(v, 16)) STORED,
    size int GENERATED ALWAYS AS (length(v)) STORED, twice int GENERATED ALWAYS AS (7 * 2) STORED, touched timestamptz DEFAULT clock_timestamp());
INSERT INTO derived (v, touched) VALUES ('dbc1AXLNboQixAcAERERERERERERERERoj3jOq9gTKDxH6sH6t5ZeeVQzrCJUQ==', '2020-01-01');
SELECT * FROM dbcrypt_rotate('derived', 'v');
SELECT id, left(v, 16) AS v, key, size, twice, touched = '2020-01-01' AS untouched FROM derived;
ALTER TABLE derived ADD CHECK (v NOT LIKE 'dbc1AXLN%');
SET dbcrypt.keys = :'reverse';
SELECT dbcrypt_rotate('derived', 'v');
SET dbcrypt.keys = :'both';
DROP TABLE derived;

-- Indexes of every kind find the new value, and not the old one.
SET dbcrypt.keys = :'key1';
CREATE TABLE indexed (id int PRIMARY KEY, v text, other int);
CREATE UNIQUE INDEX ON indexed (v);
CREATE INDEX ON indexed (left(v, 16));
CREATE INDEX ON indexed USING hash (v);
CREATE INDEX ON indexed (id) WHERE v LIKE 'dbc1AXLN%';
CREATE INDEX ON indexed (other) INCLUDE (v);
CREATE INDEX ON indexed USING brin (v);
INSERT INTO indexed SELECT n, dbcrypt_encrypt(n::text), n % 7 FROM generate_series(1, 200) n;
CREATE TEMP TABLE old AS SELECT * FROM indexed;
SET dbcrypt.keys = :'both';
SELECT * FROM dbcrypt_rotate('indexed', 'v');
CREATE TEMP TABLE new AS SELECT * FROM indexed;
ANALYZE indexed;
SET enable_seqscan = off;
SET enable_hashjoin = off;
SET enable_mergejoin = off;
SELECT count(*) FROM indexed WHERE left(v, 16) = 'dbc1AXWHe7QdOTsA';
SELECT count(*) FROM indexed WHERE left(v, 16) = 'dbc1AXLNboQixAcA';
SELECT count(*) FROM new n JOIN indexed i ON i.v = n.v AND i.id = n.id;
SELECT count(*) FROM old o JOIN indexed i ON i.v = o.v;
SELECT count(*) FROM indexed WHERE v LIKE 'dbc1AXLN%' AND id > 0;
SELECT count(v) FROM indexed WHERE other = 3;
RESET enable_seqscan;
RESET enable_hashjoin;
RESET enable_mergejoin;
\set VERBOSITY terse
INSERT INTO indexed SELECT -id, v FROM indexed WHERE id = 1;
\set VERBOSITY default
DROP TABLE indexed, old, new;

-- A unique value that would clash: names the row, prints no value.
CREATE TABLE clash (id int, v text);
INSERT INTO clash VALUES (1, 'dbc1AXLNboQixAcAERERERERERERERERoj3jOq9gTKDxH6sH6t5ZeeVQzrCJUQ=='), (2, 'dbc1AXLNboQixAcAERERERERERERERERx6oXAGqWklzeqpDuegsG0Q==');
CREATE UNIQUE INDEX ON clash (left(v, 4), length(v), left(v, 16)) WHERE left(v, 16) = 'dbc1AXLNboQixAcA';
CREATE UNIQUE INDEX clash_key ON clash (left(v, 16)) WHERE left(v, 16) = 'dbc1AXWHe7QdOTsA';
SELECT dbcrypt_rotate('clash', 'v');
SELECT DISTINCT dbcrypt_key_id(v) FROM clash;
DROP TABLE clash;

-- Unlogged and temporary tables; columns added with a default; names that need quotes.
CREATE UNLOGGED TABLE unlogged (v text);
CREATE TEMP TABLE passing (v text);
CREATE TABLE "Odd ""name""" ("Odd column" text, "select" int);
INSERT INTO "Odd ""name""" VALUES ('dbc1AXLNboQixAcAERERERERERERERERoj3jOq9gTKDxH6sH6t5ZeeVQzrCJUQ==');
INSERT INTO unlogged SELECT "Odd column" FROM "Odd ""name""";
INSERT INTO passing TABLE unlogged;
ALTER TABLE unlogged ADD COLUMN late text NOT NULL DEFAULT 'dbc1AXLNboQixAcAERERERERERERERERoj3jOq9gTKDxH6sH6t5ZeeVQzrCJUQ==';
SELECT * FROM dbcrypt_rotate('unlogged', 'v');
SELECT * FROM dbcrypt_rotate('unlogged', 'late');
SELECT dbcrypt_decrypt(v), dbcrypt_decrypt(late), dbcrypt_key_id(late) FROM unlogged;
SELECT * FROM dbcrypt_rotate('passing', 'v');
SELECT * FROM dbcrypt_rotate('"Odd ""name"""', 'Odd column', $$coalesce("select"::text, '')$$);
SELECT dbcrypt_decrypt("Odd column") FROM "Odd ""name""";
SELECT * FROM dbcrypt_rotate_all();
UPDATE "Odd ""name""" SET "Odd column" = 'x';
SELECT dbcrypt_rotate('"Odd ""name"""', 'Odd column');
DROP TABLE unlogged, passing, "Odd ""name""";

DROP EXTENSION dbcrypt;
