-- Rotation in place: counts, rows that need the ordinary way, refusals.
\set key1 0101010101010101010101010101010101010101010101010101010101010101
\set key2 0202020202020202020202020202020202020202020202020202020202020202
\set both :key2 ',' :key1
\set reverse :key1 ',' :key2
LOAD 'dbcrypt';
SET dbcrypt.key_file = '';
SET dbcrypt.keys = :'both';
CREATE EXTENSION dbcrypt;
CREATE EXTENSION amcheck;
SELECT * FROM dbcrypt_register_keys();

-- Every value is rotated where it stands: no row version, no index entry, no growth.
SET dbcrypt.keys = :'key1';
CREATE TABLE tokens (id int PRIMARY KEY, category int, v text, b bytea) WITH (autovacuum_enabled = off);
CREATE INDEX tokens_category ON tokens (category);
INSERT INTO tokens SELECT n, n % 10, dbcrypt_encrypt('token ' || n), dbcrypt_encrypt(int4send(n)) FROM generate_series(1, 300) n;
INSERT INTO tokens VALUES (301, 1, NULL, NULL), (302, 2, NULL, NULL);
SET dbcrypt.keys = :'both';
INSERT INTO tokens SELECT n, 0, dbcrypt_encrypt('token ' || n), dbcrypt_encrypt(int4send(n)) FROM generate_series(303, 305) n;
-- A dead version, an aborted one, and the versions of a HOT chain.
DELETE FROM tokens WHERE id = 297;
UPDATE tokens SET category = category WHERE id = 298;
BEGIN;
UPDATE tokens SET category = category WHERE id = 299;
ROLLBACK;
CREATE TEMP TABLE before AS SELECT ctid AS tid, xmin AS xid, xmax AS xax, pg_relation_size('tokens') AS size,
    pg_indexes_size('tokens') AS indexes, * FROM tokens;
CALL dbcrypt_rotate_in_place('tokens', 'v');
CALL dbcrypt_rotate_in_place('tokens', 'b');
SELECT dbcrypt_key_id(v) AS v, dbcrypt_key_id(b) AS b, count(*), bool_and(dbcrypt_decrypt(v) = 'token ' || id) AS same,
       bool_and(dbcrypt_decrypt(b) = int4send(id)) AS same_binary FROM tokens GROUP BY 1, 2 ORDER BY 1;
SELECT count(*) AS same_versions, count(*) FILTER (WHERE t.v <> b.v) AS changed,
       bool_and(size = pg_relation_size('tokens')) AS same_size, bool_and(indexes = pg_indexes_size('tokens')) AS same_indexes
  FROM tokens t JOIN before b ON t.ctid = b.tid AND t.xmin = b.xid AND t.xmax = b.xax AND t.id = b.id AND t.category = b.category;
SELECT * FROM verify_heapam('tokens');
SELECT bt_index_check(indexrelid, true) FROM pg_index WHERE indrelid = 'tokens'::regclass;
SELECT "table", "column", aad FROM dbcrypt_columns ORDER BY 1, 2;

-- The second call finds nothing to do, and dirties nothing.
CALL dbcrypt_rotate_in_place('tokens', 'v');

-- Small batches, workers; the order of keys turned round. Whatever the session's
-- default, batches are READ COMMITTED; and the default stays.
SET dbcrypt.keys = :'reverse';
SET default_transaction_isolation = 'serializable';
CALL dbcrypt_rotate_in_place('tokens', 'v', batch_blocks => 1, workers => 2);
SHOW transaction_isolation;
RESET default_transaction_isolation;
SELECT dbcrypt_key_id(v) AS v, count(*) FROM tokens GROUP BY 1 ORDER BY 1;
SET dbcrypt.keys = :'both';

-- AAD over the row; columns that come before and after, dropped ones too.
CREATE TABLE bound (gone text, name text, d numeric, v text, note text);
SET dbcrypt.keys = :'key1';
INSERT INTO bound SELECT repeat('x', n), CASE WHEN n % 3 > 0 THEN 'n' || n END, CASE WHEN n % 2 > 0 THEN n / 7.0 END,
    dbcrypt_encrypt('bound ' || n, coalesce('n' || CASE WHEN n % 3 > 0 THEN n END, 'nobody')), 'note ' || n FROM generate_series(1, 100) n;
SET dbcrypt.keys = :'both';
ALTER TABLE bound DROP COLUMN gone, ADD COLUMN later text DEFAULT 'later';
CALL dbcrypt_rotate_in_place('bound', 'v', $$coalesce(name, 'nobody')$$);
SELECT dbcrypt_key_id(v) AS v, count(dbcrypt_decrypt(v, coalesce(name, 'nobody'))), count(DISTINCT note) FROM bound GROUP BY 1;

