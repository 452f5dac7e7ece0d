-- Columns of a scheme without authentication: the registry records their key.
\set long c9f5a1b2d3e4f5061728394a5b6c7d8e9fa0b1c2d3e4f5061728394a5b6c7d8e9f00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff
\set other 7e1d0c9b8a79685746352413020100ffeeddccbbaa99887766554433221100aa55667788990011223344556677889900aabbccddeeff00112233445566778899aa
\set before text: :long
\set after text: :other ,text: :long
SELECT substr(encode(sha256(substr(:'long', 1, 32)::bytea), 'hex'), 1, 14) AS long_id,
	substr(encode(sha256(substr(:'other', 1, 32)::bytea), 'hex'), 1, 14) AS other_id \gset
CREATE EXTENSION dbcrypt;
SET dbcrypt.key_file = '';
SET dbcrypt.keys = :'before';
SELECT key_id = :'long_id', state FROM dbcrypt_register_keys();

-- Values that attr_encrypted made, from test/vectors/gitlab.json.
CREATE TABLE made (id int PRIMARY KEY, v text, v_iv text, v_salt text);
INSERT INTO made VALUES
	(1, E'KAMHAnjWtbvxyRMtYTfN8i+t3uugSWNEyat8kBa7qMc=\n', E'BSYc+yF9wTFMgQV+/pNSyw==\n', E'_QQyI/ZD7cEIxH1Li9ESqHQ==\n'),
	(2, E'xQ8P9O5RQ/trSXq5pM6LLLhUzXq+oj4mGazgU6FIRmQ=\n', E'3VPhNuL9StH6Z5TvJn1pLA==\n', E'_CQ1PFSpAJQaQk5WFrM45dg==\n'),
	(3, E'zvSU2NKvamC/O8WaZ3440o46RUP/YJdqmo/fROjpnmA=\n', E'mHwjPC3b4nB5s0m0gPTO/Q==\n', E'_LHc8AiZ9GdddHNlVr6/2rQ==\n'),
	-- Both keys open this one; under the other it is no text.
	(4, E'qLc23/bAC3yppJU44hyIRiyFPsqku6E+NEa7b4C58HU=\n', E'P6jDNGkArToDQKsSQddTVQ==\n', E'_E+Ib4alO4roMhNtMsPvRxA==\n');
CREATE TABLE vars (id serial PRIMARY KEY, v text, v_iv text, v_salt text);
INSERT INTO vars (v, v_iv, v_salt) SELECT v, v_iv, v_salt FROM made WHERE id < 4;
INSERT INTO vars (v) VALUES (NULL), ('');
-- What the column holds, without what is new at each rotation.
CREATE VIEW shape AS SELECT id, length(v) AS v, length(v_iv) AS iv, length(v_salt) AS salt,
	(SELECT max(m.id) FROM made m WHERE m.v = vars.v AND m.v_iv = vars.v_iv AND m.v_salt = vars.v_salt) AS made FROM vars ORDER BY id;

---- adoption
SELECT dbcrypt_adopt('vars', 'v', 'attr_encrypted');
SELECT dbcrypt_adopt('vars', 'v', 'attr_encrypted_cbc');
SELECT dbcrypt_adopt('vars', 'v', 'attr_encrypted_cbc', '{"key": "72cd6e8422c407"}');
SELECT dbcrypt_adopt('vars', 'v', 'attr_encrypted_cbc', '{"plaintext": "html"}');
SELECT dbcrypt_adopt('vars', 'v', 'attr_encrypted_cbc', '{"salt": "missing"}');
SELECT dbcrypt_adopt('vars', 'v', 'attr_encrypted_cbc', '{"salt": "v_iv", "iv": "v_salt"}');
SELECT dbcrypt_adopt('vars', 'v', 'attr_encrypted_cbc', '{"json": "$.a"}');
SELECT dbcrypt_adopt('vars', 'v', 'attr_encrypted_cbc_unsalted', jsonb_build_object('key', :'long_id'::text));
-- Not under the key that is named; nor under one without its text.
SET dbcrypt.keys = :'after';
SELECT count(*) FROM dbcrypt_register_keys();
SELECT dbcrypt_adopt('vars', 'v', 'attr_encrypted_cbc', jsonb_build_object('key', :'other_id'::text));
SELECT encode(substr(:'long', 1, 32)::bytea, 'hex') AS bare \gset
SET dbcrypt.keys = :'bare';
SELECT dbcrypt_adopt('vars', 'v', 'attr_encrypted_cbc', jsonb_build_object('key', :'long_id'::text));
\set twice :bare ',text:' :long
SET dbcrypt.keys = :'twice';
SET dbcrypt.keys = :'after';
-- Eight values tell it, whichever other keys there are.
INSERT INTO vars (v, v_iv, v_salt) SELECT v, v_iv, v_salt FROM made, generate_series(1, 3) WHERE id < 4;
SELECT dbcrypt_adopt('vars', 'v', 'attr_encrypted_cbc');
SELECT scheme, options - 'key' AS options, options ->> 'key' = :'long_id' AS key FROM dbcrypt_columns;

