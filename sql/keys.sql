-- Keys: their settings, their catalog, their states.
\set key1 0101010101010101010101010101010101010101010101010101010101010101
\set key2 0202020202020202020202020202020202020202020202020202020202020202
\set both :key2 ',' :key1

-- A SET before the library is loaded counts once it is.
SET dbcrypt.keys = :'key1';
SET dbcrypt.key_file = '';
CREATE EXTENSION dbcrypt;
SELECT * FROM dbcrypt_register_keys();
SHOW dbcrypt.keys;

-- Hex of either case and base64; blanks between; duplicates dropped.
SET dbcrypt.keys = ' AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE= , 0202020202020202020202020202020202020202020202020202020202020202,0101010101010101010101010101010101010101010101010101010101010101';
SHOW dbcrypt.keys;
SET dbcrypt.keys = 'ABABABABABABABABABABABABABABABABABABABABABABABABABABABABABABABAB';
SHOW dbcrypt.keys;
SET dbcrypt.keys = 'abababababababababababababababababababababababababababababababab';
SHOW dbcrypt.keys;

-- Shown as ids, and by no view.
SELECT current_setting('dbcrypt.keys');
SELECT count(*) FROM pg_settings WHERE name = 'dbcrypt.keys' OR setting ~ 'abababab';

-- A bad value is not echoed.
SET dbcrypt.keys = 'hunter2';
SET dbcrypt.keys = 'abababababababababababababababababababababababababababababababab,hunter2';
SET dbcrypt.keys = 'abababababababababababababababababababababababababababababababab,';
SET dbcrypt.keys = 'abababababababababababababababababababababababababababababababa';
SELECT set_config('dbcrypt.keys', 'hunter2', false);
SHOW dbcrypt.keys;

-- Refused where every role could read it.
CREATE ROLE regress_dbcrypt_app;
\set SHOW_CONTEXT never
ALTER ROLE regress_dbcrypt_app SET dbcrypt.keys = :'key1';
ALTER ROLE ALL SET dbcrypt.keys = :'key1';
DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET dbcrypt.keys = %L', current_database(), repeat('01', 32)); END $$;
CREATE FUNCTION f() RETURNS int LANGUAGE sql SET dbcrypt.keys = '0101010101010101010101010101010101010101010101010101010101010101' RETURN 1;
ALTER SYSTEM SET dbcrypt.keys = '0101010101010101010101010101010101010101010101010101010101010101';
SELECT count(*) FROM pg_db_role_setting, unnest(setconfig) s WHERE s ~ 'dbcrypt.keys';
SELECT count(*) FROM pg_proc, unnest(proconfig) s WHERE s ~ 'dbcrypt.keys';

-- Not for everybody, but grantable.
SET ROLE regress_dbcrypt_app;
\set VERBOSITY sqlstate
SET dbcrypt.keys = '0101010101010101010101010101010101010101010101010101010101010101';
SET dbcrypt.key_file = '/nowhere';
SHOW dbcrypt.key_file;
\set VERBOSITY default
SHOW dbcrypt.keys;
RESET ROLE;
GRANT SET ON PARAMETER dbcrypt.keys TO regress_dbcrypt_app;
SET ROLE regress_dbcrypt_app;
SET dbcrypt.keys = '0101010101010101010101010101010101010101010101010101010101010101';
SHOW dbcrypt.keys;
RESET ROLE;
REVOKE SET ON PARAMETER dbcrypt.keys FROM regress_dbcrypt_app;
SET dbcrypt.key_command = 'echo';
SET dbcrypt.key_file = 'relative/path';
SET dbcrypt.no_such_setting = 1;

-- A key file that is not there, or is none.
SET dbcrypt.keys = :'key1';
SET dbcrypt.key_file = '/nowhere/dbcrypt.keys';
SELECT dbcrypt_encrypt('secret');
SET dbcrypt.key_file = '/';
\set VERBOSITY sqlstate
SELECT dbcrypt_encrypt('secret');
\set VERBOSITY default
SET dbcrypt.key_file = '';

-- SET LOCAL and a rolled back SET leave the keys as they were.
BEGIN;
SET LOCAL dbcrypt.keys = '';
SELECT dbcrypt_encrypt('secret');
ROLLBACK;
SELECT dbcrypt_key_id(dbcrypt_encrypt('secret'));
BEGIN;
SET dbcrypt.keys = :'key2';
SELECT dbcrypt_decrypt('dbc1AXWHe7QdOTsAERERERERERERERERIJHpcsP0zMqQsPuEhbX1MoPa4bLuKA==');
ROLLBACK;
SELECT dbcrypt_decrypt('dbc1AXWHe7QdOTsAERERERERERERERERIJHpcsP0zMqQsPuEhbX1MoPa4bLuKA==');
SELECT dbcrypt_key_id(dbcrypt_encrypt('secret'));

