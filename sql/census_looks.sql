-- dbcrypt_census: which columns of a schema it was told nothing of look encrypted. A
-- hint: what it misses and what it reports falsely is counted here too.
CREATE DATABASE dbcrypt_looksdb TEMPLATE template0 ENCODING 'UTF8';
\c dbcrypt_looksdb
\set key1 0101010101010101010101010101010101010101010101010101010101010101
\set key2 0202020202020202020202020202020202020202020202020202020202020202
\set both :key1 ',' :key2
LOAD 'dbcrypt';
SET dbcrypt.key_file = '';
SET dbcrypt.keys = :'both';
CREATE EXTENSION dbcrypt;
SELECT count(*) FROM dbcrypt_register_keys();

-- n bytes that are distributed as random ones, the same in every run.
CREATE FUNCTION bytes(seed text, n int) RETURNS bytea LANGUAGE sql IMMUTABLE AS $$
	SELECT substr(string_agg(sha256(convert_to(seed || ':' || i, 'UTF8')), ''::bytea ORDER BY i), 1, n)
	  FROM generate_series(0, n / 32) i $$;
CREATE FUNCTION b64(b bytea) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT replace(encode(b, 'base64'), E'\n', '') $$;
CREATE FUNCTION b64url(b bytea) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT translate(b64(b), '+/', '-_') $$;
CREATE FUNCTION words(seed int, n int) RETURNS text LANGUAGE sql IMMUTABLE AS $$
	SELECT string_agg((ARRAY['the','quick','brown','fox','jumps','over','lazy','dogs','while','Zürich','sleeps','under','seven','hills','of','green','paper'])[1 + get_byte(bytes(seed::text, n), i) % 17], ' ')
	  FROM generate_series(0, n - 1) i $$;

-- Ciphertext of other programs, and their companions.
CREATE TABLE ciphertext AS SELECT i AS id,
	b64(bytes('l' || i, 28 + i % 40)) AS lockbox_ciphertext,
	bytes('lb' || i, 28 + i % 40) AS lockbox_binary,
	encode(bytes('a' || i, 17 + 8 + 16 * (i % 3) + 8), 'base64') || E'\n' AS encrypted_token,
	encode(bytes('iv' || i, 12), 'base64') || E'\n' AS encrypted_token_iv,
	encode(bytes('as' || i, 16), 'base64') || E'\n' AS encrypted_token_salt,
	bytes('ab' || i, 48) AS encrypted_password,
	bytes('abi' || i, 12) AS encrypted_password_iv,
	b64url('\x80'::bytea || int8send(1700000000 + i * 3600) || bytes('f' || i, 16 + 16 * (1 + i % 5) + 32)) AS fernet,
	b64(bytes('c' || i % 40, 44 + i % 40 % 7)) AS deterministic,
	encode(bytes('h' || i, 40 + i % 9), 'hex') AS hex_aes,
	upper(encode(bytes('hu' || i, 33 + i % 9), 'hex')) AS hex_upper,
	'\x' || encode(bytes('hx' || i, 33 + i % 9), 'hex') AS hex_prefixed,
	b64(bytes('t' || i, 12 + 3 + i % 64 + 16)) AS credential_value,
	rtrim(b64(bytes('np' || i, 41 + i % 20)), '=') AS unpadded,
	rtrim(b64url(bytes('nu' || i, 41 + i % 20)), '=') AS unpadded_url,
	encode(bytes('lg' || i, 900 + i), 'base64') AS long_wrapped,
	convert_to(b64(bytes('tb' || i, 50 + i % 11)), 'UTF8') AS text_in_bytea,
	b64('Salted__'::bytea || bytes('s' || i, 8 + 16 * (1 + i % 4))) AS openssl_enc,
	b64('\x01'::bytea || int4send(7) || bytes('v' || i, 12 + 20 + i % 16 + 16)) AS versioned,
	b64(bytes('d' || i, 64)) AS data,
	b64(bytes('dn' || i, 12)) AS data_nonce,
	b64(bytes('one', 60)) AS one_value,
	CASE WHEN i > 2 THEN NULL ELSE b64(bytes('few' || i, 60)) END AS few_values
  FROM generate_series(1, 200) i;
