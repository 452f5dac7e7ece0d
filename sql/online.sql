-- Rotation while the application runs: results, options, refusals, bad values.
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

-- No primary key; NULLs, and values that are current; the same counts as dbcrypt_rotate.
CREATE TABLE tokens (id int, v text, other text DEFAULT 'other');
INSERT INTO tokens SELECT n, dbcrypt_encrypt('token ' || n) FROM generate_series(1, 2000) n;
INSERT INTO tokens VALUES (2001), (2002);
CREATE TABLE same AS TABLE tokens;
SET dbcrypt.keys = :'both';
INSERT INTO tokens VALUES (2003, dbcrypt_encrypt('token 2003'));
INSERT INTO same SELECT * FROM tokens WHERE id = 2003;
CREATE TEMP TABLE before AS SELECT ctid AS tid, * FROM tokens;
CALL dbcrypt_rotate_online('tokens', 'v', batch_blocks => 1);
SELECT * FROM dbcrypt_rotate('same', 'v');
SELECT dbcrypt_key_id(v), count(*), bool_and(dbcrypt_decrypt(v) = 'token ' || id) AS same FROM tokens GROUP BY 1 ORDER BY 1;
SELECT count(*) FILTER (WHERE t.other = b.other) AS others, count(*) FILTER (WHERE t.v <> b.v) AS changed,
       count(*) FILTER (WHERE t.ctid = b.tid) AS untouched FROM tokens t JOIN before b USING (id);
SELECT "table", "column", scheme, aad FROM dbcrypt_columns WHERE "table" = 'tokens';

-- The second call rotates nothing.
UPDATE before SET tid = t.ctid FROM tokens t WHERE t.id = before.id;
CALL dbcrypt_rotate_online('tokens', 'v');
SELECT count(*) AS untouched FROM tokens t JOIN before b ON t.ctid = b.tid;

-- Options. The throttled ways give the same result; no worker is needed for any.
SET client_min_messages = warning;
SET dbcrypt.keys = :'reverse';
CALL dbcrypt_rotate_online('tokens', 'v', batch_blocks => 7, busy_share => 0.5, max_wal_rate => '1GB', max_lag => '1GB', on_error => 'skip', vacuum_every => 1);
SET dbcrypt.keys = :'both';
CALL dbcrypt_rotate_online('tokens', 'v', NULL, 3, 1, NULL, NULL, 3, 'stop', 0);
SELECT dbcrypt_key_id(v), count(*), bool_and(dbcrypt_decrypt(v) = 'token ' || id) AS same FROM tokens GROUP BY 1 ORDER BY 1;
RESET client_min_messages;

-- Arguments.
CALL dbcrypt_rotate_online('tokens', 'v', batch_blocks => 0);
CALL dbcrypt_rotate_online('tokens', 'v', batch_blocks => 131073);
CALL dbcrypt_rotate_online('tokens', 'v', batch_blocks => NULL);
CALL dbcrypt_rotate_online('tokens', 'v', busy_share => 0);
CALL dbcrypt_rotate_online('tokens', 'v', busy_share => 1.1);
CALL dbcrypt_rotate_online('tokens', 'v', busy_share => 'NaN');
CALL dbcrypt_rotate_online('tokens', 'v', busy_share => NULL);
CALL dbcrypt_rotate_online('tokens', 'v', max_wal_rate => '0');
CALL dbcrypt_rotate_online('tokens', 'v', max_wal_rate => 'fast');
CALL dbcrypt_rotate_online('tokens', 'v', max_lag => '-1kB');
CALL dbcrypt_rotate_online('tokens', 'v', workers => 0);
CALL dbcrypt_rotate_online('tokens', 'v', workers => 65);
CALL dbcrypt_rotate_online('tokens', 'v', workers => NULL);
CALL dbcrypt_rotate_online('tokens', 'v', on_error => 'ignore');
CALL dbcrypt_rotate_online('tokens', 'v', on_error => NULL);
CALL dbcrypt_rotate_online('tokens', 'v', vacuum_every => -1);
CALL dbcrypt_rotate_online(NULL, 'v');
CALL dbcrypt_rotate_online('tokens', NULL);
CALL dbcrypt_rotate_online('tokens', 'missing');
CALL dbcrypt_rotate_online('tokens', 'id');
CALL dbcrypt_rotate_online('tokens', 'ctid');
CALL dbcrypt_rotate_online('dbcrypt_key_status', 'key_id');
CALL dbcrypt_rotate_online('pg_class', 'relname');
CALL dbcrypt_rotate_online(1, 'v');
CALL dbcrypt_rotate_online('tokens', 'v', 'v');
CALL dbcrypt_rotate_online('tokens', 'v', 'id::text');