-- Within one statement too.
SELECT set_config('dbcrypt.keys', repeat('02', 32), true) IS NULL AS set,
       dbcrypt_decrypt('dbc1AXWHe7QdOTsAERERERERERERERERIJHpcsP0zMqQsPuEhbX1MoPa4bLuKA==');

-- The catalog.
SET dbcrypt.keys = :'both';
SELECT * FROM dbcrypt_key_status;
BEGIN;
SELECT * FROM dbcrypt_register_keys();
SELECT dbcrypt_key_id(dbcrypt_encrypt('secret'));
ROLLBACK;
SELECT dbcrypt_encrypt('secret');
SELECT * FROM dbcrypt_register_keys();
SELECT * FROM dbcrypt_register_keys();
SELECT * FROM dbcrypt_key_status;
SELECT key_id, created_at <= now() AS created, revoked_at, canary, comment FROM dbcrypt_keys ORDER BY key_id;

-- A canary is no envelope, and opens as no value.
SELECT count(*) FROM dbcrypt_keys WHERE dbcrypt_is_encrypted(canary) OR canary ~ 'dbc1';
SELECT dbcrypt_decrypt(canary) FROM dbcrypt_keys;

-- Planted into a column it is plaintext, and behind the header of an envelope it is a
-- value that does not open: not here, not in the trigger, not when the column is verified.
CREATE TABLE planted (id int, v text);
INSERT INTO planted SELECT 1, canary FROM dbcrypt_keys;
INSERT INTO planted
	SELECT 2, encode('\x75b73501'::bytea || decode(key_id, 'hex') || '\x00'::bytea || decode(repeat('00', 12), 'hex')
		|| decode(canary, 'base64'), 'base64') FROM dbcrypt_keys;
SELECT id, count(*), count(dbcrypt_key_id(v)) AS name_a_key FROM planted WHERE id = 2 GROUP BY id;
SELECT dbcrypt_decrypt(v) FROM planted WHERE id = 2;
SELECT dbcrypt_register_column('planted', 'v');
SELECT state, "values", cardinality(examples) AS examples FROM dbcrypt_verify('planted', 'v') ORDER BY 1, 2;
CREATE TRIGGER e BEFORE INSERT OR UPDATE ON planted FOR EACH ROW EXECUTE FUNCTION dbcrypt_encrypt_trigger('v');
INSERT INTO planted SELECT 3, v FROM planted WHERE id = 2;
INSERT INTO planted SELECT 4, v FROM planted WHERE id = 1;
SELECT id, count(*), count(*) FILTER (WHERE dbcrypt_decrypt(v) IN (SELECT canary FROM dbcrypt_keys)) AS encrypted
  FROM planted WHERE id > 2 GROUP BY id;
DROP TABLE planted;

-- A statement that revokes a key cannot write under it too.
CREATE TABLE written (v text);
SELECT dbcrypt_register_column('written', 'v');
WITH w AS (INSERT INTO written VALUES ('dbc1AXLNboQixAcAERERERERERERERERoj3jOq9gTKDxH6sH6t5ZeeVQzrCJUQ==') RETURNING 1)
    SELECT dbcrypt_revoke_key('72cd6e8422c407') FROM w;
SELECT count(*) FROM written;
DROP TABLE written;

-- What is in the way of a revocation, and what to do: rotate only where that works.
CREATE TABLE hinted (v text);
SELECT dbcrypt_register_column('hinted', 'v');
INSERT INTO hinted VALUES ('dbc1AXLNboQixAcAERERERERERERERERoj3jOq9gTKDxH6sH6t5ZeeVQzrCJUQ==');
SELECT dbcrypt_revoke_key('72cd6e8422c407');
SET dbcrypt.keys = :'key2';
SELECT dbcrypt_revoke_key('72cd6e8422c407');
SET dbcrypt.keys = :'both';
SELECT dbcrypt_unregister_column('hinted', 'v');
SELECT dbcrypt_revoke_key('72cd6e8422c407');
SELECT dbcrypt_register_column('hinted', 'v');
UPDATE dbcrypt_keys SET revoked_at = now() WHERE key_id = '72cd6e8422c407';
SELECT dbcrypt_revoke_key('72cd6e8422c407');
SELECT dbcrypt_reinstate_key('72cd6e8422c407');
DROP TABLE hinted;
CREATE TABLE hinted AS SELECT overlay(dbcrypt_encrypt('x'::bytea) PLACING '\x01' FROM 12) AS v;
SELECT dbcrypt_register_column('hinted', 'v');
SELECT dbcrypt_revoke_key('72cd6e8422c407');
DROP TABLE hinted;

