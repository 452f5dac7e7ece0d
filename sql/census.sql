-- dbcrypt_census: finds an envelope in every type and place. In a database of its own,
-- because it looks at every table.
CREATE DATABASE dbcrypt_censusdb TEMPLATE template0 ENCODING 'UTF8';
\c dbcrypt_censusdb
\set key1 0101010101010101010101010101010101010101010101010101010101010101
\set key2 0202020202020202020202020202020202020202020202020202020202020202
\set both :key1 ',' :key2
LOAD 'dbcrypt';
SET dbcrypt.key_file = '';
SET dbcrypt.keys = :'both';
CREATE EXTENSION dbcrypt;
CREATE EXTENSION hstore;
SELECT count(*) FROM dbcrypt_register_keys();
SELECT * FROM dbcrypt_census();

-- One value among 3,000 rows, of each type.
CREATE TABLE scalars (id int, t text, v varchar(200), c char(120), b bytea, j json, jb jsonb, x xml, h hstore);
INSERT INTO scalars SELECT i, 'plain', 'plain', 'plain', 'plain', '{"a": "plain"}', '{"a": "plain"}', 'plain', 'a=>plain'
  FROM generate_series(1, 3000) i;
UPDATE scalars SET t = dbcrypt_encrypt('x') WHERE id = 11;
UPDATE scalars SET v = dbcrypt_encrypt('x') WHERE id = 22;
UPDATE scalars SET c = dbcrypt_encrypt('x') WHERE id = 33;
UPDATE scalars SET b = dbcrypt_encrypt('x'::bytea) WHERE id = 44;
UPDATE scalars SET j = json_build_object('a', dbcrypt_encrypt('x')) WHERE id = 55;
UPDATE scalars SET jb = jsonb_build_object('a', jsonb_build_array(1, jsonb_build_object('b', dbcrypt_encrypt('x')))) WHERE id = 66;
UPDATE scalars SET x = ('<a>' || dbcrypt_encrypt('x') || '</a>')::xml WHERE id = 77;
UPDATE scalars SET h = hstore('a', dbcrypt_encrypt('x')) WHERE id = 88;
SELECT "column", key_id, state, "values", cardinality(examples) FROM dbcrypt_census('scalars');
SELECT t IS DISTINCT FROM 'plain' AS is_the_row FROM scalars
 WHERE ctid = (SELECT examples[1]::tid FROM dbcrypt_census('scalars') WHERE "column" = 't');

-- What is within: spelled in hex, with escaped slashes, as text in bytea, cut off.
CREATE TABLE within (what text, t text, b bytea);
INSERT INTO within VALUES
	('row as JSON', to_jsonb(ROW(dbcrypt_encrypt('x'::bytea)))::text, NULL),
	('row as text', ROW(1, dbcrypt_encrypt('x'::bytea))::text, NULL),
	('upper case', upper(encode(dbcrypt_encrypt('x'::bytea), 'hex')), NULL),
	('two', dbcrypt_encrypt('x') || ',' || dbcrypt_encrypt('y'), NULL),
	('line breaks', encode(dbcrypt_encrypt(convert_to(repeat('x', 200), 'UTF8')), 'base64'), NULL),
	('escaped', 'a' || replace('dbc1Af////////AA', '/', '\/'), NULL),
	('escaped as .NET does', to_jsonb('{"a":"' || replace('dbc1Af++++++++AA', '+', '\u002B') || '"}')::text, NULL),
	('in a URL', '?a=' || replace('dbc1Af//////++AA', '/', '%2F'), NULL),
	('in HTML', replace('dbc1Af//////++AA', '+', '&#43;'), NULL),
	('URL-safe', 'dbc1Af_______-AA', NULL),
	('lines of ten', regexp_replace(dbcrypt_encrypt('x'), '(.{10})', E'\\1\n', 'g'), NULL),
	('text in bytea', NULL, convert_to('a: ' || dbcrypt_encrypt('x'), 'UTF8')),
	('start of bytea', NULL, dbcrypt_encrypt('x'::bytea)),
	('cut off', left(dbcrypt_encrypt('x'), 30), substr(dbcrypt_encrypt('x'::bytea), 1, 20)),
	('no header', 'dbc1 is not enough, dbc1AAAAAAAAAAAAAAAB neither, nor 75b735', '\x75b7350100');
SELECT "column", key_id, state, "values", examples FROM dbcrypt_census('within');