-- It commits as it goes: only where that is possible.
BEGIN;
CALL dbcrypt_rotate_online('tokens', 'v');
ROLLBACK;
CREATE FUNCTION inside() RETURNS void LANGUAGE plpgsql AS $$ DECLARE n bigint; BEGIN CALL dbcrypt_rotate_online('tokens', 'v', scanned => n, rotated => n, current => n, nulls => n, skipped => n); END $$;
SELECT inside();
DROP FUNCTION inside;
CREATE PROCEDURE definer() LANGUAGE plpgsql SECURITY DEFINER AS $$ DECLARE n bigint; BEGIN CALL dbcrypt_rotate_online('tokens', 'v', scanned => n, rotated => n, current => n, nulls => n, skipped => n); END $$;
CALL definer();
DROP PROCEDURE definer;
SET dbcrypt.keys = :'reverse';
DO $$
DECLARE
  s bigint; r bigint; c bigint; n bigint; k bigint;
BEGIN
  CALL dbcrypt_rotate_online('tokens', 'v', batch_blocks => 4, scanned => s, rotated => r, current => c, nulls => n, skipped => k);
  RAISE NOTICE '% scanned, % rotated, % current, % nulls, % skipped', s, r, c, n, k;
END $$;
DO $$
DECLARE
  n bigint;
BEGIN
  CALL dbcrypt_rotate_online('tokens', 'v', scanned => n, rotated => n, current => n, nulls => n, skipped => n);
EXCEPTION WHEN others THEN
  RAISE NOTICE '%', sqlerrm;
END $$;
DO $$
DECLARE
  n bigint;
  row record;
BEGIN
  FOR row IN SELECT * FROM tokens LOOP
    CALL dbcrypt_rotate_online('tokens', 'v', scanned => n, rotated => n, current => n, nulls => n, skipped => n);
  END LOOP;
END $$;
SET dbcrypt.keys = :'both';
SET default_transaction_read_only = on;
CALL dbcrypt_rotate_online('tokens', 'v');
RESET default_transaction_read_only;

-- Whatever the session's default, batches are READ COMMITTED; and the default stays.
SET default_transaction_isolation = 'serializable';
CALL dbcrypt_rotate_online('tokens', 'v', batch_blocks => 1);
SHOW transaction_isolation;
SET default_transaction_isolation = 'repeatable read';
SET dbcrypt.keys = :'reverse';
CALL dbcrypt_rotate_online('tokens', 'v', batch_blocks => 1);
RESET default_transaction_isolation;
SET dbcrypt.keys = :'both';
DROP TABLE tokens, same, before;

-- Bad values stop it after their batch: they are named, the good ones stay rotated.
CREATE TABLE bad (id int, v text);
INSERT INTO bad VALUES (1, 'dbc1AXLNboQixAcAERERERERERERERERoj3jOq9gTKDxH6sH6t5ZeeVQzrCJUQ=='), (2, 'plaintext'),
    (3, 'dbc1AXLNboQixAcAERERERERERERERERoj3jOq9g2zkevJXjRcwK6KROLiX7gA=='),
    (4, 'dbc1AWSKpcV5+zAAERERERERERERERERh7e2MgTn1UmuXjfXsCEqAYs75Ld80A=='),
    (5, 'dbc1AXLNboQixAcBERERERERERERERERoj3jOq9gTKDxH6sH6t5ZeeVQzrCJUQ=='),
    (6, 'dbc1AXLNboQixAcAERERERERERERERERoj3jOq9gTKDxH6sH6t5ZeeVQzrCJUQ=='), (7, NULL);
