-- dbcrypt_adopt: what it asks of table and options, JSON, where, expressions.
LOAD 'dbcrypt';
CREATE EXTENSION dbcrypt;
\set key1 0101010101010101010101010101010101010101010101010101010101010101
\set key2 0202020202020202020202020202020202020202020202020202020202020202
\set old :key1 ',' :key2
\set new :key2 ',' :key1
SET dbcrypt.key_file = '';
SET dbcrypt.keys = :'old';
SELECT state FROM dbcrypt_register_keys();

---- refusals
CREATE TABLE t (id int, v text, v_key_id text, v_iv bytea, n int, b bytea, j json,
    g text GENERATED ALWAYS AS ('x' || id) STORED, username text, name text, nonce bytea);
SELECT dbcrypt_adopt('t', 'v', 'vault');
SELECT dbcrypt_adopt('t', 'v', 'native');
SELECT dbcrypt_adopt('t', 'missing', 'coder');
SELECT dbcrypt_adopt('t', 'n', 'coder');
SELECT dbcrypt_adopt('t', 'b', 'coder', '{"key_id": "v_iv"}');
SELECT dbcrypt_adopt('t', 'b', 'tooljet');
SELECT dbcrypt_adopt('t', 'v', 'containarium');
SELECT dbcrypt_adopt('t', 'v', 'coder', '{"key_id": "missing"}');
SELECT dbcrypt_adopt('t', 'v', 'coder', '{"key_id": "n"}');
SELECT dbcrypt_adopt('t', 'v', 'coder', '{"key_id": "j"}');
SELECT dbcrypt_adopt('t', 'v', 'coder', '{"key_id": "g"}');
SELECT dbcrypt_adopt('t', 'v', 'coder', '{"key_id": "v"}');
SELECT dbcrypt_adopt('t', 'v', 'attr_encrypted');
SELECT dbcrypt_adopt('t', 'v', 'coder', '{"iv": "v_iv"}');
SELECT dbcrypt_adopt('t', 'v', 'coder', '{"json": "$.a"}');
SELECT dbcrypt_adopt('t', 'v', 'coder', '{"key_id": 1}');
SELECT dbcrypt_adopt('t', 'v', 'coder', '[]');
SELECT dbcrypt_adopt('t', 'v', 'coder', '"x"');
SELECT dbcrypt_adopt('t', 'v', 'lockbox', '{"json": "$.a"}');
SELECT dbcrypt_adopt('t', 'j', 'lockbox');
SELECT dbcrypt_adopt('t', 'v', 'lockbox', '{"where": "id"}');
SELECT dbcrypt_adopt('t', 'v', 'lockbox', '{"where": "v <> ''''"}');
SELECT dbcrypt_adopt('t', 'v', 'lockbox', '{"where": "(SELECT t.v <> '''')"}');
SELECT dbcrypt_adopt('t', 'v', 'lockbox', '{"where": "random() < 1"}');
SELECT dbcrypt_adopt('t', 'v', 'lockbox', '{"where": "true; DROP TABLE t"}');
SELECT dbcrypt_adopt('t', 'v', 'lockbox', '{"attribute_expression": "b"}');
SELECT dbcrypt_adopt('t', 'v', 'lockbox', '{"attribute_expression": "missing"}');
SELECT dbcrypt_adopt('pg_class', 'relname', 'lockbox');
CREATE TEMPORARY TABLE tt (v text);
SELECT dbcrypt_adopt('tt', 'v', 'lockbox');
SELECT dbcrypt_adopt('t', 'v', 'coder');
SELECT dbcrypt_adopt('t', 'v', 'coder');
-- What another column's expression reads cannot be encrypted.
SELECT dbcrypt_adopt('t', 'b', 'containarium', '{"aad": "convert_to(username, ''UTF8'')", "where": "name IS NOT NULL"}');
SELECT dbcrypt_adopt('t', 'username', 'lockbox');
SELECT dbcrypt_adopt('t', 'name', 'lockbox');
SELECT dbcrypt_adopt('t', 'v_key_id', 'lockbox');
DROP TABLE t;

