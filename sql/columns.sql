-- Columns: the registry, what it follows, and what an AAD expression may be.
\set key1 0101010101010101010101010101010101010101010101010101010101010101
\set key2 0202020202020202020202020202020202020202020202020202020202020202
\set both :key2 ',' :key1
LOAD 'dbcrypt';
SET dbcrypt.key_file = '';
SET dbcrypt.keys = :'both';
CREATE EXTENSION dbcrypt;
SELECT * FROM dbcrypt_register_keys();
SET dbcrypt.keys = :'key1';

-- Register, twice, and unregister.
CREATE TABLE users (id int PRIMARY KEY, email text, token text, raw bytea, n int);
SELECT dbcrypt_register_column('users', 'token');
SELECT dbcrypt_register_column('users', 'token');
SELECT dbcrypt_register_column('users', 'raw', 'id::text');
SELECT "table", "column", scheme, aad, options, attnum FROM dbcrypt_columns ORDER BY 1, attnum;
SELECT dbcrypt_register_column('users', 'token', 'id::text');
SELECT dbcrypt_register_column('users', 'raw');
SELECT dbcrypt_register_column('users', 'raw', 'email');
SELECT dbcrypt_rotate('users', 'raw', 'email');
SELECT dbcrypt_unregister_column('users', 'raw');
SELECT dbcrypt_unregister_column('users', 'raw');
SELECT dbcrypt_unregister_column('users', 'nothing');
-- What a provisioning tool calls twice is no error the second time.
SELECT dbcrypt_unregister_column('users', 'raw', if_exists => true);
SELECT dbcrypt_unregister_column('users', 'nothing', if_exists => true);
SELECT dbcrypt_unregister_column(to_regclass('no_such_table'), 'raw', if_exists => true);
SELECT dbcrypt_register_column('users', 'raw', 'id::text'), dbcrypt_register_column('users', 'raw', 'id::text');
SELECT dbcrypt_unregister_column('users', 'raw', if_exists => true);
SELECT dbcrypt_register_column('users', NULL);
SELECT dbcrypt_register_column(NULL, 'token');

-- What cannot be registered.
SELECT dbcrypt_register_column('users', 'nothing');
SELECT dbcrypt_register_column('users', 'n');
SELECT dbcrypt_register_column('users', 'ctid');
SELECT dbcrypt_register_column('dbcrypt_keys', 'canary');
SELECT dbcrypt_register_column('pg_class', 'relname');
CREATE TEMP TABLE passing (v text);
SELECT dbcrypt_register_column('passing', 'v');
SELECT dbcrypt_rotate('passing', 'v');
SELECT count(*) FROM dbcrypt_columns WHERE "table" = 'passing';
DROP TABLE passing;

-- AAD expressions: one expression over other columns of the row, and no more.
SELECT dbcrypt_register_column('users', 'raw', 'id');
SELECT dbcrypt_unregister_column('users', 'raw');
SELECT dbcrypt_register_column('users', 'raw', $$coalesce(users.email, '') || ':' || id$$);
SELECT dbcrypt_unregister_column('users', 'raw');
SELECT dbcrypt_register_column('users', 'raw', $$'users.raw'$$);
SELECT dbcrypt_unregister_column('users', 'raw');
SELECT dbcrypt_register_column('users', 'raw', $$(SELECT 'x')$$);
SELECT dbcrypt_register_column('users', 'raw', 'max(id)::text');
SELECT dbcrypt_register_column('users', 'raw', 'row_number() OVER ()');
SELECT dbcrypt_register_column('users', 'raw', 'generate_series(1, id)');
SELECT dbcrypt_register_column('users', 'raw', 'random()::text');
SELECT dbcrypt_register_column('users', 'raw', 'raw');
SELECT dbcrypt_register_column('users', 'raw', $$encode(raw, 'hex')$$);
SELECT dbcrypt_register_column('users', 'raw', 'ctid::text');
SELECT dbcrypt_register_column('users', 'raw', 'xmin::text');
SELECT dbcrypt_register_column('users', 'raw', 'users::text');
SELECT dbcrypt_register_column('users', 'raw', 'users.*::text');
SELECT dbcrypt_register_column('users', 'raw', '*');
SELECT dbcrypt_register_column('users', 'raw', '');
SELECT dbcrypt_register_column('users', 'raw', ' -- nothing');
SELECT dbcrypt_register_column('users', 'raw', 'id::text; DROP TABLE users');
SELECT dbcrypt_register_column('users', 'raw', 'id::text, email');
SELECT dbcrypt_register_column('users', 'raw', 'id::text FROM users');
SELECT dbcrypt_register_column('users', 'raw', 'id::text WHERE true');
SELECT dbcrypt_register_column('users', 'raw', 'id::text UNION SELECT email');
SELECT dbcrypt_register_column('users', 'raw', 'id::text ORDER BY 1');
SELECT dbcrypt_register_column('users', 'raw', 'id::text LIMIT 1');
SELECT dbcrypt_register_column('users', 'raw', 'id::text INTO x');
SELECT dbcrypt_register_column('users', 'raw', 'DISTINCT id::text');
SELECT dbcrypt_register_column('users', 'raw', 'id::text AS x');
SELECT dbcrypt_register_column('users', 'raw', 'no_such_column');
\set VERBOSITY terse
SELECT dbcrypt_register_column('users', 'raw', 'no_such_function(id)');
\set VERBOSITY default
SELECT dbcrypt_register_column('users', 'raw', '$1');
SELECT dbcrypt_register_column('users', 'raw', 'id ||');
CREATE TABLE generated (id int, v text, w text GENERATED ALWAYS AS (left(v, 16)) STORED, x text GENERATED ALWAYS AS (id || '!') STORED);
SELECT dbcrypt_register_column('generated', 'v', 'w');
SELECT dbcrypt_register_column('generated', 'w');
SELECT dbcrypt_register_column('generated', 'v', 'x');
SELECT "table", "column", scheme, aad, options, attnum FROM dbcrypt_columns ORDER BY 1, attnum;
DROP TABLE generated;

