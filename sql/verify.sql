-- dbcrypt_verify: what it counts and names, and who may call it.
CREATE EXTENSION IF NOT EXISTS dbcrypt;
\set key1 '0101010101010101010101010101010101010101010101010101010101010101'
\set key2 '0202020202020202020202020202020202020202020202020202020202020202'
\set key3 '0303030303030303030303030303030303030303030303030303030303030303'
SET dbcrypt.key_file = '';
SET dbcrypt.keys = :'key3';
SELECT count(*) FROM dbcrypt_register_keys();
SET dbcrypt.keys = :'key2';
SELECT count(*) FROM dbcrypt_register_keys();
SET dbcrypt.keys = :'key1';
SELECT count(*) FROM dbcrypt_register_keys();

-- An empty column has nothing to count, nor have NULLs.
CREATE TABLE verify_me (id int, owner text, secret text);
SELECT * FROM dbcrypt_verify('verify_me', 'secret');
INSERT INTO verify_me VALUES (0, 'o', NULL);
SELECT * FROM dbcrypt_verify('verify_me', 'secret');

-- A row per key and state, in the order of states.
SET dbcrypt.keys = :'key3';
INSERT INTO verify_me VALUES (1, 'o', dbcrypt_encrypt('under 3', 'o'));
SET dbcrypt.keys = :'key2';
INSERT INTO verify_me VALUES (2, 'o', dbcrypt_encrypt('under 2', 'o'));
SET dbcrypt.keys = :'key1';
INSERT INTO verify_me SELECT i, 'o', dbcrypt_encrypt('under 1', 'o') FROM generate_series(3, 10) i;
INSERT INTO verify_me VALUES (11, 'o', 'in the clear'), (12, 'o', 'dbc1');
\set keys12 :key1 ',' :key2
SET dbcrypt.keys = :'keys12';
SELECT dbcrypt_register_column('verify_me', 'secret', 'owner');
SELECT * FROM dbcrypt_verify('verify_me', 'secret');

-- At most five examples; an AAD that is wrong or null is a failure of its row.
UPDATE verify_me SET owner = 'p' WHERE id BETWEEN 3 AND 9;
UPDATE verify_me SET owner = NULL WHERE id = 10;
SELECT * FROM dbcrypt_verify('verify_me', 'secret');
UPDATE verify_me SET owner = 'o';

-- A revoked key, and a newer format.
-- By hand, as values under it remain.
UPDATE dbcrypt_keys SET revoked_at = now() WHERE key_id IN
	(SELECT key_id FROM dbcrypt_key_status WHERE is_loaded AND NOT is_primary);
INSERT INTO verify_me
	SELECT 13, 'o', encode(overlay(decode(secret, 'base64') PLACING '\x01'::bytea FROM 12), 'base64')
	  FROM verify_me WHERE id = 3;
SELECT * FROM dbcrypt_verify('verify_me', 'secret');
SELECT dbcrypt_reinstate_key(key_id) FROM dbcrypt_key_status WHERE revoked_at IS NOT NULL;
DELETE FROM verify_me WHERE id = 13;

-- No keys at all.
SET dbcrypt.keys = '';
SELECT * FROM dbcrypt_verify('verify_me', 'secret');
SET dbcrypt.keys = :'keys12';

-- bytea, children, a column that nobody registered, and all registered ones.
CREATE TABLE verify_parts (id int, secret bytea) PARTITION BY LIST (id);
CREATE TABLE verify_part1 PARTITION OF verify_parts FOR VALUES IN (1);
CREATE TABLE verify_part2 PARTITION OF verify_parts FOR VALUES IN (2);
INSERT INTO verify_parts VALUES (1, dbcrypt_encrypt('\x01'::bytea)), (2, '\x02');
SELECT * FROM dbcrypt_verify('verify_parts', 'secret');
SELECT dbcrypt_register_column('verify_parts', 'secret');
SELECT * FROM dbcrypt_verify_all();

-- It reads only, and may read what the session has open.
BEGIN READ ONLY;
SELECT sum("values") FROM dbcrypt_verify_all();
COMMIT;
SELECT count(*) FROM verify_parts, dbcrypt_verify('verify_parts', 'secret');

-- Of the owner alone.
CREATE ROLE dbcrypt_verify_role;
SET ROLE dbcrypt_verify_role;
SELECT * FROM dbcrypt_verify('verify_me', 'secret');
RESET ROLE;
GRANT EXECUTE ON FUNCTION dbcrypt_verify(regclass, name) TO dbcrypt_verify_role;
SET ROLE dbcrypt_verify_role;
SELECT * FROM dbcrypt_verify('verify_me', 'secret');
RESET ROLE;
REVOKE ALL ON FUNCTION dbcrypt_verify(regclass, name) FROM dbcrypt_verify_role;
DROP ROLE dbcrypt_verify_role;

-- What it refuses.
SELECT * FROM dbcrypt_verify(NULL, 'secret');
SELECT * FROM dbcrypt_verify('verify_me', 'id');
SELECT * FROM dbcrypt_verify('verify_me', 'nothing');

DROP TABLE verify_me, verify_parts;