CREATE TABLE same_size AS SELECT i AS id, b64(bytes('z' || i, 64)) AS sealed FROM generate_series(1, 200) i;
CREATE TABLE wrapped AS SELECT i AS id,
	json_build_object('p', b64(bytes('p' || i, 20)), 'h', json_build_object('iv', b64(bytes('i' || i, 12)))) AS rails
  FROM generate_series(1, 200) i;

-- Everything else.
CREATE TABLE digests AS SELECT i AS id,
	md5(i::text) AS md5, 'md5' || md5(i::text) AS md5_password, encode(bytes('s1' || i, 20), 'hex') AS sha1,
	encode(sha224(i::text::bytea), 'hex') AS sha224, encode(sha256(i::text::bytea), 'hex') AS sha256,
	encode(sha384(i::text::bytea), 'hex') AS sha384, encode(sha512(i::text::bytea), 'hex') AS sha512,
	sha256(i::text::bytea) AS sha256_raw, sha512(i::text::bytea) AS sha512_raw,
	b64(sha256(i::text::bytea)) AS sha256_base64, b64(sha512(i::text::bytea)) AS sha512_base64,
	'sha256-' || b64(sha256(i::text::bytea)) AS subresource_integrity,
	'$2a$12$' || left(translate(b64(bytes('b' || i, 40)), '+', '.'), 53) AS bcrypt,
	'$argon2id$v=19$m=65536,t=3,p=4$' || b64(bytes('ar' || i, 16)) || '$' || b64(bytes('ar2' || i, 32)) AS argon2,
	'pbkdf2_sha256$260000$' || left(md5(i::text), 12) || '$' || b64(sha256(i::text::bytea)) AS django,
	md5(i::text)::uuid AS uuid, md5(i::text)::uuid::text AS uuid_text, upper(md5(i::text)) AS guid_hex,
	'{' || md5(i::text)::uuid || '}' AS uuid_braces, '"' || md5(i::text) || '"' AS etag,
	md5(i::text) || ',' || md5((i + 1)::text) AS md5_list
  FROM generate_series(1, 200) i;
CREATE TABLE files AS SELECT i AS id,
	'\x89504e470d0a1a0a'::bytea || bytes('p' || i, 500) AS png, '\xffd8ffe000104a464946'::bytea || bytes('j' || i, 500) AS jpeg,
	b64('\x89504e470d0a1a0a'::bytea || bytes('pb' || i, 500)) AS png_base64,
	b64('\xffd8ffe000104a464946'::bytea || bytes('jb' || i, 500)) AS jpeg_base64,
	'data:image/png;base64,' || b64('\x89504e470d0a1a0a'::bytea || bytes('pd' || i, 500)) AS data_url,
	b64('GIF89a'::bytea || bytes('g' || i, 300)) AS gif_base64, 'RIFF'::bytea || bytes('w' || i, 300) AS webp,
	'\x1f8b0800'::bytea || bytes('gz' || i, 100) AS gzip, '\x789c'::bytea || bytes('z' || i, 100) AS zlib,
	'\x28b52ffd'::bytea || bytes('zs' || i, 100) AS zstd, '\x504b0304'::bytea || bytes('zip' || i, 100) AS zip,
	'%PDF-1.7'::bytea || bytes('pdf' || i, 300) AS pdf, '\x00000018667479706d703432'::bytea || bytes('mp4' || i, 300) AS mp4,
	convert_to(words(i, 30), 'UTF8') AS text_as_bytea, encode(convert_to(words(i, 30), 'UTF8'), 'hex') AS text_as_hex,
	b64(convert_to(words(i, 30), 'UTF8')) AS text_as_base64,
	convert_to(format('{"id":%s,"name":"%s"}', i, words(i, 9)), 'UTF8') AS json_as_bytea,
	b64(convert_to(format('{"id":%s,"name":"%s"}', i, words(i, 9)), 'UTF8')) AS json_as_base64,
	decode(repeat('00', 64) || lpad(to_hex(i), 8, '0'), 'hex') AS mostly_zero,
	(SELECT string_agg(float8send(i + j / 7.0), ''::bytea) FROM generate_series(1, 16) j) AS floats,
	(SELECT string_agg(int4send(i * j), ''::bytea) FROM generate_series(1, 16) j) AS integers
  FROM generate_series(1, 200) i;