-- Out of line, compressed, and missing from the tuple: updated instead. A value
-- whose dead version cannot be done stays there until VACUUM.
SET dbcrypt.keys = :'key1';
CREATE TABLE shapes (id int, v bytea, w text) WITH (autovacuum_enabled = off);
ALTER TABLE shapes ALTER v SET STORAGE EXTERNAL;
INSERT INTO shapes SELECT n, dbcrypt_encrypt(convert_to(repeat('y', n * 1500), 'UTF8')) FROM generate_series(1, 4) n;
SELECT dbcrypt_encrypt('default') AS value \gset
ALTER TABLE shapes ADD COLUMN missing text DEFAULT :'value';
INSERT INTO shapes (id, missing) VALUES (5, :'value'), (6, NULL);
SET dbcrypt.keys = :'both';
CALL dbcrypt_rotate_in_place('shapes', 'v');
CALL dbcrypt_rotate_in_place('shapes', 'missing');
VACUUM shapes;
CALL dbcrypt_rotate_in_place('shapes', 'v');
SELECT id, dbcrypt_key_id(v) AS v, length(dbcrypt_decrypt(v)), dbcrypt_decrypt(missing) AS missing FROM shapes ORDER BY 1;
SELECT * FROM verify_heapam('shapes');

-- A dead version that nothing opens does not matter; a live one does.
SET dbcrypt.keys = :'key1';
CREATE TABLE bad (id int, v text) WITH (autovacuum_enabled = off);
INSERT INTO bad VALUES (1, 'plaintext'), (2, 'dbc1AWSKpcV5+zAAERERERERERERERERh7e2MgTn1UmuXjfXsCEqAYs75Ld80A=='), (3, dbcrypt_encrypt('three'));
SET dbcrypt.keys = :'both';
CALL dbcrypt_rotate_in_place('bad', 'v');
CALL dbcrypt_rotate_in_place('bad', 'v', on_error => 'skip');
DELETE FROM bad WHERE id < 3;
CALL dbcrypt_rotate_in_place('bad', 'v');
SELECT id, dbcrypt_decrypt(v) FROM bad;

-- Partitions and children.
SET dbcrypt.keys = :'key1';
CREATE TABLE parts (id int, v text) PARTITION BY RANGE (id);
CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (0) TO (10);
CREATE TABLE parts_2 (v text, extra int, id int);
ALTER TABLE parts_2 DROP COLUMN extra;
ALTER TABLE parts ATTACH PARTITION parts_2 FOR VALUES FROM (10) TO (20);
INSERT INTO parts SELECT n, dbcrypt_encrypt('part ' || n) FROM generate_series(1, 19) n;
SET dbcrypt.keys = :'both';
CALL dbcrypt_rotate_in_place('parts', 'v');
SELECT tableoid::regclass, dbcrypt_key_id(v) AS v, count(dbcrypt_decrypt(v)) FROM parts GROUP BY 1, 2 ORDER BY 1;

-- A temporary and an unlogged table.
SET dbcrypt.keys = :'key1';
CREATE TEMP TABLE temporary AS SELECT dbcrypt_encrypt('temporary') AS v FROM generate_series(1, 50);
CREATE UNLOGGED TABLE unlogged AS SELECT dbcrypt_encrypt('unlogged') AS v FROM generate_series(1, 50);
SET dbcrypt.keys = :'both';
CALL dbcrypt_rotate_in_place('temporary', 'v');
CALL dbcrypt_rotate_in_place('unlogged', 'v');
SELECT dbcrypt_key_id(v) AS v, count(dbcrypt_decrypt(v)) FROM (TABLE temporary UNION ALL TABLE unlogged) x GROUP BY 1;

-- The statistics hold no old value.
SET dbcrypt.keys = :'key1';
CREATE TABLE sampled AS SELECT dbcrypt_encrypt('sample') AS v FROM generate_series(1, 300);
ANALYZE sampled;
SELECT count(*) FROM pg_stats WHERE tablename = 'sampled' AND histogram_bounds::text LIKE '%dbc1AXLNboQixAcA%';
SET dbcrypt.keys = :'both';
CALL dbcrypt_rotate_in_place('sampled', 'v');
SELECT count(*) FROM pg_stats WHERE tablename = 'sampled' AND histogram_bounds::text LIKE '%dbc1AXLNboQixAcA%';