-- A value that two keys open by chance, and so all of the column's.
CREATE TABLE chance (id int, v text, v_iv text, v_salt text);
INSERT INTO chance SELECT i, v, v_iv, v_salt FROM made, generate_series(1, 8) i WHERE id = 4;
SELECT dbcrypt_adopt('chance', 'v', 'attr_encrypted_cbc', '{"plaintext": "bytes"}');
SELECT dbcrypt_adopt('chance', 'v', 'attr_encrypted_cbc');
SELECT options ->> 'key' = :'long_id' AS key FROM dbcrypt_columns WHERE "table" = 'chance';
DROP TABLE chance;

---- states
SELECT key_id = :'long_id' AS long, state, "values", examples FROM dbcrypt_verify('vars', 'v');
SELECT state, "values" FROM dbcrypt_verify_all();
SELECT "column", key_id = :'long_id' AS long, state, "values" FROM dbcrypt_census('vars') WHERE state = 'registered';
SELECT severity, subject, replace(finding, :'long_id', 'long') FROM dbcrypt_check() WHERE subject LIKE '%vars%';

---- other ways
CALL dbcrypt_rotate_online('vars', 'v');
CALL dbcrypt_rotate_in_place('vars', 'v');
SELECT dbcrypt_encrypt_column('vars', 'v');
SET dbcrypt.decrypt_keys = :'long_id';
SELECT dbcrypt_decrypt_column('vars', 'v');
RESET dbcrypt.decrypt_keys;
CREATE TRIGGER seal BEFORE INSERT ON vars FOR EACH ROW EXECUTE FUNCTION dbcrypt_encrypt_trigger('v');
INSERT INTO vars (v) VALUES ('x');
DROP TRIGGER seal ON vars;
ALTER TABLE vars RENAME v_salt TO salt;
ALTER TABLE vars DROP v_salt;
SELECT dbcrypt_register_column('vars', 'v_salt');
SELECT dbcrypt_rotate('vars', 'v', keep => 'vars');
SELECT dbcrypt_rotate('made', 'v', keep => 'public.kept');

---- one wrong value, and nothing changes
SELECT * FROM dbcrypt_rotate('vars', 'v', dry_run => true);
INSERT INTO vars (id, v, v_iv, v_salt) SELECT 100, v, v_iv, repeat('x', 16) FROM made WHERE id = 1;
CREATE TABLE copy AS SELECT * FROM vars;
SELECT dbcrypt_rotate('vars', 'v', dry_run => true);
SELECT dbcrypt_rotate('vars', 'v');
SELECT dbcrypt_convert('vars', 'v');
SELECT count(*) FROM (TABLE vars EXCEPT TABLE copy) x;
SELECT state, "values", examples FROM dbcrypt_verify('vars', 'v');
DELETE FROM vars WHERE id = 100;
DROP TABLE copy;

