-- Rotation: counts, dry run, bad values, transactions, privileges.
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

CREATE TABLE tokens (id int PRIMARY KEY, v text, other text DEFAULT 'other');
INSERT INTO tokens SELECT n, dbcrypt_encrypt('token ' || n) FROM generate_series(1, 10) n;
INSERT INTO tokens VALUES (11), (12);
SET dbcrypt.keys = :'both';
INSERT INTO tokens VALUES (13, dbcrypt_encrypt('token 13'));
CREATE TEMP TABLE before AS SELECT ctid AS tid, xmin AS xid, * FROM tokens;

-- A dry run counts the same, changes nothing and registers nothing.
SELECT * FROM dbcrypt_rotate('tokens', 'v', dry_run => true);
SELECT count(*) AS same FROM tokens t JOIN before b ON t.ctid = b.tid AND t.xmin = b.xid AND (t.v, t.other) IS NOT DISTINCT FROM (b.v, b.other);
SELECT count(*) FROM dbcrypt_columns;

-- A rotation changes the column and nothing else, and registers it.
SELECT * FROM dbcrypt_rotate('tokens', 'v');
SELECT dbcrypt_key_id(v), count(*), bool_and(dbcrypt_decrypt(v) = 'token ' || id) AS same FROM tokens GROUP BY 1;
SELECT count(*) FILTER (WHERE t.other = b.other) AS others, count(*) FILTER (WHERE t.v <> b.v) AS changed,
       count(*) FILTER (WHERE t.ctid = b.tid AND t.xmin = b.xid) AS untouched
  FROM tokens t JOIN before b USING (id);
SELECT "table", "column", scheme, aad, options FROM dbcrypt_columns;

-- The second run rotates nothing.
UPDATE before SET tid = t.ctid, xid = t.xmin FROM tokens t WHERE t.id = before.id;
SELECT * FROM dbcrypt_rotate('tokens', 'v');
SELECT count(*) AS untouched FROM tokens t JOIN before b ON t.ctid = b.tid AND t.xmin = b.xid;

-- Back to the other key: what is primary is what counts.
SET dbcrypt.keys = :'reverse';
SELECT * FROM dbcrypt_rotate('tokens', 'v');
SET dbcrypt.keys = :'both';

-- One bad value fails it all, names its row, and changes nothing.
CREATE TABLE bad (id int PRIMARY KEY, v text, b bytea);
INSERT INTO bad VALUES (1, 'dbc1AXLNboQixAcAERERERERERERERERoj3jOq9gTKDxH6sH6t5ZeeVQzrCJUQ=='), (2, 'plaintext'),
    (3, 'dbc1AXLNboQixAcAERERERERERERERERoj3jOq9g2zkevJXjRcwK6KROLiX7gA=='),
    (4, 'dbc1AWSKpcV5+zAAERERERERERERERERh7e2MgTn1UmuXjfXsCEqAYs75Ld80A=='),
    (5, 'dbc1AXLNboQixAcBERERERERERERERERoj3jOq9gTKDxH6sH6t5ZeeVQzrCJUQ=='),
    (6, 'dbc1AXWHe7QdOTsAERERERERERERERERIJHpcsP0tM8IBH5+OuR6EVCO8ze3vw==');
UPDATE bad SET b = v::bytea;
SELECT dbcrypt_rotate('bad', 'v');
SELECT dbcrypt_rotate('bad', 'v', dry_run => true);
SELECT dbcrypt_rotate('bad', 'b');
DELETE FROM bad WHERE id = 2;
SELECT dbcrypt_rotate('bad', 'v');
SELECT dbcrypt_rotate('bad', 'v', dry_run => true);
DELETE FROM bad WHERE id = 3;
SELECT dbcrypt_rotate('bad', 'v');
DELETE FROM bad WHERE id = 4;
SELECT dbcrypt_rotate('bad', 'v');
DELETE FROM bad WHERE id = 5;
-- Only the dry run opens what is under the primary key already.
SELECT dbcrypt_rotate('bad', 'v', dry_run => true);
SELECT id, dbcrypt_key_id(v) FROM bad;
SELECT count(*) FROM dbcrypt_columns WHERE "table" = 'bad';
DROP TABLE bad;