CREATE TABLE people AS SELECT i AS id,
	initcap(words(i, 2)) AS name, words(i, 40) AS biography, replace(initcap(words(i, 9)), ' ', '') AS camel_case,
	replace(lower(words(i, 12)), ' ', '') AS run_together, replace(words(i, 12), ' ', '-') AS slug,
	replace(words(i, 12), ' ', '/') AS path, 'https://example.org/' || replace(words(i, 6), ' ', '/') || '?id=' || i AS url,
	words(i, 1) || i || '@example.org' AS email, lpad(i::text, 64, '0') AS padded_number,
	translate(encode(bytes('dg' || i, 33), 'hex'), 'abcdef', '123456') AS digits,
	'eyJhbGciOiJIUzI1NiJ9.' || b64url(convert_to(format('{"sub":"%s"}', i), 'UTF8')) || '.' || b64url(bytes('jw' || i, 32)) AS jwt,
	'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI' || b64(bytes('ss' || i, 32)) AS ssh_key,
	'-----BEGIN CERTIFICATE-----' || E'\n' || encode(bytes('pem' || i, 300), 'base64') AS pem,
	upper(translate(b64(bytes('b32' || i, 12)), '+/=01', 'ABCDE')) AS short_token,
	left(b64url(bytes('na' || i, 21)), 21) AS nanoid, '2024-01-01T00:00:00Z'::text AS timestamp_text,
	'+49 30 ' || i AS phone, '<p>' || words(i, 20) || '</p>' AS html, format('%s.%s.%s', i, i % 7, i % 3) AS version,
	'192.168.0.' || i AS ip, to_tsvector('simple', words(i, 9))::text AS lexemes,
	'xoxb-' || i || '-' || left(md5(i::text), 24) AS chat_token, words(i, 3) || ', ' || i || ' ' || words(i + 1, 2) AS address
  FROM generate_series(1, 200) i;
-- What is random and no ciphertext is reported.
CREATE TABLE random AS SELECT i AS id,
	b64url(bytes('t1' || i, 40)) AS session_token, encode(bytes('t2' || i, 36), 'hex') AS api_key,
	bytes('t3' || i, 33 + i % 5) AS random_bytes, b64('\x3059301306072a86'::bytea || bytes('k' || i, 83)) AS public_key
  FROM generate_series(1, 200) i;

CREATE VIEW columns AS SELECT attrelid::regclass AS "table", attname AS "column" FROM pg_attribute
 WHERE attrelid IN ('ciphertext'::regclass, 'same_size'::regclass, 'wrapped'::regclass, 'digests'::regclass,
	'files'::regclass, 'people'::regclass, 'random'::regclass) AND attnum > 1;
SELECT * FROM dbcrypt_census();
-- Columns, and how many of them are reported.
SELECT c."table", count(*) AS columns, count(f.state) AS reported
  FROM columns c LEFT JOIN dbcrypt_census() f ON f."table" = c."table" AND f."column" = c."column"
 GROUP BY 1 ORDER BY 1;
-- The ciphertext that is not: nonces and salts, too few values, the length of a digest
-- without a companion, JSON.
SELECT "table", "column" FROM columns WHERE "table" IN ('ciphertext'::regclass, 'same_size', 'wrapped')
EXCEPT SELECT "table", "column" FROM dbcrypt_census() ORDER BY 1, 2;

-- Registered columns, and those with envelopes of dbcrypt's own, only look like what they are.
CREATE TABLE ours AS SELECT dbcrypt_encrypt('x' || i) AS a, dbcrypt_encrypt('x' || i) AS b FROM generate_series(1, 100) i;
SELECT dbcrypt_register_column('ours', 'a');
SELECT * FROM dbcrypt_census('ours');
-- Columns of which some values are plaintext do not.
UPDATE ciphertext SET fernet = 'plain' WHERE id % 4 = 0;
SELECT "column" FROM dbcrypt_census('ciphertext') WHERE "column" = 'fernet';

\c contrib_regression
DROP DATABASE dbcrypt_looksdb;
