-- Privileges: who may execute and read what, before anything is granted.
CREATE EXTENSION dbcrypt;

-- The functions that PUBLIC may execute: those that read a header, and no other.
SELECT p.oid::regprocedure AS function
  FROM pg_proc p JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
  JOIN pg_extension e ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid AND e.extname = 'dbcrypt'
 WHERE p.proacl IS NULL OR EXISTS (SELECT FROM aclexplode(p.proacl) a WHERE a.grantee = 0)
 ORDER BY p.oid::regprocedure::text COLLATE "C";

-- All others belong to the superuser; here is what is granted to others than PUBLIC.
SELECT p.oid::regprocedure AS function, a.grantee::regrole, a.privilege_type
  FROM pg_proc p JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
  JOIN pg_extension e ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid AND e.extname = 'dbcrypt',
       aclexplode(p.proacl) a
 WHERE a.grantee NOT IN (p.proowner, 0)
 ORDER BY p.oid::regprocedure::text COLLATE "C";

-- None runs with more rights than its caller's.
SELECT p.oid::regprocedure AS function
  FROM pg_proc p JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
  JOIN pg_extension e ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid AND e.extname = 'dbcrypt'
 WHERE p.prosecdef;

-- How the functions on single values are marked.
SELECT p.oid::regprocedure AS function, p.provolatile AS volatile, p.proparallel AS parallel, p.proisstrict AS strict
  FROM pg_proc p
 WHERE p.proname IN ('dbcrypt_encrypt', 'dbcrypt_decrypt', 'dbcrypt_reencrypt', 'dbcrypt_key_id', 'dbcrypt_is_encrypted', 'dbcrypt_generate_key')
 ORDER BY p.oid::regprocedure::text COLLATE "C";

-- Tables and views.
SELECT c.relname, c.relkind, CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END AS grantee, a.privilege_type
  FROM pg_class c JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'
  JOIN pg_extension e ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid AND e.extname = 'dbcrypt',
       aclexplode(c.relacl) a
 WHERE a.grantee <> c.relowner
 ORDER BY c.relname, 3, 4;

-- As an ordinary role.
CREATE ROLE regress_dbcrypt_nobody;
SET ROLE regress_dbcrypt_nobody;
SELECT count(*) FROM dbcrypt_keys;
SELECT count(*) FROM dbcrypt_columns;
SELECT dbcrypt_is_encrypted('secret'), dbcrypt_key_id('dbc1AXLNboQixAcAERERERERERERERERx6oXAGqWklzeqpDuegsG0Q==');
SELECT dbcrypt_encrypt('secret');
SELECT dbcrypt_decrypt('secret');
SELECT dbcrypt_reencrypt('secret');
SELECT dbcrypt_generate_key();
SELECT dbcrypt_register_keys();
SELECT dbcrypt_revoke_key('72cd6e8422c407');
SELECT dbcrypt_reinstate_key('72cd6e8422c407');
SELECT dbcrypt_loaded_keys();
SELECT * FROM dbcrypt_key_status;
SELECT dbcrypt_register_column('dbcrypt_keys', 'canary');
SELECT dbcrypt_unregister_column('dbcrypt_keys', 'canary');
SELECT dbcrypt_rotate('dbcrypt_keys', 'canary');
SELECT dbcrypt_rotate_all();
INSERT INTO dbcrypt_keys (key_id, canary) VALUES ('00000000000000', '');
UPDATE dbcrypt_keys SET revoked_at = NULL;
DELETE FROM dbcrypt_columns;
RESET ROLE;

-- A monitoring role sees the keys' states.
GRANT pg_monitor TO regress_dbcrypt_nobody;
SET ROLE regress_dbcrypt_nobody;
SELECT count(*) >= 0 AS readable FROM dbcrypt_key_status;
RESET ROLE;

-- Functions that only triggers may call.
SELECT dbcrypt_catalog_changed();
SELECT dbcrypt_columns_follow();
SELECT dbcrypt_columns_prepare();
SELECT dbcrypt_columns_bind();

-- What a dump carries.
SELECT c.relname FROM pg_extension e, unnest(e.extconfig) o JOIN pg_class c ON c.oid = o WHERE e.extname = 'dbcrypt' ORDER BY 1;

DROP ROLE regress_dbcrypt_nobody;
DROP EXTENSION dbcrypt;