-- Nor may it read what a rotation of another column changes, whichever is registered first.
SELECT dbcrypt_unregister_column('users', 'token');
SELECT dbcrypt_register_column('users', 'raw', $$email || id$$);
SELECT dbcrypt_register_column('users', 'email');
SELECT dbcrypt_rotate('users', 'email');
SELECT dbcrypt_rotate('users', 'email', dry_run => true);
SELECT dbcrypt_unregister_column('users', 'raw');
SELECT dbcrypt_register_column('users', 'email');
SELECT dbcrypt_register_column('users', 'raw', $$email || id$$);
SELECT dbcrypt_rotate('users', 'raw', $$email || id$$);
SELECT dbcrypt_unregister_column('users', 'email');
CREATE TABLE ancestor (id int, v text, w text) PARTITION BY LIST (id);
CREATE TABLE descendant (w text, v text, id int);
ALTER TABLE ancestor ATTACH PARTITION descendant DEFAULT;
SELECT dbcrypt_register_column('ancestor', 'v', 'w');
SELECT dbcrypt_rotate('descendant', 'w');
DROP TABLE ancestor;
CREATE TABLE generated (id int, v text, w text GENERATED ALWAYS AS (left(v, 16)) STORED, x text);
SELECT dbcrypt_register_column('generated', 'x', 'w');
SELECT dbcrypt_rotate('generated', 'v');
DROP TABLE generated;
SELECT dbcrypt_register_column('users', 'token');
SELECT dbcrypt_register_column('users', 'raw', 'id::text');

-- The registry follows renames.
ALTER TABLE users RENAME COLUMN token TO oauth_token;
SELECT "table", "column", attnum FROM dbcrypt_columns ORDER BY 1, 2;
ALTER VIEW users RENAME COLUMN oauth_token TO token1;
SELECT "table", "column", attnum FROM dbcrypt_columns ORDER BY 1, 2;
ALTER MATERIALIZED VIEW users RENAME COLUMN token1 TO token2;
SELECT "table", "column", attnum FROM dbcrypt_columns ORDER BY 1, 2;
ALTER TABLE users RENAME TO members;
CREATE SCHEMA regress_dbcrypt;
ALTER TABLE members SET SCHEMA regress_dbcrypt;
SELECT "table", "column", attnum FROM dbcrypt_columns ORDER BY 1, 2;
SET session_replication_role = replica;
ALTER TABLE regress_dbcrypt.members RENAME COLUMN token2 TO token;
RESET session_replication_role;
SELECT "table", "column", attnum FROM dbcrypt_columns ORDER BY 1, 2;
CREATE TYPE person AS (name text, token text);
CREATE TABLE people OF person;
SELECT dbcrypt_register_column('people', 'token');
ALTER TYPE person RENAME ATTRIBUTE token TO secret CASCADE;
SELECT "table", "column", attnum FROM dbcrypt_columns ORDER BY 1;
BEGIN;
ALTER TABLE regress_dbcrypt.members RENAME COLUMN token TO t;
ROLLBACK;
SELECT "table", "column", attnum FROM dbcrypt_columns ORDER BY 1;

