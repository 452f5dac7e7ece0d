-- Columns of other applications' schemes: adopt, rotate, verify, revoke, convert.
LOAD 'dbcrypt';
CREATE EXTENSION dbcrypt;
\set key1 0101010101010101010101010101010101010101010101010101010101010101
\set key2 0202020202020202020202020202020202020202020202020202020202020202
\set key3 0303030303030303030303030303030303030303030303030303030303030303
\set two :key1 ',' :key2
\set three :key3 ',' :two
SET dbcrypt.key_file = '';
SET dbcrypt.keys = :'two';
SELECT state FROM dbcrypt_register_keys();
SELECT left(encode(sha256(decode(:'key1', 'hex')), 'hex'), 14) AS id1, left(encode(sha256(decode(:'key2', 'hex')), 'hex'), 14) AS id2 \gset
SELECT left(encode(sha256('aes256gcm' || decode(:'key1', 'hex')), 'hex'), 7) AS digest1, left(encode(sha256('aes256gcm' || decode(:'key2', 'hex')), 'hex'), 7) AS digest2 \gset

---- coder: the key id beside it says whether a value is encrypted
CREATE TABLE links (id int PRIMARY KEY, token text NOT NULL, token_key_id text);
INSERT INTO links VALUES (1, 'one', NULL), (2, 'two', ''), (3, '', NULL), (4, 'fö', NULL);
SELECT dbcrypt_adopt('links', 'token', 'coder');
SELECT "table", "column", scheme, aad, options FROM dbcrypt_columns;
SELECT key_id, state, "values" FROM dbcrypt_verify('links', 'token');
BEGIN;
SET LOCAL dbcrypt.keys = :'key2';
-- As by the application's own rotation, plaintext is encrypted.
SELECT * FROM dbcrypt_rotate('links', 'token');
COMMIT;
SELECT id, length(token), token_key_id = :'digest2' AS key2 FROM links ORDER BY id;
SELECT key_id = :'id2' AS key2, state, "values" FROM dbcrypt_verify('links', 'token');
SELECT * FROM dbcrypt_rotate('links', 'token', dry_run => true);
SELECT * FROM dbcrypt_rotate('links', 'token');
SELECT * FROM dbcrypt_rotate('links', 'token');
SELECT id, length(token), token_key_id = :'digest1' AS key1 FROM links ORDER BY id;
-- A key id that no loaded key explains stops revocation: any key might be behind it.
BEGIN;
INSERT INTO links VALUES (5, (SELECT token FROM links WHERE id = 1), '0000000');
SELECT key_id, state, "values", examples FROM dbcrypt_verify('links', 'token') WHERE key_id IS NULL;
SAVEPOINT s;
SELECT dbcrypt_revoke_key(:'id2');
ROLLBACK TO s;
SELECT * FROM dbcrypt_rotate('links', 'token');
ROLLBACK;
-- Values that say which key they are under do not.
BEGIN;
SELECT dbcrypt_revoke_key(:'id2');
ROLLBACK;
-- An empty value with a key id, and a damaged one: named, nothing changed.
BEGIN;
UPDATE links SET token_key_id = :'digest2';
UPDATE links SET token = '' WHERE id = 3;
SELECT key_id = :'id2' AS key2, state, "values" FROM dbcrypt_verify('links', 'token');
SELECT * FROM dbcrypt_rotate('links', 'token');
ROLLBACK;
-- Back to plaintext, key ids cleared.
BEGIN;
SET LOCAL dbcrypt.decrypt_keys = :'id1';
SELECT * FROM dbcrypt_decrypt_column('links', 'token');
SELECT * FROM links ORDER BY id;
SELECT count(*) FROM dbcrypt_columns;
ROLLBACK;
-- And into native envelopes.
BEGIN;
SELECT * FROM dbcrypt_convert('links', 'token');
SELECT id, dbcrypt_decrypt(token), token_key_id FROM links ORDER BY id;
SELECT "table", "column", scheme, aad, options FROM dbcrypt_columns;
SELECT * FROM dbcrypt_rotate('links', 'token');
SELECT * FROM dbcrypt_convert('links', 'token');
ROLLBACK;
-- A companion that cannot be NULL is cleared to ''.
BEGIN;
UPDATE links SET token_key_id = '' WHERE token_key_id IS NULL;
ALTER TABLE links ALTER token_key_id SET NOT NULL;
SELECT * FROM dbcrypt_convert('links', 'token');
SELECT DISTINCT token_key_id FROM links;
ROLLBACK;
DROP TABLE links;