CALL dbcrypt_rotate_online('bad', 'v');
SELECT id, v LIKE 'dbc1AXWHe7QdOTsA%' AS rotated FROM bad ORDER BY id;
CALL dbcrypt_rotate_online('bad', 'v', on_error => 'skip');
CALL dbcrypt_rotate_online('bad', 'v', on_error => 'skip');
CALL dbcrypt_rotate_online('bad', 'v');
INSERT INTO bad SELECT 100 + n, 'plaintext' FROM generate_series(1, 20) n;
CALL dbcrypt_rotate_online('bad', 'v');
DELETE FROM bad WHERE id BETWEEN 2 AND 5 OR id > 100;
CALL dbcrypt_rotate_online('bad', 'v', on_error => 'skip');
DROP TABLE bad;

-- A column without one good value is not registered.
CREATE TABLE wrong (v text);
INSERT INTO wrong VALUES ('plaintext');
CALL dbcrypt_rotate_online('wrong', 'v');
SELECT count(*) FROM dbcrypt_columns WHERE "table" = 'wrong';
DROP TABLE wrong;

-- AAD: given once, then registered. A NULL in it makes a bad value.
SET dbcrypt.keys = :'key1';
CREATE TABLE bound (id int, name text, v text, b bytea);
INSERT INTO bound SELECT n, 'name ' || n, dbcrypt_encrypt('v' || n, 'name ' || n || ':' || n), dbcrypt_encrypt(convert_to('b' || n, 'UTF8'), n::text) FROM generate_series(1, 5) n;
SET dbcrypt.keys = :'both';
CALL dbcrypt_rotate_online('bound', 'v');
CALL dbcrypt_rotate_online('bound', 'v', $$name || ':' || id$$);
CALL dbcrypt_rotate_online('bound', 'b', 'id');
SELECT bool_and(dbcrypt_decrypt(v, name || ':' || id) = 'v' || id) AS v, bool_and(dbcrypt_decrypt(b, id::text) = convert_to('b' || id, 'UTF8')) AS b FROM bound;
SET dbcrypt.keys = :'reverse';
CALL dbcrypt_rotate_online('bound', 'v');
UPDATE bound SET name = NULL WHERE id = 3;
SET dbcrypt.keys = :'both';
CALL dbcrypt_rotate_online('bound', 'v');
CALL dbcrypt_rotate_online('bound', 'v', on_error => 'skip');
SELECT "table", "column", aad FROM dbcrypt_columns WHERE "table" = 'bound' ORDER BY 2;
DROP TABLE bound;