-- It follows drops: of a column, a table, a schema, a type, all that a role owns.
DROP TYPE person CASCADE;
SELECT "table", "column" FROM dbcrypt_columns ORDER BY 1, 2;
SELECT dbcrypt_register_column('regress_dbcrypt.members', 'email');
ALTER TABLE regress_dbcrypt.members DROP COLUMN token;
SELECT "table", "column" FROM dbcrypt_columns ORDER BY 1, 2;
BEGIN;
DROP TABLE regress_dbcrypt.members;
SELECT count(*) FROM dbcrypt_columns;
ROLLBACK;
SELECT "table", "column" FROM dbcrypt_columns ORDER BY 1, 2;
\set VERBOSITY terse
DROP SCHEMA regress_dbcrypt CASCADE;
\set VERBOSITY default
SELECT count(*) FROM dbcrypt_columns;
CREATE ROLE regress_dbcrypt_owner;
CREATE TABLE owned (v text);
ALTER TABLE owned OWNER TO regress_dbcrypt_owner;
SELECT dbcrypt_register_column('owned', 'v');
DROP OWNED BY regress_dbcrypt_owner;
SELECT count(*) FROM dbcrypt_columns;
CREATE TABLE parent (id int, v text) PARTITION BY LIST (id);
CREATE TABLE child PARTITION OF parent DEFAULT;
SELECT dbcrypt_register_column('parent', 'v'), dbcrypt_register_column('child', 'v');
ALTER TABLE parent RENAME COLUMN v TO w;
SELECT "table", "column" FROM dbcrypt_columns ORDER BY 1;
DROP TABLE parent;
SELECT count(*) FROM dbcrypt_columns;

-- What leaves its parent stays registered, by itself: of any depth, by any owner.
CREATE TABLE parent (id int, k int, v text, w text) PARTITION BY LIST (id);
CREATE TABLE middle PARTITION OF parent DEFAULT PARTITION BY LIST (k);
CREATE TABLE leaf (w text, v text, id int, k int);
ALTER TABLE middle ATTACH PARTITION leaf DEFAULT;
CREATE TABLE leaf1 PARTITION OF middle FOR VALUES IN (1);
SELECT dbcrypt_register_column('parent', 'v', 'id::text'), dbcrypt_register_column('middle', 'w');
SELECT dbcrypt_register_column('leaf1', 'w');
CREATE TABLE theirs (id int, v text) PARTITION BY LIST (id);
CREATE TABLE their_leaf PARTITION OF theirs FOR VALUES IN (1);
ALTER TABLE theirs OWNER TO regress_dbcrypt_owner;
ALTER TABLE their_leaf OWNER TO regress_dbcrypt_owner;
SELECT dbcrypt_register_column('theirs', 'v');
SET ROLE regress_dbcrypt_owner;
ALTER TABLE theirs DETACH PARTITION their_leaf;
RESET ROLE;
BEGIN;
ALTER TABLE middle DETACH PARTITION leaf;
ROLLBACK;
ALTER TABLE middle DETACH PARTITION leaf;
ALTER TABLE middle DETACH PARTITION leaf1 CONCURRENTLY;
SELECT "table", "column", aad, attnum FROM dbcrypt_columns ORDER BY "table"::text, attnum;
DROP TABLE parent, theirs, leaf, leaf1, their_leaf;
CREATE TABLE parent (v text);
CREATE TABLE aside (w text);
CREATE TABLE child (x int) INHERITS (parent, aside);
CREATE TABLE grandchild () INHERITS (child);
SELECT dbcrypt_register_column('parent', 'v');
ALTER TABLE child NO INHERIT aside;
SELECT "table", "column" FROM dbcrypt_columns ORDER BY 1, 2;
ALTER TABLE child RENAME COLUMN x TO y;
ALTER TABLE IF EXISTS nothing NO INHERIT parent;
ALTER TABLE child NO INHERIT parent, ADD COLUMN z int;
SELECT "table", "column" FROM dbcrypt_columns ORDER BY 1, 2;
DROP TABLE parent, aside, child CASCADE;
SELECT count(*) FROM dbcrypt_columns;

-- But nothing that could not be registered by itself.
CREATE TABLE parent (v text);
SELECT dbcrypt_register_column('parent', 'v');
CREATE TEMP TABLE passing () INHERITS (parent);
ALTER TABLE passing NO INHERIT parent;
CREATE FOREIGN DATA WRAPPER nowhere;
CREATE SERVER nowhere FOREIGN DATA WRAPPER nowhere;
CREATE FOREIGN TABLE abroad () INHERITS (parent) SERVER nowhere;
ALTER FOREIGN TABLE abroad NO INHERIT parent;
SELECT "table", "column" FROM dbcrypt_columns ORDER BY 1, 2;
DROP TABLE passing;
DROP FOREIGN DATA WRAPPER nowhere CASCADE;