---- rotation
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT count(*) FROM vars;
SELECT * FROM dbcrypt_rotate('vars', 'v');
SELECT options ->> 'key' = :'other_id' AS key FROM dbcrypt_columns;
ROLLBACK;
SELECT options ->> 'key' = :'other_id' AS key FROM dbcrypt_columns;
BEGIN;
SELECT * FROM dbcrypt_rotate_all();
SELECT mode FROM pg_locks WHERE relation = 'vars'::regclass AND pid = pg_backend_pid() AND mode LIKE 'Share%' ORDER BY 1;
COMMIT;
SELECT * FROM shape;
SELECT options ->> 'key' = :'other_id' AS key FROM dbcrypt_columns;
SELECT key_id = :'other_id' AS other, state, "values" FROM dbcrypt_verify('vars', 'v');
SELECT * FROM dbcrypt_rotate('vars', 'v');

-- A value that the application writes under its old key meanwhile is named.
INSERT INTO vars (id, v, v_iv, v_salt) SELECT 101, v, v_iv, v_salt FROM made WHERE id = 2;
SELECT key_id = :'other_id' AS other, state, "values", examples FROM dbcrypt_verify('vars', 'v');
SELECT dbcrypt_rotate('vars', 'v');
SELECT dbcrypt_revoke_key(:'long_id');
DELETE FROM vars WHERE id = 101;
-- The recorded key counts as used.
SET dbcrypt.keys = :'before';
SELECT dbcrypt_revoke_key(:'other_id');
SELECT state, "values" FROM dbcrypt_verify('vars', 'v');
SELECT dbcrypt_rotate('vars', 'v');
SET dbcrypt.keys = :'after';
SELECT dbcrypt_revoke_key(:'long_id');
SELECT dbcrypt_reinstate_key(:'long_id');

---- who may
CREATE ROLE regress_dbcrypt_rotator;
GRANT EXECUTE ON FUNCTION dbcrypt_rotate(regclass, name, text, boolean, text), dbcrypt_verify(regclass, name),
	dbcrypt_convert(regclass, name, text, text), dbcrypt_adopt(regclass, name, text, jsonb) TO regress_dbcrypt_rotator;
ALTER TABLE vars OWNER TO regress_dbcrypt_rotator;
SET ROLE regress_dbcrypt_rotator;
SELECT dbcrypt_verify('vars', 'v');
SELECT dbcrypt_rotate('vars', 'v');
SELECT dbcrypt_rotate('vars', 'v', dry_run => true);
SELECT dbcrypt_convert('vars', 'v');
RESET ROLE;
GRANT EXECUTE ON FUNCTION dbcrypt_decrypt(text, text) TO regress_dbcrypt_rotator;
SET ROLE regress_dbcrypt_rotator;
SELECT * FROM dbcrypt_rotate('vars', 'v');
RESET ROLE;
ALTER TABLE vars OWNER TO CURRENT_USER;
REVOKE ALL ON FUNCTION dbcrypt_rotate(regclass, name, text, boolean, text), dbcrypt_verify(regclass, name), dbcrypt_decrypt(text, text),
	dbcrypt_convert(regclass, name, text, text), dbcrypt_adopt(regclass, name, text, jsonb) FROM regress_dbcrypt_rotator;
DROP ROLE regress_dbcrypt_rotator;

---- the whole column or nothing: partitions
SET dbcrypt.keys = :'before';
CREATE TABLE parts (id int, part int, v text, v_iv text, v_salt text, PRIMARY KEY (id, part)) PARTITION BY LIST (part);
CREATE TABLE part1 PARTITION OF parts FOR VALUES IN (1);
CREATE TABLE part2 PARTITION OF parts FOR VALUES IN (2);
INSERT INTO parts SELECT i, i % 2 + 1, v, v_iv, v_salt FROM made, generate_series(1, 8) i WHERE id = 1;
SELECT dbcrypt_adopt('parts', 'v', 'attr_encrypted_cbc');
SET dbcrypt.keys = :'after';
SELECT dbcrypt_rotate('part1', 'v');
SELECT dbcrypt_convert('part1', 'v');
SELECT state, "values" FROM dbcrypt_verify('part1', 'v');
UPDATE parts SET v_salt = 'wrong' WHERE id = 7;
SELECT dbcrypt_rotate('parts', 'v');
SELECT state, "values" FROM dbcrypt_verify('parts', 'v');
UPDATE parts SET v_salt = (SELECT v_salt FROM made WHERE id = 1) WHERE id = 7;
SELECT * FROM dbcrypt_rotate('parts', 'v');
SELECT state, "values" FROM dbcrypt_verify('parts', 'v');
DROP TABLE parts;