-- Only the owner.
CREATE ROLE regress_dbcrypt_owner;
CREATE ROLE regress_dbcrypt_other;
CREATE TABLE owned (v text);
ALTER TABLE owned OWNER TO regress_dbcrypt_owner;
GRANT ALL ON owned TO regress_dbcrypt_other;
SET ROLE regress_dbcrypt_owner;
SELECT dbcrypt_adopt('owned', 'v', 'lockbox');
RESET ROLE;
GRANT EXECUTE ON FUNCTION dbcrypt_adopt(regclass, name, text, jsonb), dbcrypt_convert(regclass, name, text, text) TO regress_dbcrypt_owner, regress_dbcrypt_other;
SET ROLE regress_dbcrypt_other;
SELECT dbcrypt_adopt('owned', 'v', 'lockbox');
SELECT dbcrypt_convert('owned', 'v');
-- Whoever adopts learns something of the plaintext, so must be allowed to decrypt.
SET ROLE regress_dbcrypt_owner;
SELECT dbcrypt_adopt('owned', 'v', 'lockbox');
RESET ROLE;
GRANT EXECUTE ON FUNCTION dbcrypt_decrypt(bytea, text) TO regress_dbcrypt_owner;
SET ROLE regress_dbcrypt_owner;
SELECT dbcrypt_adopt('owned', 'v', 'lockbox');
RESET ROLE;
GRANT EXECUTE ON FUNCTION dbcrypt_decrypt(text, text) TO regress_dbcrypt_owner;
SET ROLE regress_dbcrypt_owner;
SELECT dbcrypt_adopt('owned', 'v', 'lockbox');
RESET ROLE;
DROP TABLE owned;

---- companions that are renamed or dropped
CREATE TABLE r (v text, v_key_id text);
SELECT dbcrypt_adopt('r', 'v', 'coder');
INSERT INTO r VALUES ('one');
SELECT * FROM dbcrypt_rotate('r', 'v');
ALTER EVENT TRIGGER dbcrypt_columns_prepare DISABLE; -- it would refuse
ALTER TABLE r RENAME v_key_id TO k;
ALTER EVENT TRIGGER dbcrypt_columns_prepare ENABLE ALWAYS;
SELECT * FROM dbcrypt_rotate('r', 'v');
SELECT * FROM dbcrypt_verify('r', 'v');
SELECT dbcrypt_revoke_key('75877bb41d393b');
SELECT severity, finding FROM dbcrypt_check() WHERE subject LIKE '%r.v%';
ALTER TABLE r RENAME v TO w;
SELECT dbcrypt_unregister_column('r', 'w');
SELECT dbcrypt_adopt('r', 'w', 'coder', '{"key_id": "k"}');
SELECT * FROM dbcrypt_rotate('r', 'w');
SELECT dbcrypt_unregister_column('r', 'w');
DROP TABLE r;
CREATE TABLE short (v text, v_iv varchar(10));
SELECT dbcrypt_adopt('short', 'v', 'attr_encrypted');
INSERT INTO short VALUES ('plain');
SELECT * FROM dbcrypt_encrypt_column('short', 'v');
DROP TABLE short;

---- a companion belongs to one column
CREATE TABLE pairs (v text, w text, k text, v_iv text, v_key_id text, k2 text);
SELECT dbcrypt_adopt('pairs', 'v', 'coder', '{"key_id": "k"}');
SELECT dbcrypt_adopt('pairs', 'w', 'coder', '{"key_id": "k"}');
SELECT dbcrypt_adopt('pairs', 'w', 'attr_encrypted', '{"iv": "k"}');
SELECT dbcrypt_register_column('pairs', 'k');
SELECT dbcrypt_adopt('pairs', 'k', 'lockbox');
SELECT dbcrypt_adopt('pairs', 'w', 'coder', '{"key_id": "v"}');
INSERT INTO pairs VALUES ('one', 'two');
SELECT * FROM dbcrypt_rotate('pairs', 'v');
SELECT dbcrypt_adopt('pairs', 'w', 'coder', '{"key_id": "k2"}');
SELECT * FROM dbcrypt_rotate('pairs', 'w');
ALTER TABLE pairs RENAME k TO k3;
-- As a restored registry may have it.
UPDATE dbcrypt_columns SET options = '{"companion": "k"}' WHERE "column" = 'w';
SELECT * FROM dbcrypt_rotate('pairs', 'v');
SELECT * FROM dbcrypt_rotate('pairs', 'w');
SELECT * FROM dbcrypt_convert('pairs', 'w');
SELECT "column", state, problem FROM dbcrypt_verify_all();
SELECT "column", rotated, problem FROM dbcrypt_rotate_all();
SELECT subject, finding FROM dbcrypt_check() WHERE subject LIKE 'registered column%';
SELECT dbcrypt_unregister_column('pairs', 'w');
SELECT state, "values" FROM dbcrypt_verify('pairs', 'v');
DROP TABLE pairs;
-- A child's own column, with the companion of its parent's.
CREATE TABLE parent (v text, w text, k text);
CREATE TABLE child () INHERITS (parent);
SELECT dbcrypt_adopt('child', 'w', 'coder', '{"key_id": "k"}');
SELECT dbcrypt_adopt('parent', 'v', 'coder', '{"key_id": "k"}');
DROP TABLE parent CASCADE;

