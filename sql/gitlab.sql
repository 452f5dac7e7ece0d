-- dbcrypt_adopt_gitlab at its edges: who may call it, and for what; names that need quotes;
-- columns that hold more than one form.
\set long c9f5a1b2d3e4f5061728394a5b6c7d8e9fa0b1c2d3e4f5061728394a5b6c7d8e9f00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff
\set key text: :long
CREATE EXTENSION dbcrypt;
SET dbcrypt.key_file = '';
SET dbcrypt.keys = :'key';
SELECT count(*) FROM dbcrypt_register_keys();

-- A schema, tables and columns whose names need quotes, under a search_path without them.
CREATE SCHEMA "Git lab's ""own""";
CREATE SCHEMA other;
SET search_path = "Git lab's ""own""", public;
-- Values that attr_encrypted made, from test/vectors/gitlab.json.
CREATE TABLE "Vars of 'CI'" (id int PRIMARY KEY, "encrypted_the ""value""" text, "encrypted_the ""value""_iv" text, "encrypted_the ""value""_salt" text);
INSERT INTO "Vars of 'CI'" SELECT i, E'KAMHAnjWtbvxyRMtYTfN8i+t3uugSWNEyat8kBa7qMc=\n', E'BSYc+yF9wTFMgQV+/pNSyw==\n', E'_QQyI/ZD7cEIxH1Li9ESqHQ==\n' FROM generate_series(1, 8) i;
CREATE TABLE hooks (id int PRIMARY KEY, "encrypted_URL" text, "encrypted_URL_iv" text);
CREATE TABLE runners (id int PRIMARY KEY, "The token_encrypted" text UNIQUE);
SELECT dbcrypt_adopt('hooks', 'encrypted_URL', 'attr_encrypted'), dbcrypt_adopt('runners', 'The token_encrypted', 'gitlab_token');
INSERT INTO hooks VALUES (1, 'https://one.example'), (2, 'https://two.example');
INSERT INTO runners VALUES (1, 'a token'), (2, 'another');
SELECT * FROM dbcrypt_encrypt_column('hooks', 'encrypted_URL');
SELECT * FROM dbcrypt_encrypt_column('runners', 'The token_encrypted');
SELECT dbcrypt_unregister_column('hooks', 'encrypted_URL'), dbcrypt_unregister_column('runners', 'The token_encrypted');
-- Tables of the same names elsewhere are not meant.
CREATE TABLE other.hooks (id int PRIMARY KEY, "encrypted_URL" text, "encrypted_URL_iv" text);
SET search_path = other, public;

---- who may
CREATE ROLE regress_dbcrypt_gitlab;
GRANT USAGE ON SCHEMA "Git lab's ""own""" TO regress_dbcrypt_gitlab;
SET ROLE regress_dbcrypt_gitlab;
SELECT * FROM dbcrypt_adopt_gitlab('Git lab''s "own"');
RESET ROLE;
-- Of tables that are another's: nothing is read.
GRANT EXECUTE ON FUNCTION dbcrypt_adopt_gitlab(name) TO regress_dbcrypt_gitlab;
SET ROLE regress_dbcrypt_gitlab;
SELECT * FROM dbcrypt_adopt_gitlab('Git lab''s "own"');
RESET ROLE;
-- Of its own, without the right to decrypt: whether a key opens them is not told.
ALTER TABLE "Git lab's ""own""".hooks OWNER TO regress_dbcrypt_gitlab;
ALTER TABLE "Git lab's ""own""".runners OWNER TO regress_dbcrypt_gitlab;
ALTER TABLE "Git lab's ""own"""."Vars of 'CI'" OWNER TO regress_dbcrypt_gitlab;
SET ROLE regress_dbcrypt_gitlab;
SELECT * FROM dbcrypt_adopt_gitlab('Git lab''s "own"');
RESET ROLE;
SELECT count(*) FROM dbcrypt_columns;
-- Of its own, with it.
GRANT EXECUTE ON FUNCTION dbcrypt_decrypt(text, text) TO regress_dbcrypt_gitlab;
BEGIN;
SET ROLE regress_dbcrypt_gitlab;
SELECT * FROM dbcrypt_adopt_gitlab('Git lab''s "own"');
ROLLBACK;

---- names
SELECT * FROM dbcrypt_adopt_gitlab('git lab');
SELECT * FROM dbcrypt_adopt_gitlab('other');
SELECT * FROM dbcrypt_adopt_gitlab('Git lab''s "own"');
-- Again, nothing is done.
SELECT * FROM dbcrypt_adopt_gitlab('Git lab''s "own"');
SELECT "schema", "table", "column", scheme, options - 'key' AS options FROM dbcrypt_columns ORDER BY 1, 2;
SELECT "table", state, "values" FROM dbcrypt_verify_all() ORDER BY 1;

---- columns of more than one form: neither of them
CREATE SCHEMA mixed;
-- AES-GCM first, and AES-CBC without a salt; the other way round; and with a salt.
CREATE TABLE mixed.cbc_last (id int PRIMARY KEY, encrypted_x text, encrypted_x_iv text);
INSERT INTO mixed.cbc_last SELECT * FROM "Git lab's ""own""".hooks;
INSERT INTO mixed.cbc_last VALUES (3, E'q/AdhbNBqdZXmjnyv8Wp/15t8N8V/j3fyzgPqfiHtks=\n', E'wIR4WrrbQRZ6+CCd4Dcofw==\n');
CREATE TABLE mixed.gcm_last (id int PRIMARY KEY, encrypted_x text, encrypted_x_iv text);
INSERT INTO mixed.gcm_last SELECT i, v.encrypted_x, v.encrypted_x_iv FROM generate_series(1, 9) i, mixed.cbc_last v WHERE v.id = 3;
INSERT INTO mixed.gcm_last SELECT 10, encrypted_x, encrypted_x_iv FROM mixed.cbc_last WHERE id = 1;
CREATE TABLE mixed.salted (id int PRIMARY KEY, encrypted_x text, encrypted_x_iv text, encrypted_x_salt text);
INSERT INTO mixed.salted SELECT * FROM "Git lab's ""own"""."Vars of 'CI'";
INSERT INTO mixed.salted SELECT 9, encrypted_x, encrypted_x_iv FROM mixed.cbc_last WHERE id = 1;
CREATE TABLE mixed.whole (LIKE mixed.cbc_last);
INSERT INTO mixed.whole SELECT * FROM mixed.cbc_last WHERE id < 3;
SELECT * FROM dbcrypt_adopt_gitlab('mixed');
SELECT "schema", "table" FROM dbcrypt_columns WHERE "schema" = 'mixed';

RESET search_path;
REVOKE ALL ON FUNCTION dbcrypt_adopt_gitlab(name), dbcrypt_decrypt(text, text) FROM regress_dbcrypt_gitlab;
SET client_min_messages = error;
DROP SCHEMA mixed, other, "Git lab's ""own""" CASCADE;
RESET client_min_messages;
DROP ROLE regress_dbcrypt_gitlab;
DROP EXTENSION dbcrypt;