---- attr_encrypted: value and iv in lines of base64, or both bytea; '' stays ''
CREATE TABLE hooks (id int PRIMARY KEY, encrypted_url text, encrypted_url_iv text, encrypted_raw bytea, encrypted_raw_iv bytea);
SELECT dbcrypt_adopt('hooks', 'encrypted_url', 'attr_encrypted');
SELECT dbcrypt_adopt('hooks', 'encrypted_raw', 'attr_encrypted', '{"iv": "encrypted_raw_iv"}');
INSERT INTO hooks VALUES (1, repeat('x', 50), NULL, 'raw', NULL), (2, '', NULL, '', 'stale'), (3, '', 'stale', NULL, NULL), (4, NULL, 'stale', '\x00', NULL);
SELECT * FROM dbcrypt_encrypt_column('hooks', 'encrypted_url');
SELECT * FROM dbcrypt_encrypt_column('hooks', 'encrypted_raw');
SELECT id, regexp_replace(encrypted_url, '[A-Za-z0-9+/]', 'x', 'g') AS url, regexp_replace(encrypted_url_iv, '[A-Za-z0-9+/]{16}', 'x') AS iv, length(encrypted_raw) AS raw, length(encrypted_raw_iv) AS raw_iv FROM hooks ORDER BY id;
-- A value with an iv is encrypted, even if not by a way that is known (CBC): it stays.
BEGIN;
INSERT INTO hooks (id, encrypted_url, encrypted_url_iv) VALUES (5, E'c29tZSBDQkMgY2lwaGVydGV4dA==\n', E'AAECAwQFBgcICQoLDA0ODw==\n');
SELECT * FROM dbcrypt_encrypt_column('hooks', 'encrypted_url');
ROLLBACK;
CREATE TABLE before AS SELECT * FROM hooks;
SET dbcrypt.keys = :'three';
SELECT state FROM dbcrypt_register_keys();
SELECT * FROM dbcrypt_rotate('hooks', 'encrypted_url', dry_run => true);
SELECT * FROM dbcrypt_rotate('hooks', 'encrypted_url');
VACUUM hooks;
CALL dbcrypt_rotate_in_place('hooks', 'encrypted_raw');
SELECT * FROM dbcrypt_rotate_all();
SELECT h.id, h.encrypted_url IS DISTINCT FROM b.encrypted_url AS url, h.encrypted_url_iv IS DISTINCT FROM b.encrypted_url_iv AS iv, h.encrypted_raw IS DISTINCT FROM b.encrypted_raw AS raw, h.encrypted_raw_iv IS DISTINCT FROM b.encrypted_raw_iv AS raw_iv FROM hooks h JOIN before b USING (id) ORDER BY id;
-- Without the key: nothing opens, and a value that no key opens stops revocation.
SET dbcrypt.keys = :'two';
SELECT key_id, state, "values", examples FROM dbcrypt_verify('hooks', 'encrypted_url');
SELECT * FROM dbcrypt_rotate('hooks', 'encrypted_url');
SELECT dbcrypt_revoke_key(:'id2');
SET dbcrypt.keys = :'three';
SELECT dbcrypt_revoke_key(:'id2');
SELECT dbcrypt_reinstate_key(:'id2');
BEGIN;
SELECT * FROM dbcrypt_convert('hooks', 'encrypted_url');
SELECT * FROM dbcrypt_convert('hooks', 'encrypted_raw');
SELECT id, dbcrypt_decrypt(encrypted_url) AS url, encrypted_url_iv AS iv, encode(dbcrypt_decrypt(encrypted_raw), 'escape') AS raw, encrypted_raw_iv AS raw_iv FROM hooks ORDER BY id;
ROLLBACK;
SELECT dbcrypt_delete_column('hooks', 'encrypted_raw', 'public.hooks.encrypted_raw');
SELECT encrypted_raw, encrypted_raw_iv FROM hooks WHERE id = 1;
-- AES-256-CBC has a longer iv.
CREATE TABLE legacy (encrypted_token text, encrypted_token_iv text);
INSERT INTO legacy VALUES (E'q/AdhbNBqdZXmjnyv8Wp/15t8N8V/j3fyzgPqfiHtks=\n', E'wIR4WrrbQRZ6+CCd4Dcofw==\n');
SELECT dbcrypt_adopt('legacy', 'encrypted_token', 'attr_encrypted');
DROP TABLE hooks, before, legacy;