---- empty values that stay as they are
CREATE TABLE empties (id int, v text NOT NULL);
SELECT dbcrypt_adopt('empties', 'v', 'tooljet');
INSERT INTO empties VALUES (1, 'one'), (2, '');
SELECT * FROM dbcrypt_encrypt_column('empties', 'v');
SELECT dbcrypt_unregister_column('empties', 'v');
-- The empty string as ToolJet encrypts it, under key 1.
INSERT INTO empties VALUES (3, 'BwcHBwcHBwcHBwcHTwwGRSM8uiQz9wFIJ4u/6Q==');
SELECT dbcrypt_adopt('empties', 'v', 'tooljet');
SET dbcrypt.keys = :'new';
SELECT * FROM dbcrypt_rotate('empties', 'v');
SELECT id, length(v) FROM empties ORDER BY id;
DROP TABLE empties;
SET dbcrypt.keys = :'old';

---- JSON: fields are values, everything else stays byte for byte
CREATE TABLE sso (id int, configs json, b jsonb);
SELECT dbcrypt_adopt('sso', 'configs', 'tooljet', '{"table": "ssoConfigs", "json": "%secret%"}');
SELECT dbcrypt_adopt('sso', 'b', 'tooljet', '{"table": "b", "json": "$.a.secret", "attribute": "fixed"}');
INSERT INTO sso VALUES
    (1, '{ "clientId" : "x",  "clientSecret":"plain", "n": 1.50, "list": [ {"other_SECRET": "not of the top level"}, "secret" ], "other_SECRET": "two", "é\u0041\"" : "\u00e9\n" }', '{"a": {"secret": "in"}, "secret": "out", "b": {"a": {"secret": "deep"}}}'),
    (2, '{"secretive": null, "secret": 1, "nested_secret": {"a": "b"}}', '{"a": [{"secret": "element"}, {"secret": "another"}]}'),
    (3, NULL, NULL), (4, '[]', '"scalar"'), (5, '"secret"', '{}'),
    (6, '{"zero": "a\u0000b\\u0000", "secret": "six"}', NULL);