-- And no expression that would run as somebody else from then on.
CREATE TABLE child (id int) INHERITS (parent);
ALTER TABLE child OWNER TO regress_dbcrypt_owner;
ALTER TABLE child NO INHERIT parent;
SELECT "table", "column" FROM dbcrypt_columns ORDER BY "table"::text;
SELECT dbcrypt_unregister_column('child', 'v'), dbcrypt_unregister_column('parent', 'v');
ALTER TABLE parent ADD COLUMN id int;
ALTER TABLE child INHERIT parent;
SELECT dbcrypt_register_column('parent', 'v', 'id::text');
ALTER TABLE child NO INHERIT parent;
SELECT dbcrypt_register_column('child', 'v', 'id::text');
ALTER TABLE child NO INHERIT parent;
SELECT "table", "column", aad FROM dbcrypt_columns ORDER BY "table"::text;
DROP TABLE parent, child;

-- A column that is dropped of its table alone.
CREATE TABLE parent (v text, w text);
CREATE TABLE child () INHERITS (parent);
CREATE TABLE grandchild () INHERITS (child);
SELECT dbcrypt_register_column('parent', 'v');
ALTER TABLE ONLY parent DROP COLUMN v;
SELECT "table", "column" FROM dbcrypt_columns ORDER BY "table"::text;
DROP TABLE parent CASCADE;
SELECT count(*) FROM dbcrypt_columns;

-- DDL goes on beside a row that this version cannot read.
CREATE TABLE beside (v text);
INSERT INTO dbcrypt_columns VALUES ('public', 'beside', 'v', 'of the future', NULL, '{"new": 1}');
ALTER TABLE beside RENAME COLUMN v TO w;
SELECT "table", "column", scheme FROM dbcrypt_columns;
SELECT dbcrypt_verify('beside', 'w');
SELECT * FROM dbcrypt_verify_all();
SELECT * FROM dbcrypt_rotate_all();
DROP TABLE beside;
SELECT count(*) FROM dbcrypt_columns;

-- A row comes in by name, as from a dump.
CREATE TABLE restored (gone int, v text, w text);
ALTER TABLE restored DROP COLUMN gone;
INSERT INTO dbcrypt_columns VALUES ('public', 'restored', 'v', 'native', NULL, '{}');
INSERT INTO dbcrypt_columns VALUES ('public', 'restored', 'nothing', 'native', NULL, '{}');
INSERT INTO dbcrypt_columns ("schema", "table", "column") VALUES ('public', 'restored', 'w');
SET session_replication_role = replica;
DELETE FROM dbcrypt_columns WHERE "column" = 'w';
INSERT INTO dbcrypt_columns VALUES ('public', 'restored', 'w', 'native', NULL, '{}');
RESET session_replication_role;
SELECT "table", "column", attnum FROM dbcrypt_columns ORDER BY attnum;
DROP TABLE restored;
INSERT INTO dbcrypt_columns VALUES ('public', 'restored', 'nothing', 'native', NULL, '{}');
SELECT * FROM dbcrypt_verify_all();
SELECT severity, subject, finding FROM dbcrypt_check() WHERE subject LIKE 'registered%';
DELETE FROM dbcrypt_columns;
SELECT count(*) FROM dbcrypt_columns;

-- An owner registers; others do not, whatever they were granted.
GRANT EXECUTE ON FUNCTION dbcrypt_register_column, dbcrypt_unregister_column TO regress_dbcrypt_owner;
CREATE TABLE mine (v text);
ALTER TABLE mine OWNER TO regress_dbcrypt_owner;
CREATE TABLE yours (v text);
GRANT ALL ON yours TO regress_dbcrypt_owner;
SET ROLE regress_dbcrypt_owner;
SELECT dbcrypt_register_column('yours', 'v');
SELECT dbcrypt_unregister_column('yours', 'v');
SELECT dbcrypt_register_column('mine', 'v');
SELECT "table", "column" FROM dbcrypt_columns ORDER BY 1, 2;
ALTER TABLE mine RENAME COLUMN v TO w;
SELECT "table", "column" FROM dbcrypt_columns ORDER BY 1, 2;
SELECT dbcrypt_unregister_column('mine', 'w');
SELECT dbcrypt_register_column('mine', 'w');
DROP TABLE mine;
SELECT count(*) FROM dbcrypt_columns;
RESET ROLE;

DROP TABLE yours;
DROP EXTENSION dbcrypt;
DROP ROLE regress_dbcrypt_owner;