---- gitlab_token: found by ciphertext, so the nonce follows from the value
CREATE TABLE runners (id int, token_encrypted text UNIQUE);
SELECT dbcrypt_adopt('runners', 'token_encrypted', 'gitlab_token');
INSERT INTO runners VALUES (1, 'a token'), (2, ''), (3, NULL);
SELECT * FROM dbcrypt_encrypt_column('runners', 'token_encrypted');
SELECT * FROM dbcrypt_rotate('runners', 'token_encrypted');
SET dbcrypt.keys = :'two';
SELECT * FROM dbcrypt_rotate('runners', 'token_encrypted');
\set order :key1 ',' :key3 ',' :key2
SET dbcrypt.keys = :'order';
SELECT * FROM dbcrypt_rotate('runners', 'token_encrypted');
SELECT * FROM dbcrypt_rotate('runners', 'token_encrypted');
SELECT id, right(token_encrypted, 12) = left(encode(sha256('a token'), 'hex'), 12) AS nonce FROM runners ORDER BY id;
BEGIN;
SELECT * FROM dbcrypt_convert('runners', 'token_encrypted');
SELECT id, dbcrypt_decrypt(token_encrypted) FROM runners ORDER BY id;
ROLLBACK;
-- A nonce is what it is made of, never another value's that is spelt as a token.
BEGIN;
UPDATE runners SET token_encrypted = left(token_encrypted, -12) || 'not hexadec!' WHERE id = 1;
SELECT state, "values" FROM dbcrypt_verify('runners', 'token_encrypted');
SELECT * FROM dbcrypt_rotate('runners', 'token_encrypted');
ROLLBACK;
DROP TABLE runners;