-- Partitions of several blocks each, in another column order; a partition by itself.
SET dbcrypt.keys = :'key1';
CREATE TABLE logs (id int, region text, gone text, v text) PARTITION BY LIST (region);
CREATE TABLE logs_eu PARTITION OF logs FOR VALUES IN ('eu') PARTITION BY RANGE (id);
CREATE TABLE logs_eu_1 PARTITION OF logs_eu FOR VALUES FROM (0) TO (1000);
CREATE TABLE logs_eu_2 (junk int, v text, gone text, region text, id int);
ALTER TABLE logs_eu_2 DROP COLUMN junk;
ALTER TABLE logs_eu ATTACH PARTITION logs_eu_2 FOR VALUES FROM (1000) TO (2000);
ALTER TABLE logs DROP COLUMN gone;
CREATE TABLE logs_none PARTITION OF logs FOR VALUES IN ('none');
CREATE TABLE logs_rest PARTITION OF logs DEFAULT;
INSERT INTO logs SELECT n, CASE WHEN n < 2000 THEN 'eu' ELSE 'us' END, dbcrypt_encrypt('v' || n, n::text) FROM generate_series(0, 2999) n;
SET dbcrypt.keys = :'both';
CALL dbcrypt_rotate_online('logs_eu_1', 'v', 'id', batch_blocks => 5);
CALL dbcrypt_rotate_online('logs', 'v', 'id', batch_blocks => 5);
SELECT tableoid::regclass, dbcrypt_key_id(v) AS v, count(*), bool_and(dbcrypt_decrypt(v, id::text) = 'v' || id) AS same FROM logs GROUP BY 1, 2 ORDER BY 1;
SET client_min_messages = warning;
SET dbcrypt.keys = :'reverse';
CALL dbcrypt_rotate_online('logs', 'v', batch_blocks => 5, workers => 2);
SELECT tableoid::regclass, dbcrypt_key_id(v) AS v, count(*), bool_and(dbcrypt_decrypt(v, id::text) = 'v' || id) AS same FROM logs GROUP BY 1, 2 ORDER BY 1;
RESET client_min_messages;
CALL dbcrypt_rotate_online('logs', 'region');
CALL dbcrypt_rotate_online('logs_eu_1', 'id');
DROP TABLE logs;

-- Inheritance, and values out of line.
SET dbcrypt.keys = :'key1';
CREATE TABLE base (id int, v text);
CREATE TABLE derived (extra int) INHERITS (base);
INSERT INTO base VALUES (1, dbcrypt_encrypt('1'));
INSERT INTO derived SELECT n, dbcrypt_encrypt(repeat(n::text, n * 10000)), 7 FROM generate_series(2, 5) n;
SET dbcrypt.keys = :'both';
CALL dbcrypt_rotate_online('base', 'v');
SELECT tableoid::regclass, id, dbcrypt_key_id(v), dbcrypt_decrypt(v) = repeat(id::text, CASE id WHEN 1 THEN 1 ELSE id * 10000 END) AS same FROM base ORDER BY id;
DROP TABLE base CASCADE;

-- Generated columns, constraints and indexes follow; triggers and policies see nothing.
SET dbcrypt.keys = :'key1';
CREATE TABLE derived (id int PRIMARY KEY, v text NOT NULL CHECK (v LIKE 'dbc1%'), key text GENERATED ALWAYS AS (left(v, 16)) STORED);
CREATE UNIQUE INDEX ON derived (v);
CREATE INDEX ON derived (left(v, 16));
CREATE FUNCTION never() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'fired'; END $$;
INSERT INTO derived SELECT n, dbcrypt_encrypt(n::text) FROM generate_series(1, 500) n;
CREATE TRIGGER never BEFORE UPDATE ON derived FOR EACH ROW EXECUTE FUNCTION never();
ALTER TABLE derived ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
SET dbcrypt.keys = :'both';
CALL dbcrypt_rotate_online('derived', 'v', batch_blocks => 2);
SET enable_seqscan = off;
SELECT count(*) FROM derived WHERE left(v, 16) = 'dbc1AXWHe7QdOTsA';
SELECT count(*) FROM derived WHERE left(v, 16) = 'dbc1AXLNboQixAcA';
SELECT count(*), bool_and(key = left(v, 16)) AS key, bool_and(dbcrypt_decrypt(v) = id::text) AS same FROM derived WHERE id > 0;
RESET enable_seqscan;
ALTER TABLE derived ADD CHECK (v NOT LIKE 'dbc1AXLN%');
SET dbcrypt.keys = :'reverse';
CALL dbcrypt_rotate_online('derived', 'v');
SET dbcrypt.keys = :'both';
DROP TABLE derived;
DROP FUNCTION never;