-- Revoke and reinstate, and what each makes of the ring.
SELECT dbcrypt_revoke_key('75877bb41d393b');
SELECT dbcrypt_revoke_key('72cd6e8422c407');
SELECT key_id, is_primary, is_loaded, is_registered, revoked_at IS NOT NULL AS revoked, canary_ok FROM dbcrypt_key_status;
SELECT * FROM dbcrypt_register_keys();
SELECT dbcrypt_decrypt('dbc1AXLNboQixAcAERERERERERERERERoj3jOq9gTKDxH6sH6t5ZeeVQzrCJUQ==');
CREATE TEMP TABLE first_revoked AS SELECT revoked_at FROM dbcrypt_keys WHERE key_id = '72cd6e8422c407';
SELECT dbcrypt_revoke_key('72cd6e8422c407');
SELECT revoked_at = (SELECT revoked_at FROM first_revoked) AS first_time_kept FROM dbcrypt_keys WHERE key_id = '72cd6e8422c407';
SELECT dbcrypt_reinstate_key('72cd6e8422c407');
SELECT dbcrypt_decrypt('dbc1AXLNboQixAcAERERERERERERERERoj3jOq9gTKDxH6sH6t5ZeeVQzrCJUQ==');
BEGIN;
SELECT dbcrypt_revoke_key('72cd6e8422c407');
SAVEPOINT a;
SELECT dbcrypt_decrypt('dbc1AXLNboQixAcAERERERERERERERERoj3jOq9gTKDxH6sH6t5ZeeVQzrCJUQ==');
ROLLBACK;
SELECT dbcrypt_decrypt('dbc1AXLNboQixAcAERERERERERERERERoj3jOq9gTKDxH6sH6t5ZeeVQzrCJUQ==');
SELECT dbcrypt_revoke_key(NULL), dbcrypt_reinstate_key(NULL);

-- A key that is registered but not loaded, or the other way round.
SET dbcrypt.keys = :'key1';
SELECT * FROM dbcrypt_key_status;
SET dbcrypt.keys = 'abababababababababababababababababababababababababababababababab';
SELECT key_id, is_primary, is_loaded, is_registered, revoked_at, canary_ok FROM dbcrypt_key_status ORDER BY key_id;
SET dbcrypt.keys = '';
SELECT key_id, is_primary, is_loaded, is_registered, revoked_at, canary_ok FROM dbcrypt_key_status ORDER BY key_id;

-- A canary of another key, or none at all.
SET dbcrypt.keys = :'both';
UPDATE dbcrypt_keys k SET canary = o.canary FROM dbcrypt_keys o WHERE o.key_id <> k.key_id;
SELECT key_id, is_primary, canary_ok FROM dbcrypt_key_status;
SELECT * FROM dbcrypt_register_keys();
SELECT dbcrypt_encrypt('secret');
UPDATE dbcrypt_keys SET canary = '';
SELECT dbcrypt_encrypt('secret');
\set VERBOSITY terse
INSERT INTO dbcrypt_keys (key_id, canary) VALUES ('not a key id', '');
\set VERBOSITY default
TRUNCATE dbcrypt_keys;
SELECT dbcrypt_encrypt('secret');
SELECT * FROM dbcrypt_register_keys();
SELECT dbcrypt_key_id(dbcrypt_encrypt('secret'));

-- Keys are read in a session of replication too.
SET session_replication_role = replica;
UPDATE dbcrypt_keys SET revoked_at = now();
SELECT dbcrypt_encrypt('secret');
RESET session_replication_role;

-- Read-only transactions decrypt, and change no key.
UPDATE dbcrypt_keys SET revoked_at = NULL;
BEGIN READ ONLY;
SELECT dbcrypt_decrypt(dbcrypt_encrypt('secret'));
SAVEPOINT a;
SELECT dbcrypt_revoke_key('72cd6e8422c407');
ROLLBACK;

-- Without the extension there is no catalog, and no encryption.
DROP EXTENSION dbcrypt;
SHOW dbcrypt.keys;
CREATE EXTENSION dbcrypt;
SELECT dbcrypt_encrypt('secret');

DROP EXTENSION dbcrypt;
DROP ROLE regress_dbcrypt_app;