-- AAD of the row. A NULL in it is an error, not a lost value.
SET dbcrypt.keys = :'key1';
CREATE TABLE bound (id int PRIMARY KEY, name text, v text, b bytea);
INSERT INTO bound SELECT n, 'name ' || n, dbcrypt_encrypt('v' || n, 'name ' || n || ':' || n), dbcrypt_encrypt(convert_to('b' || n, 'UTF8'), n::text) FROM generate_series(1, 5) n;
SET dbcrypt.keys = :'both';
SELECT dbcrypt_rotate('bound', 'v');
SELECT * FROM dbcrypt_rotate('bound', 'v', $$name || ':' || id$$);
SELECT * FROM dbcrypt_rotate('bound', 'b', 'id', true);
SELECT * FROM dbcrypt_rotate('bound', 'b', 'id');
SELECT bool_and(dbcrypt_decrypt(v, name || ':' || id) = 'v' || id) AS v, bool_and(dbcrypt_decrypt(b, id::text) = convert_to('b' || id, 'UTF8')) AS b FROM bound;
SET dbcrypt.keys = :'reverse';
SELECT * FROM dbcrypt_rotate('bound', 'v');
UPDATE bound SET name = NULL WHERE id = 3;
SET dbcrypt.keys = :'both';
SELECT dbcrypt_rotate('bound', 'v');
SELECT dbcrypt_rotate('bound', 'v', dry_run => true);
UPDATE bound SET v = NULL WHERE id = 3;
SELECT * FROM dbcrypt_rotate('bound', 'v');

-- A failure that is caught leaves user, settings and table as they were.
INSERT INTO bound VALUES (6, 'name 6', 'plaintext');
SET dbcrypt.keys = :'reverse';
DO $$
BEGIN
	PERFORM dbcrypt_rotate('bound', 'v');
EXCEPTION WHEN OTHERS THEN
	RAISE NOTICE '%: %; %, %', SQLSTATE, SQLERRM, current_user = session_user, current_setting('search_path');
END $$;
SELECT dbcrypt_key_id(v), count(*) FROM bound WHERE id < 6 GROUP BY 1 ORDER BY 1;
DELETE FROM bound WHERE id = 6;
SET dbcrypt.keys = :'both';

-- NULL arguments.
SELECT dbcrypt_rotate(NULL, 'v');
SELECT dbcrypt_rotate('bound', NULL);
SELECT dbcrypt_rotate('bound', 'v', NULL, NULL);
SELECT dbcrypt_rotate(1, 'v');

-- In a transaction: with what it did itself, and rolled back.
BEGIN;
SET LOCAL dbcrypt.keys = :'reverse';
UPDATE tokens SET other = 'mine' WHERE id = 1;
DELETE FROM tokens WHERE id = 2;
INSERT INTO tokens VALUES (14, 'dbc1AXWHe7QdOTsAERERERERERERERERIJHpcsP0zMqQsPuEhbX1MoPa4bLuKA==', 'inserted');
SELECT * FROM dbcrypt_rotate('tokens', 'v');
SELECT id, dbcrypt_key_id(v), other FROM tokens WHERE id IN (1, 2, 14) ORDER BY id;
SAVEPOINT a;
SET LOCAL dbcrypt.keys = :'both';
SELECT * FROM dbcrypt_rotate('tokens', 'v');
ROLLBACK TO a;
SELECT dbcrypt_key_id(v), count(*) FROM tokens GROUP BY 1;
ROLLBACK;
SELECT dbcrypt_key_id(v), count(*) FROM tokens GROUP BY 1 ORDER BY 1;
SELECT id, other FROM tokens WHERE id IN (1, 2, 14) ORDER BY id;

-- Under REPEATABLE READ and SERIALIZABLE.
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT * FROM dbcrypt_rotate('tokens', 'v');
ROLLBACK;
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT * FROM dbcrypt_rotate('tokens', 'v');
COMMIT;

-- Read-only: only the dry run.
BEGIN READ ONLY;
SELECT * FROM dbcrypt_rotate('tokens', 'v', dry_run => true);
SELECT * FROM dbcrypt_rotate('tokens', 'v');
ROLLBACK;

-- Not while the table is in use in this session, or has triggers pending.
BEGIN;
DECLARE c CURSOR FOR SELECT * FROM tokens;
FETCH 1 FROM c;
SAVEPOINT a;
SELECT dbcrypt_rotate('tokens', 'v');
ROLLBACK;
SELECT dbcrypt_rotate('tokens', 'v') FROM tokens;
CREATE TABLE parents (id int PRIMARY KEY);
CREATE TABLE children (id int REFERENCES parents DEFERRABLE INITIALLY DEFERRED, v text);
BEGIN;
INSERT INTO children VALUES (1, 'dbc1AXLNboQixAcAERERERERERERERERoj3jOq9gTKDxH6sH6t5ZeeVQzrCJUQ==');
SAVEPOINT a;
SELECT dbcrypt_rotate('children', 'v');
ROLLBACK TO a;
INSERT INTO parents VALUES (1);
SET CONSTRAINTS ALL IMMEDIATE;
SELECT * FROM dbcrypt_rotate('children', 'v');
COMMIT;
SELECT dbcrypt_key_id(v) FROM children;
DROP TABLE children, parents;