CREATE TABLE plain AS SELECT * FROM sso;
SELECT * FROM dbcrypt_encrypt_column('sso', 'configs');
SELECT * FROM dbcrypt_encrypt_column('sso', 'b');
SELECT key_id, state, "values" FROM dbcrypt_verify('sso', 'configs');
SELECT key_id, state, "values" FROM dbcrypt_verify('sso', 'b');
CREATE VIEW masked AS SELECT id, regexp_replace(configs::text, '[A-Za-z0-9+/]{40,}=*', '<value>', 'g') AS configs, regexp_replace(b::text, '[A-Za-z0-9+/]{40,}=*', '<value>', 'g') AS b FROM sso;
SELECT * FROM masked ORDER BY id;
CREATE TABLE before AS SELECT * FROM sso;
SET dbcrypt.keys = :'new';
SELECT * FROM dbcrypt_rotate('sso', 'configs', dry_run => true);
SELECT * FROM dbcrypt_rotate('sso', 'configs');
SELECT * FROM dbcrypt_rotate('sso', 'configs');
VACUUM sso;
CALL dbcrypt_rotate_in_place('sso', 'b');
CALL dbcrypt_rotate_online('sso', 'b');
SELECT * FROM masked ORDER BY id;
SELECT id FROM sso JOIN before USING (id) WHERE sso.configs::text <> before.configs::text OR sso.b <> before.b ORDER BY id;
-- What no text can hold is not changed to be encrypted.
BEGIN;
INSERT INTO sso VALUES (7, '{"secret": "a\u0000b"}');
SELECT * FROM dbcrypt_encrypt_column('sso', 'configs');
ROLLBACK;
-- A row with values under two keys: neither can be revoked unseen.
BEGIN;
CREATE FUNCTION two(json, json) RETURNS json RETURN format('{"clientSecret": %s, "clientSecret": %s}', $1->'clientSecret', $2->'clientSecret')::json;
CREATE TABLE both_keys AS SELECT two(before.configs, sso.configs) AS old_first, two(sso.configs, before.configs) AS new_first FROM sso, before WHERE sso.id = 1 AND before.id = 1;
UPDATE sso SET configs = old_first FROM both_keys WHERE id = 1;
SELECT key_id, state, "values" FROM dbcrypt_verify('sso', 'configs');
SAVEPOINT s;
SELECT dbcrypt_revoke_key('72cd6e8422c407');
ROLLBACK TO s;
UPDATE sso SET configs = new_first FROM both_keys WHERE id = 1;
SELECT dbcrypt_revoke_key('72cd6e8422c407');
ROLLBACK;
BEGIN;
SELECT * FROM dbcrypt_convert('sso', 'configs');
SELECT * FROM masked WHERE id = 1;
SELECT dbcrypt_decrypt(configs->>'clientSecret'), dbcrypt_decrypt(configs->>'other_SECRET') FROM sso WHERE id = 1;
SELECT scheme, options FROM dbcrypt_columns WHERE "column" = 'configs';
SELECT * FROM dbcrypt_rotate('sso', 'configs');
SELECT state, "values" FROM dbcrypt_verify('sso', 'configs');
SELECT severity, finding FROM dbcrypt_check() WHERE subject LIKE '%configs%';
SET dbcrypt.keys = :'old';
SELECT * FROM dbcrypt_rotate('sso', 'configs');
ROLLBACK;
SET dbcrypt.keys = :'new';
-- A damaged field is named by its row.
BEGIN;
UPDATE sso SET configs = '{"secret": "bad"}' WHERE id = 5;
SELECT key_id, state, "values" FROM dbcrypt_verify('sso', 'configs');
SELECT * FROM dbcrypt_rotate('sso', 'configs');
ROLLBACK;
SET dbcrypt.decrypt_keys = '75877bb41d393b';
SELECT * FROM dbcrypt_decrypt_column('sso', 'configs');
SELECT * FROM dbcrypt_decrypt_column('sso', 'b');
SELECT count(*) FROM sso JOIN plain USING (id) WHERE sso.configs::text = plain.configs::text;
SELECT count(*) FROM sso JOIN plain USING (id) WHERE sso.b = plain.b;
DROP TABLE sso, before, plain CASCADE;
SET dbcrypt.keys = :'old';

---- where, and an attribute from another table, whoever owns the partition
CREATE TABLE constants (id int PRIMARY KEY, organization_id uuid);
INSERT INTO constants VALUES (1, '3f0c9a52-7d64-4c0e-8a43-0d6a0b6f6d10'), (2, '00000000-0000-0000-0000-000000000002');
CREATE TABLE settings (part int, constant_id int, kind text, value text) PARTITION BY LIST (part);
CREATE TABLE settings_1 PARTITION OF settings FOR VALUES IN (1);
CREATE TABLE settings_2 (value text, kind text, part int, gone int, constant_id int);
ALTER TABLE settings_2 DROP COLUMN gone;
ALTER TABLE settings ATTACH PARTITION settings_2 FOR VALUES IN (2);
ALTER TABLE settings_2 OWNER TO regress_dbcrypt_owner;
SELECT dbcrypt_adopt('settings', 'part', 'tooljet');
SELECT dbcrypt_adopt('settings', 'value', 'tooljet', '{"where": "kind = ''secret''", "attribute_expression": "(SELECT c.organization_id FROM public.constants c WHERE c.id = constant_id)"}');
SELECT options FROM dbcrypt_columns;
INSERT INTO settings VALUES (1, 1, 'secret', 'one'), (1, 2, 'public', 'plain'), (2, 2, 'secret', 'two'), (2, 1, NULL, 'plain'), (2, 2, 'secret', NULL), (1, 2, 'secret', repeat('long ', 4));
SELECT * FROM dbcrypt_encrypt_column('settings', 'value');
SET dbcrypt.keys = :'new';
SELECT * FROM dbcrypt_rotate('settings', 'value', dry_run => true);
CALL dbcrypt_rotate_in_place('settings', 'value');
CALL dbcrypt_rotate_online('settings', 'value');
SELECT * FROM dbcrypt_rotate('settings', 'value');
SELECT part, constant_id, kind, CASE WHEN kind = 'secret' THEN length(value)::text ELSE value END AS value FROM settings ORDER BY 1, 2, 3;
SELECT state, "values" FROM dbcrypt_verify('settings', 'value');
-- The attribute may not be NULL.
BEGIN;
DELETE FROM constants WHERE id = 1;
SELECT key_id, state, "values" FROM dbcrypt_verify('settings', 'value');
SELECT * FROM dbcrypt_rotate('settings', 'value');
ROLLBACK;
-- Another organization's value does not open.
BEGIN;
UPDATE settings SET constant_id = 2 WHERE constant_id = 1;
SELECT key_id, state, "values" FROM dbcrypt_verify('settings', 'value');
ROLLBACK;
SELECT * FROM dbcrypt_convert('settings', 'value');
SELECT * FROM dbcrypt_convert('settings', 'value', 'at::text');
SELECT * FROM dbcrypt_convert('settings', 'value', 'constant_id');
SELECT part, constant_id, kind, CASE WHEN kind = 'secret' THEN dbcrypt_decrypt(value, constant_id::text) ELSE value END AS value FROM settings ORDER BY 1, 2, 3;
DROP TABLE settings, constants;
SET dbcrypt.keys = :'old';