-- Arrays, composites and domains of them.
CREATE TYPE pair AS (n int, t text, b bytea);
CREATE DOMAIN secret AS text;
CREATE DOMAIN secrets AS secret[];
CREATE TABLE nested (ts text[], bs bytea[], p pair, ps pair[], d secret, ds secrets, r int4range, m numeric,
	n name, ns name[], u uuid);
INSERT INTO nested VALUES (ARRAY['x', NULL, dbcrypt_encrypt('x')], ARRAY['x', NULL, dbcrypt_encrypt('x'::bytea)],
	(1, dbcrypt_encrypt('x'), dbcrypt_encrypt('x'::bytea)), ARRAY[NULL, (1, NULL, dbcrypt_encrypt('x'::bytea))::pair],
	dbcrypt_encrypt('x'), ARRAY[dbcrypt_encrypt('x')], '[1,2]', 1, dbcrypt_encrypt('x'), ARRAY[dbcrypt_encrypt('x')],
	gen_random_uuid());
SELECT "column", key_id, state, "values", examples FROM dbcrypt_census('nested');

-- Long values: out of line, compressed, both.
CREATE TABLE long (t text, c text, e text, p pair);
ALTER TABLE long ALTER t SET STORAGE EXTERNAL, ALTER c SET STORAGE MAIN;
INSERT INTO long SELECT v, v, v || s, (1, v, NULL)::pair
  FROM (SELECT repeat('a', 20000) || dbcrypt_encrypt('x') AS v, string_agg(md5(i::text), '') AS s FROM generate_series(1, 1000) i) x;
SELECT pg_column_size(c) < 2000 AS compressed, pg_column_size(t) > 20000 AS not_compressed FROM long;
SELECT "column", key_id, state, "values", examples FROM dbcrypt_census('long');

-- Places: a partition, an unlogged table, a materialized view, a temporary table, a
-- table of many columns, and one with dropped columns.
CREATE TABLE parts (id int, s text) PARTITION BY RANGE (id);
CREATE TABLE "Part 1" PARTITION OF parts FOR VALUES FROM (0) TO (10);
CREATE TABLE part2 (s text, gone text, id int);
ALTER TABLE part2 DROP gone;
ALTER TABLE parts ATTACH PARTITION part2 FOR VALUES FROM (10) TO (20);
INSERT INTO parts VALUES (1, dbcrypt_encrypt('x')), (11, dbcrypt_encrypt('x')), (12, dbcrypt_encrypt('x'));
CREATE UNLOGGED TABLE unlogged AS SELECT dbcrypt_encrypt('x') AS s;
CREATE MATERIALIZED VIEW view AS SELECT s FROM parts WHERE id = 1;
CREATE MATERIALIZED VIEW empty_view AS SELECT s FROM parts WITH NO DATA;
CREATE TEMP TABLE temporary AS SELECT dbcrypt_encrypt('x') AS s;
DO $$ BEGIN
	EXECUTE (SELECT format('CREATE TABLE wide (%s)', string_agg(format('c%s text', i), ', ')) FROM generate_series(1, 250) i);
END $$;
INSERT INTO wide (c1, c98, c99, c250) VALUES (dbcrypt_encrypt('x'), dbcrypt_encrypt('x'), dbcrypt_encrypt('x'), dbcrypt_encrypt('x'));
SELECT lo_from_bytea(5001, convert_to(repeat('a', 2040) || dbcrypt_encrypt('x'), 'UTF8'));
SELECT lo_from_bytea(5002, convert_to(repeat('a', 2048 - 24) || 'dbc1AQAAAAAAAAAA' || repeat('b', 8), 'UTF8'));
SELECT lo_from_bytea(5003, dbcrypt_encrypt(convert_to(repeat('a', 5000), 'UTF8')));
SELECT lo_from_bytea(5004, 'plain');
DROP TABLE scalars, within, nested, long;
SELECT * FROM dbcrypt_census();
SELECT "table", "column", "values" FROM dbcrypt_census('parts');

-- Registered columns, partitions included; under two keys.
SELECT dbcrypt_register_column('parts', 's');
\set other :key2 ',' :key1
SET dbcrypt.keys = :'other';
SELECT count(*) FROM dbcrypt_register_keys();
INSERT INTO parts VALUES (2, dbcrypt_encrypt('x'));
INSERT INTO parts VALUES (3, 'dbc1AQAAAAAAAAAB' || repeat('A', 40));
SET dbcrypt.keys = :'both';
SELECT * FROM dbcrypt_census('parts');