-- Unique constraints that are checked late.
CREATE TABLE late (id int UNIQUE DEFERRABLE INITIALLY DEFERRED, v text UNIQUE DEFERRABLE);
INSERT INTO late VALUES (1, 'dbc1AXLNboQixAcAERERERERERERERERoj3jOq9gTKDxH6sH6t5ZeeVQzrCJUQ=='), (2, NULL);
BEGIN;
UPDATE late SET id = 1;
SAVEPOINT a;
SELECT dbcrypt_rotate('late', 'v');
ROLLBACK;
SELECT * FROM dbcrypt_rotate('late', 'v');
DROP TABLE late;

-- Exclusion constraints.
CREATE TABLE exclusive (v text, EXCLUDE (v WITH =), w text, EXCLUDE (w WITH =) DEFERRABLE INITIALLY DEFERRED);
INSERT INTO exclusive VALUES ('dbc1AXLNboQixAcAERERERERERERERERoj3jOq9gTKDxH6sH6t5ZeeVQzrCJUQ==', 'dbc1AXLNboQixAcAERERERERERERERERoj3jOq9gTKDxH6sH6t5ZeeVQzrCJUQ==');
SELECT * FROM dbcrypt_rotate('exclusive', 'v');
SELECT * FROM dbcrypt_rotate('exclusive', 'w');
DROP TABLE exclusive;

-- Who may: owner and superuser. The owner need not be able to decrypt.
CREATE ROLE regress_dbcrypt_owner;
CREATE ROLE regress_dbcrypt_other;
GRANT EXECUTE ON FUNCTION dbcrypt_rotate, dbcrypt_rotate_all TO regress_dbcrypt_owner, regress_dbcrypt_other;
ALTER TABLE tokens OWNER TO regress_dbcrypt_owner;
REVOKE ALL ON tokens FROM regress_dbcrypt_owner;
GRANT ALL ON tokens TO regress_dbcrypt_other;
SET dbcrypt.keys = :'reverse';
SET ROLE regress_dbcrypt_other;
SELECT dbcrypt_rotate('tokens', 'v');
SELECT dbcrypt_rotate('tokens', 'v', dry_run => true);
SELECT dbcrypt_rotate_all();
SET ROLE regress_dbcrypt_owner;
SELECT dbcrypt_decrypt('dbc1');
SELECT * FROM dbcrypt_rotate('tokens', 'v');
RESET ROLE;
SET dbcrypt.keys = :'both';

-- rotate_all: every registered column, all or nothing.
SELECT "table", "column", scanned, rotated, current, nulls FROM dbcrypt_rotate_all(true) ORDER BY 1, 2;
SELECT "table", "column", scanned, rotated, current, nulls FROM dbcrypt_rotate_all() ORDER BY 1, 2;
SELECT "table", "column", scanned, rotated, current, nulls FROM dbcrypt_rotate_all() ORDER BY 1, 2;
SET dbcrypt.keys = :'reverse';
CREATE TABLE zz (v text);
SELECT dbcrypt_register_column('zz', 'v');
INSERT INTO zz VALUES ('plaintext');
SELECT * FROM dbcrypt_rotate_all();
SELECT dbcrypt_key_id(v), count(*) FROM tokens GROUP BY 1 ORDER BY 1;
SELECT * FROM dbcrypt_rotate_all(true);
SELECT dbcrypt_rotate_all(NULL);
SET ROLE regress_dbcrypt_owner;
SELECT dbcrypt_rotate_all();
RESET ROLE;
DROP TABLE zz, bound;
SELECT dbcrypt_unregister_column('tokens', 'v');
SELECT * FROM dbcrypt_rotate_all();

-- Nothing to do: an empty table.
CREATE TABLE nothing (v text);
SELECT * FROM dbcrypt_rotate('nothing', 'v');
DROP TABLE nothing, tokens;

-- No keys, or a primary key that may not encrypt.
CREATE TABLE keyless (v text);
INSERT INTO keyless VALUES ('dbc1AXLNboQixAcAERERERERERERERERoj3jOq9gTKDxH6sH6t5ZeeVQzrCJUQ==');
SET dbcrypt.keys = '';
SELECT dbcrypt_rotate('keyless', 'v');
SET dbcrypt.keys = :'both';
DELETE FROM dbcrypt_keys WHERE key_id = '75877bb41d393b';
SELECT dbcrypt_rotate('keyless', 'v');
SELECT dbcrypt_register_keys();
UPDATE dbcrypt_keys SET revoked_at = now() WHERE key_id = '72cd6e8422c407';
SELECT dbcrypt_rotate('keyless', 'v');
DROP TABLE keyless;

DROP EXTENSION dbcrypt;
DROP ROLE regress_dbcrypt_owner, regress_dbcrypt_other;