---- TOAST, and a trigger that would encrypt natively
CREATE TABLE big (id int, v text, v_iv text);
SELECT dbcrypt_adopt('big', 'v', 'attr_encrypted');
INSERT INTO big SELECT 1, string_agg(encode(sha512(int4send(i)), 'hex'), '') FROM generate_series(1, 1000) i;
CREATE TABLE before AS SELECT * FROM big;
SELECT * FROM dbcrypt_encrypt_column('big', 'v');
SET dbcrypt.keys = :'new';
SELECT * FROM dbcrypt_rotate('big', 'v');
SELECT * FROM dbcrypt_convert('big', 'v');
SELECT dbcrypt_decrypt(big.v) = before.v AS same, big.v_iv FROM big JOIN before USING (id);
DROP TABLE big, before;
SET dbcrypt.keys = :'old';
CREATE TABLE triggered (v text, v_key_id text);
CREATE TRIGGER encrypt BEFORE INSERT OR UPDATE ON triggered FOR EACH ROW EXECUTE FUNCTION dbcrypt_encrypt_trigger('v');
SELECT dbcrypt_adopt('triggered', 'v', 'coder');
INSERT INTO triggered VALUES ('plain');
SELECT dbcrypt_unregister_column('triggered', 'v');
INSERT INTO triggered VALUES ('plain');
DROP TABLE triggered;
CREATE TABLE triggered (j json);
CREATE TRIGGER encrypt BEFORE INSERT ON triggered FOR EACH ROW EXECUTE FUNCTION dbcrypt_encrypt_trigger('j');
INSERT INTO triggered VALUES ('{}');
DROP TABLE triggered;

---- a companion in foreign keys that no rotation serves; a partition of an adopted table
CREATE TABLE referenced (a int, k text UNIQUE, PRIMARY KEY (a, k));
CREATE TABLE referring (a int, v text, v_key_id text UNIQUE, FOREIGN KEY (a, v_key_id) REFERENCES referenced);
SELECT dbcrypt_adopt('referring', 'v', 'coder');
ALTER TABLE referring DROP CONSTRAINT referring_a_v_key_id_fkey;
ALTER TABLE referenced ADD FOREIGN KEY (k) REFERENCES referring (v_key_id);
SELECT dbcrypt_adopt('referring', 'v', 'coder');
DROP TABLE referring, referenced CASCADE;
CREATE TABLE region (id int, v text, v_key_id text) PARTITION BY LIST (id);
CREATE TABLE region1 PARTITION OF region FOR VALUES IN (1);
SELECT dbcrypt_adopt('region', 'v', 'coder');
INSERT INTO region VALUES (1, 'plain');
SELECT dbcrypt_adopt('region1', 'v', 'coder');
SELECT * FROM dbcrypt_encrypt_column('region1', 'v');
SELECT dbcrypt_convert('region1', 'v');
SELECT state, "values" FROM dbcrypt_verify('region', 'v');
DROP TABLE region;

SELECT "table", "column" FROM dbcrypt_columns;
REVOKE ALL ON FUNCTION dbcrypt_decrypt(text, text), dbcrypt_decrypt(bytea, text), dbcrypt_adopt(regclass, name, text, jsonb), dbcrypt_convert(regclass, name, text, text) FROM regress_dbcrypt_owner, regress_dbcrypt_other;
DROP ROLE regress_dbcrypt_owner, regress_dbcrypt_other;
DROP EXTENSION dbcrypt;