---- bytes: old values are kept
SET dbcrypt.keys = :'before';
CREATE TABLE raw (id int PRIMARY KEY, b bytea, b_iv bytea, b_salt bytea);
INSERT INTO raw SELECT i, decode(v, 'base64'), decode(v_iv, 'base64'), decode(substr(v_salt, 2), 'base64') FROM made, generate_series(1, 8) i WHERE id = 3;
INSERT INTO raw VALUES (9, '', NULL, NULL), (10, NULL, NULL, NULL);
SELECT dbcrypt_adopt('raw', 'b', 'attr_encrypted_cbc');
SET dbcrypt.keys = :'after';
SELECT dbcrypt_rotate('raw', 'b');
SELECT dbcrypt_convert('raw', 'b');
SELECT dbcrypt_rotate('raw', 'b', keep => 'kept');
SELECT dbcrypt_rotate('raw', 'b', keep => 'public.raw');
SELECT "table", rotated, problem FROM dbcrypt_rotate_all();
SELECT * FROM dbcrypt_rotate('raw', 'b', dry_run => true);
CREATE TABLE saved AS SELECT * FROM raw;
SELECT * FROM dbcrypt_rotate('raw', 'b', keep => 'public.kept');
SELECT state, "values" FROM dbcrypt_verify('raw', 'b');
SELECT count(*) FROM (TABLE kept INTERSECT TABLE saved) x;
SELECT count(*) FROM (TABLE raw INTERSECT TABLE saved) x;
-- And put back.
BEGIN;
UPDATE raw r SET (b, b_iv, b_salt) = (k.b, k.b_iv, k.b_salt) FROM kept k WHERE k.id = r.id;
SELECT dbcrypt_unregister_column('raw', 'b');
SELECT dbcrypt_adopt('raw', 'b', 'attr_encrypted_cbc', jsonb_build_object('key', :'long_id'::text));
SELECT state, "values" FROM dbcrypt_verify('raw', 'b');
ROLLBACK;
SELECT * FROM dbcrypt_convert('raw', 'b', keep => 'public.kept2');
SELECT DISTINCT convert_from(dbcrypt_decrypt(b), 'UTF8') FROM raw WHERE b IS NOT NULL;
SELECT count(*) FROM kept2;
ALTER TABLE raw DROP CONSTRAINT raw_pkey;
DROP TABLE raw, saved, kept, kept2;

---- bytea that holds text needs none to be kept
SET dbcrypt.keys = :'before';
CREATE TABLE raw (b bytea, b_iv bytea);
SELECT dbcrypt_adopt('raw', 'b', 'attr_encrypted_cbc_unsalted', jsonb_build_object('key', :'long_id'::text, 'plaintext', 'text'));
INSERT INTO raw VALUES (decode('q/AdhbNBqdZXmjnyv8Wp/15t8N8V/j3fyzgPqfiHtks=', 'base64'), decode('wIR4WrrbQRZ6+CCd4Dcofw==', 'base64'));
SET dbcrypt.keys = :'after';
SELECT * FROM dbcrypt_rotate('raw', 'b');
SELECT dbcrypt_unregister_column('raw', 'b');
SELECT dbcrypt_adopt('raw', 'b', 'attr_encrypted_cbc_unsalted', jsonb_build_object('key', :'other_id'::text));
SET dbcrypt.keys = :'before';
SELECT dbcrypt_rotate('raw', 'b', keep => 'public.kept');
DROP TABLE raw;

---- conversion
SET dbcrypt.keys = :'after';
SELECT * FROM dbcrypt_convert('vars', 'v', 'id');
SELECT id, dbcrypt_decrypt(v, id::text), v_iv, v_salt FROM vars ORDER BY id LIMIT 4;
SELECT scheme, aad, options FROM dbcrypt_columns;
SELECT state, "values" FROM dbcrypt_verify_all();
DROP VIEW shape;
DROP TABLE vars, made;
DROP EXTENSION dbcrypt;
