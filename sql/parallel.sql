-- Parallel plans: workers hold the session's keys and obey its key catalog.
\set key1 0101010101010101010101010101010101010101010101010101010101010101
\set key2 0202020202020202020202020202020202020202020202020202020202020202
\set both :key2 ',' :key1
LOAD 'dbcrypt';
SET dbcrypt.key_file = '';
SET dbcrypt.keys = :'both';
CREATE EXTENSION dbcrypt;
SELECT * FROM dbcrypt_register_keys();
SET dbcrypt.keys = :'key1';
CREATE TABLE many (id int, v text);
INSERT INTO many SELECT n, dbcrypt_encrypt('value ' || n, n::text) FROM generate_series(1, 2000) n;
ANALYZE many;
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
SET max_parallel_workers_per_gather = 2;
SET parallel_leader_participation = off;

-- In a worker, all of them.
EXPLAIN (COSTS OFF) SELECT count(*) FROM many WHERE dbcrypt_decrypt(v, id::text) = 'value ' || id;
SELECT count(*) FROM many WHERE dbcrypt_decrypt(v, id::text) = 'value ' || id;
EXPLAIN (COSTS OFF) SELECT count(dbcrypt_encrypt(v)) FROM many;
SELECT count(DISTINCT nonce) FROM (SELECT substr(dbcrypt_encrypt('x'), 17, 16) AS nonce FROM many OFFSET 0) t;
SET dbcrypt.keys = :'both';
SELECT count(*) FROM many WHERE dbcrypt_key_id(dbcrypt_reencrypt(v, id::text)) = '75877bb41d393b';
EXPLAIN (COSTS OFF) SELECT count(*) FROM many WHERE dbcrypt_is_encrypted(v) AND dbcrypt_key_id(v) = '72cd6e8422c407';
SELECT count(*) FROM many WHERE dbcrypt_is_encrypted(v) AND dbcrypt_key_id(v) = '72cd6e8422c407';

-- What the transaction changed counts there too.
BEGIN;
SET LOCAL dbcrypt.keys = :'key1';
SELECT count(*) FROM many WHERE dbcrypt_decrypt(v, id::text) = 'value ' || id;
SET LOCAL dbcrypt.keys = :'key2';
\set SHOW_CONTEXT never
SELECT count(*) FROM many WHERE dbcrypt_decrypt(v, id::text) = 'value ' || id;
ROLLBACK;
BEGIN;
UPDATE dbcrypt_keys SET revoked_at = now() WHERE key_id = '72cd6e8422c407';
SELECT count(*) FROM many WHERE dbcrypt_decrypt(v, id::text) = 'value ' || id;
ROLLBACK;
SET dbcrypt.keys = '';
SELECT count(*) FROM many WHERE dbcrypt_decrypt(v, id::text) = 'value ' || id;
SET dbcrypt.keys = :'both';

-- Tables made, altered and rotated beside parallel plans.
CREATE TABLE copied AS SELECT id, dbcrypt_reencrypt(v, id::text) AS v FROM many;
SELECT dbcrypt_key_id(v), count(*), bool_and(dbcrypt_decrypt(v, id::text) = 'value ' || id) AS same FROM copied GROUP BY 1;
ALTER TABLE copied ALTER v TYPE text USING dbcrypt_decrypt(v, id::text);
ALTER TABLE copied ALTER v TYPE text USING dbcrypt_encrypt(v);
CREATE INDEX ON copied (dbcrypt_key_id(v));
SELECT dbcrypt_key_id(v), count(*), bool_and(dbcrypt_decrypt(v) = 'value ' || id) AS same FROM copied GROUP BY 1;
SELECT * FROM dbcrypt_rotate('many', 'v', 'id');
SELECT count(*) FROM many WHERE dbcrypt_decrypt(v, id::text) = 'value ' || id;

DROP TABLE many, copied;
DROP EXTENSION dbcrypt;