-- A foreign key over the column.
CREATE TABLE parents (v text PRIMARY KEY);
CREATE TABLE children (v text REFERENCES parents);
CALL dbcrypt_rotate_online('parents', 'v');
CALL dbcrypt_rotate_online('children', 'v');
DROP TABLE children, parents;

-- Temporary tables (which no worker can read), unlogged ones, empty ones; odd names.
CREATE TEMP TABLE passing (v text);
INSERT INTO passing SELECT 'dbc1AXLNboQixAcAERERERERERERERERoj3jOq9gTKDxH6sH6t5ZeeVQzrCJUQ==' FROM generate_series(1, 1000);
CALL dbcrypt_rotate_online('passing', 'v', batch_blocks => 1, workers => 4, vacuum_every => 1);
SELECT dbcrypt_key_id(v), count(*) FROM passing GROUP BY 1;
SELECT count(*) FROM dbcrypt_columns WHERE "table" = 'passing';
CREATE UNLOGGED TABLE "Odd ""name""" ("Odd column" text);
CALL dbcrypt_rotate_online('"Odd ""name"""', 'Odd column');
INSERT INTO "Odd ""name""" TABLE passing;
INSERT INTO "Odd ""name""" VALUES ('dbc1AXLNboQixAcAERERERERERERERERoj3jOq9gTKDxH6sH6t5ZeeVQzrCJUQ==');
CALL dbcrypt_rotate_online('"Odd ""name"""', 'Odd column');
DROP TABLE passing, "Odd ""name""";

-- Keys that may not encrypt.
CREATE TABLE keyless (v text);
INSERT INTO keyless VALUES ('dbc1AXLNboQixAcAERERERERERERERERoj3jOq9gTKDxH6sH6t5ZeeVQzrCJUQ==');
SET dbcrypt.keys = '';
CALL dbcrypt_rotate_online('keyless', 'v');
SET dbcrypt.keys = :'both';
DELETE FROM dbcrypt_keys WHERE key_id = '75877bb41d393b';
CALL dbcrypt_rotate_online('keyless', 'v', on_error => 'skip');
SELECT dbcrypt_register_keys();
UPDATE dbcrypt_keys SET revoked_at = now() WHERE key_id = '72cd6e8422c407';
CALL dbcrypt_rotate_online('keyless', 'v');
DROP TABLE keyless;
UPDATE dbcrypt_keys SET revoked_at = NULL;

-- Who may: owner and superuser. The owner need not be able to decrypt; nor a worker.
CREATE ROLE regress_dbcrypt_owner;
CREATE ROLE regress_dbcrypt_other;
CREATE TABLE owned AS SELECT n AS id, 'dbc1AXLNboQixAcAERERERERERERERERoj3jOq9gTKDxH6sH6t5ZeeVQzrCJUQ=='::text AS v FROM generate_series(1, 1000) n;
ALTER TABLE owned OWNER TO regress_dbcrypt_owner;
REVOKE ALL ON owned FROM regress_dbcrypt_owner;
GRANT ALL ON owned TO regress_dbcrypt_other;
SET ROLE regress_dbcrypt_owner;
CALL dbcrypt_rotate_online('owned', 'v');
RESET ROLE;
GRANT EXECUTE ON PROCEDURE dbcrypt_rotate_online TO regress_dbcrypt_owner, regress_dbcrypt_other;
SET ROLE regress_dbcrypt_other;
CALL dbcrypt_rotate_online('owned', 'v');
SET ROLE regress_dbcrypt_owner;
SET client_min_messages = warning;
CALL dbcrypt_rotate_online('owned', 'v', batch_blocks => 1, workers => 2);
RESET client_min_messages;
RESET ROLE;
SELECT dbcrypt_key_id(v), count(*) FROM owned GROUP BY 1;

-- Nothing of it shows once it is over, and its view names what is there.
SELECT * FROM dbcrypt_progress;
DROP TABLE owned;

DROP EXTENSION dbcrypt;
DROP ROLE regress_dbcrypt_owner, regress_dbcrypt_other;