---- containarium: bytea with AAD of the row; rows with a wrapped key are someone else's
CREATE TABLE secrets (username text, name text, ciphertext bytea, nonce bytea, wrapped_dek bytea, version int DEFAULT 1);
SELECT dbcrypt_adopt('secrets', 'ciphertext', 'containarium');
SELECT "column", scheme, aad, options FROM dbcrypt_columns;
INSERT INTO secrets VALUES ('alice', 'A', 'secret', NULL, NULL), ('zoë', 'B', '', NULL, NULL), ('bob', 'A', 'kms', 'n', 'w');
SELECT * FROM dbcrypt_encrypt_column('secrets', 'ciphertext');
\set order :key2 ',' :key3 ',' :key1
SET dbcrypt.keys = :'order';
SELECT * FROM dbcrypt_rotate('secrets', 'ciphertext', dry_run => true);
SELECT * FROM dbcrypt_rotate('secrets', 'ciphertext');
SELECT state, "values" FROM dbcrypt_verify('secrets', 'ciphertext');
SELECT username, length(ciphertext) AS value, length(nonce) AS nonce, version FROM secrets ORDER BY username;
-- A row copied to another user does not open.
BEGIN;
UPDATE secrets SET username = 'mallory' WHERE username = 'alice';
SELECT key_id, state, "values" FROM dbcrypt_verify('secrets', 'ciphertext');
ROLLBACK;
BEGIN;
SAVEPOINT s;
SELECT * FROM dbcrypt_convert('secrets', 'ciphertext');
ROLLBACK TO s;
SELECT * FROM dbcrypt_convert('secrets', 'ciphertext', $$username || '/' || name$$);
SELECT username, wrapped_dek IS NULL AND encode(dbcrypt_decrypt(ciphertext, username || '/' || name), 'escape') IN ('secret', '') AS converted, nonce FROM secrets WHERE wrapped_dek IS NULL ORDER BY username;
SELECT scheme, aad, options FROM dbcrypt_columns;
-- The other rows are left alone from now on too.
SELECT * FROM dbcrypt_rotate('secrets', 'ciphertext');
SELECT state, "values" FROM dbcrypt_verify('secrets', 'ciphertext');
SELECT finding FROM dbcrypt_check() WHERE subject LIKE '%secrets%';
ROLLBACK;
SELECT dbcrypt_delete_column('secrets', 'ciphertext', 'public.secrets.ciphertext');
SELECT username, ciphertext, nonce FROM secrets ORDER BY username;
DROP TABLE secrets;

---- lockbox: text and bytea, key derived for table and attribute; '' stays ''
CREATE TABLE users (id int, email_ciphertext text, raw_ciphertext bytea, bound_ciphertext text);
SELECT dbcrypt_adopt('users', 'email_ciphertext', 'lockbox');
SELECT dbcrypt_adopt('users', 'raw_ciphertext', 'lockbox', '{"table": "people", "attribute": "raw"}');
SELECT dbcrypt_adopt('users', 'bound_ciphertext', 'lockbox', '{"aad": "id"}');
SELECT "column", scheme, aad, options FROM dbcrypt_columns ORDER BY 1;
INSERT INTO users VALUES (1, 'e@x', 'raw', 'bound'), (2, '', '', ''), (3, NULL, NULL, NULL);
SELECT "column", e.* FROM dbcrypt_columns c, dbcrypt_encrypt_column(format('%I.%I', c."schema", c."table"), c."column") e ORDER BY 1;
\set order :key3 ',' :key2 ',' :key1
SET dbcrypt.keys = :'order';
SELECT * FROM dbcrypt_rotate_all();
SELECT * FROM dbcrypt_rotate_all();
SELECT id, length(email_ciphertext) AS email, length(raw_ciphertext) AS raw, length(bound_ciphertext) AS bound FROM users ORDER BY id;
SELECT DISTINCT "column", state, "values" FROM dbcrypt_verify_all() ORDER BY 1;
-- The AAD is part of the value.
BEGIN;
UPDATE users SET id = 10 WHERE id = 1;
SELECT "column", state, "values" FROM dbcrypt_verify_all() ORDER BY 1;
ROLLBACK;
BEGIN;
SELECT c."column", v.* FROM dbcrypt_columns c, dbcrypt_convert(format('%I.%I', c."schema", c."table"), c."column") v;
SELECT id, dbcrypt_decrypt(email_ciphertext) AS email, encode(dbcrypt_decrypt(raw_ciphertext), 'escape') AS raw, dbcrypt_decrypt(bound_ciphertext, id::text) AS bound FROM users ORDER BY id;
ROLLBACK;
-- Another table name derives another key.
BEGIN;
SELECT dbcrypt_unregister_column('users', 'email_ciphertext');
SELECT dbcrypt_adopt('users', 'email_ciphertext', 'lockbox', '{"table": "user"}');
ROLLBACK;
DROP TABLE users;
DROP EXTENSION dbcrypt;