-- Columns of another application's scheme: by the key that a value names or that opens it.
-- What no loaded key opens may be under any key.
CREATE TABLE app (id int, named text, named_key_id text, unnamed_ciphertext text);
INSERT INTO app SELECT i, 'plain' FROM generate_series(1, 4) i;
SELECT dbcrypt_adopt('app', 'named', 'coder');
SELECT dbcrypt_adopt('app', 'unnamed_ciphertext', 'lockbox');
UPDATE app SET unnamed_ciphertext = 'plain' WHERE id < 4;
SELECT * FROM dbcrypt_census('app');
SELECT encrypted FROM dbcrypt_encrypt_column('app', 'named');
SELECT encrypted FROM dbcrypt_encrypt_column('app', 'unnamed_ciphertext');
SELECT "column", key_id, state, "values", cardinality(examples) AS examples, detail FROM dbcrypt_census('app');
SET dbcrypt.keys = :'key2';
SELECT "column", key_id, state, "values", cardinality(examples) AS examples, detail FROM dbcrypt_census('app');
SET dbcrypt.keys = :'both';
-- dbcrypt's own format in such a column is none of its values.
UPDATE app SET unnamed_ciphertext = dbcrypt_encrypt('x') WHERE id = 4;
SELECT "column", key_id, state, "values", cardinality(examples) AS examples, detail FROM dbcrypt_census('app');
-- An expression that fails: this column is not readable, the others are.
CREATE FUNCTION fails(int) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RAISE 'no attribute %', $1; END $$;
UPDATE dbcrypt_columns SET options = '{"attribute_expression": "public.fails(id)"}' WHERE "column" = 'unnamed_ciphertext';
SELECT "column", key_id, state, "values", detail FROM dbcrypt_census('app');
SELECT dbcrypt_unregister_column('app', 'unnamed_ciphertext');

-- Not readable: a foreign table.
CREATE FOREIGN DATA WRAPPER nothing;
CREATE SERVER elsewhere FOREIGN DATA WRAPPER nothing;
CREATE FOREIGN TABLE part3 PARTITION OF parts FOR VALUES FROM (30) TO (40) SERVER elsewhere;
SELECT * FROM dbcrypt_census('part3');
SELECT "table", "column", state FROM dbcrypt_census('parts') WHERE state = 'not readable';

-- No policy hides a row, and no code of others runs.
CREATE TABLE guarded AS SELECT dbcrypt_encrypt('x') AS s;
ALTER TABLE guarded ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
SELECT "table", "column", "values" FROM dbcrypt_census('guarded');

-- Who may: superusers and pg_read_all_data.
CREATE ROLE regress_dbcrypt_reader;
SET ROLE regress_dbcrypt_reader;
SELECT count(*) FROM dbcrypt_census();
RESET ROLE;
GRANT pg_read_all_data TO regress_dbcrypt_reader;
SET ROLE regress_dbcrypt_reader;
SELECT "table", "column", "values" FROM dbcrypt_census('guarded');
RESET ROLE;
GRANT EXECUTE ON FUNCTION dbcrypt_census TO PUBLIC;
REVOKE pg_read_all_data FROM regress_dbcrypt_reader;
SET ROLE regress_dbcrypt_reader;
SELECT count(*) FROM dbcrypt_census();
RESET ROLE;
DROP ROLE regress_dbcrypt_reader;

-- What is no table.
CREATE VIEW looking AS SELECT 1 AS one;
SELECT * FROM dbcrypt_census('looking');

-- In parallel, the same result.
CREATE TABLE many AS SELECT CASE WHEN i % 1000 = 0 THEN dbcrypt_encrypt('x') ELSE md5(i::text) END AS s FROM generate_series(1, 100000) i;
SELECT "column", key_id, state, "values", cardinality(examples) FROM dbcrypt_census('many');
SET max_parallel_workers_per_gather = 2;
SET min_parallel_table_scan_size = 0;
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
EXPLAIN (COSTS OFF) SELECT dbcrypt_census_values(ctid, s) FROM ONLY many;
SELECT "column", key_id, state, "values", cardinality(examples) FROM dbcrypt_census('many');
SET parallel_leader_participation = off;
SELECT "column", key_id, state, "values", cardinality(examples) FROM dbcrypt_census('many');

\c contrib_regression
DROP DATABASE dbcrypt_censusdb;