-- What it refuses, and why.
CREATE TABLE refused (id int, v text, w text);
CREATE INDEX refused_i ON refused (v);
CALL dbcrypt_rotate_in_place('refused', 'v');
DROP INDEX refused_i;
CREATE INDEX refused_i ON refused (id) INCLUDE (v);
CALL dbcrypt_rotate_in_place('refused', 'v');
DROP INDEX refused_i;
CREATE INDEX refused_i ON refused (length(v));
CALL dbcrypt_rotate_in_place('refused', 'v');
DROP INDEX refused_i;
CREATE INDEX refused_i ON refused (id) WHERE v IS NOT NULL;
CALL dbcrypt_rotate_in_place('refused', 'v');
DROP INDEX refused_i;
CREATE INDEX refused_i ON refused ((refused IS NULL));
CALL dbcrypt_rotate_in_place('refused', 'v');
DROP INDEX refused_i;
ALTER TABLE refused ADD CONSTRAINT refused_u UNIQUE (v);
CALL dbcrypt_rotate_in_place('refused', 'v');
ALTER TABLE refused DROP CONSTRAINT refused_u, ADD CONSTRAINT refused_c CHECK (v LIKE 'dbc1%');
CALL dbcrypt_rotate_in_place('refused', 'v');
ALTER TABLE refused DROP CONSTRAINT refused_c, ADD COLUMN g int GENERATED ALWAYS AS (length(v)) STORED;
CALL dbcrypt_rotate_in_place('refused', 'v');
ALTER TABLE refused DROP COLUMN g;
CREATE STATISTICS refused_s ON v, w FROM refused;
CALL dbcrypt_rotate_in_place('refused', 'v');
DROP STATISTICS refused_s;
CREATE STATISTICS refused_s ON (lower(v)) FROM refused;
CALL dbcrypt_rotate_in_place('refused', 'v');
DROP STATISTICS refused_s;
CREATE TRIGGER refused_t BEFORE UPDATE OF v ON refused FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger();
CALL dbcrypt_rotate_in_place('refused', 'v');
DROP TRIGGER refused_t ON refused;
CREATE TRIGGER refused_t BEFORE UPDATE ON refused FOR EACH ROW WHEN (OLD.* IS DISTINCT FROM NEW.*)
    EXECUTE FUNCTION suppress_redundant_updates_trigger();
CALL dbcrypt_rotate_in_place('refused', 'v');
DROP TRIGGER refused_t ON refused;
SET client_min_messages = error;
CREATE PUBLICATION refused_p FOR TABLE refused;
RESET client_min_messages;
CALL dbcrypt_rotate_in_place('refused', 'v');
DROP PUBLICATION refused_p;
CREATE FUNCTION of_a_table(int) RETURNS text LANGUAGE sql STABLE AS $$SELECT count(*)::text FROM pg_catalog.pg_class WHERE $1 = 0$$;
CALL dbcrypt_rotate_in_place('refused', 'v', 'public.of_a_table(id)');
DROP FUNCTION of_a_table;
CALL dbcrypt_rotate_in_place('pg_class', 'relname');
CALL dbcrypt_rotate_in_place('refused', 'id');
CALL dbcrypt_rotate_in_place('refused', 'nothing');
CREATE TABLE leaf_of (v text) PARTITION BY HASH (v);
CREATE TABLE leaf PARTITION OF leaf_of FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CALL dbcrypt_rotate_in_place('leaf_of', 'v');
CALL dbcrypt_rotate_in_place('leaf', 'v');

-- It commits as it goes, and works under nobody's cursor.
BEGIN;
CALL dbcrypt_rotate_in_place('refused', 'v');
ROLLBACK;
DO $$ BEGIN EXECUTE $call$CALL dbcrypt_rotate_in_place('refused', 'v')$call$; END $$;
DO $$
DECLARE
    c CURSOR FOR SELECT * FROM tokens;
    r tokens;
    n bigint;
BEGIN
    CALL dbcrypt_rotate_in_place('tokens', 'v', NULL, 256, 1, NULL, NULL, 1, 'stop', 0, n, n, n, n, n, n, n);
    OPEN c;
    FETCH c INTO r;
    CALL dbcrypt_rotate_in_place('tokens', 'v', NULL, 256, 1, NULL, NULL, 1, 'stop', 0, n, n, n, n, n, n, n);
END $$;

-- Arguments.
CALL dbcrypt_rotate_in_place('refused', NULL);
CALL dbcrypt_rotate_in_place('refused', 'v', batch_blocks => 0);
CALL dbcrypt_rotate_in_place('refused', 'v', workers => 0);
CALL dbcrypt_rotate_in_place('refused', 'v', busy_share => 0);
CALL dbcrypt_rotate_in_place('refused', 'v', on_error => 'ignore');
CALL dbcrypt_rotate_in_place('refused', 'v', pin_timeout => -1);

-- Only the owner.
CREATE ROLE dbcrypt_in_place;
SET ROLE dbcrypt_in_place;
CALL dbcrypt_rotate_in_place('refused', 'v');
RESET ROLE;
GRANT EXECUTE ON PROCEDURE dbcrypt_rotate_in_place TO dbcrypt_in_place;
SET ROLE dbcrypt_in_place;
CALL dbcrypt_rotate_in_place('refused', 'v');
RESET ROLE;
REVOKE EXECUTE ON PROCEDURE dbcrypt_rotate_in_place FROM dbcrypt_in_place;
DROP ROLE dbcrypt_in_place;

DROP TABLE tokens, bound, shapes, bad, parts, temporary, unlogged, sampled, refused, leaf_of, before;
DROP EXTENSION dbcrypt;
DROP EXTENSION amcheck;
