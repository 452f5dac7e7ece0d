-- Values: encrypt, decrypt, reencrypt, and what a header says without a key.
\set key1 0101010101010101010101010101010101010101010101010101010101010101
\set key2 0202020202020202020202020202020202020202020202020202020202020202
\set both :key2 ',' :key1
LOAD 'dbcrypt';
SET dbcrypt.key_file = '';
SET dbcrypt.keys = :'key1';
CREATE EXTENSION dbcrypt;
SELECT * FROM dbcrypt_register_keys();

-- Round trips: text in, text out; bytea in, bytea out.
SELECT pg_typeof(e), dbcrypt_decrypt(e) FROM dbcrypt_encrypt('secret'::text) e;
SELECT pg_typeof(e), dbcrypt_decrypt(e) FROM dbcrypt_encrypt('\x00ff00'::bytea) e;
SELECT dbcrypt_decrypt(dbcrypt_encrypt('')) = '' AS empty_text,
       dbcrypt_decrypt(dbcrypt_encrypt(''::bytea)) = '' AS empty_bytea;
SELECT dbcrypt_decrypt(dbcrypt_encrypt(v)) = v AS same
  FROM (VALUES ('пароль'), ('密码'), ('🔑'), (E'a\nb\tc'), (repeat('x', 15)), (repeat('x', 16)), (repeat('x', 17))) t(v);
SELECT count(*) AS sizes, bool_and(dbcrypt_decrypt(dbcrypt_encrypt(v, 'a'), 'a') = v) AS same
  FROM (SELECT repeat('x', n) AS v FROM generate_series(0, 300) n) t;
SELECT bool_and(dbcrypt_decrypt(dbcrypt_encrypt(v, 'a'), 'a') = v) AS same
  FROM (SELECT decode(repeat('a7', n), 'hex') AS v FROM generate_series(0, 300) n) t;

-- Known envelopes, made by test/interop/envelope.py.
SELECT dbcrypt_decrypt('dbc1AXLNboQixAcAERERERERERERERERoj3jOq9gTKDxH6sH6t5ZeeVQzrCJUQ==');
SELECT dbcrypt_decrypt('dbc1AXLNboQixAcAERERERERERERERERoj3jOq9g2zkevJXjRcwK6KROLiX7gA==', 'user 1');
SELECT convert_from(dbcrypt_decrypt('\x75b7350172cd6e8422c40700111111111111111111111111a23de33aaf604ca0f11fab07eade5979e550ceb08951'::bytea), 'UTF8');
SELECT dbcrypt_decrypt('dbc1AXLNboQixAcAERERERERERERERERx6oXAGqWklzeqpDuegsG0Q==') = '' AS empty;
SELECT dbcrypt_decrypt('dbc1AXLNboQixAcAERERERERERERERERsjnmi2NN1potaaTMzftbWq2DksGl', U&'a\00E9') = U&'caf\00E9' AS same;

-- The two forms are one: base64 of the same bytes.
SELECT dbcrypt_decrypt(decode(dbcrypt_encrypt('secret', 'a'), 'base64'), 'a') = 'secret'::bytea AS same,
       dbcrypt_decrypt(encode(dbcrypt_encrypt('secret'::bytea, 'a'), 'base64'), 'a') AS value;

-- The layout: magic, algorithm, key id, zero, nonce, ciphertext, tag.
SELECT left(e, 16), e LIKE 'dbc1%' AS marked, length(e),
       substr(encode(decode(e, 'base64'), 'hex'), 1, 24) AS header,
       dbcrypt_key_id(e), dbcrypt_is_encrypted(e)
  FROM dbcrypt_encrypt('secret'::text) e;
SELECT substr(encode(e, 'hex'), 1, 24) AS header, length(e), dbcrypt_key_id(e), dbcrypt_is_encrypted(e)
  FROM dbcrypt_encrypt('secret'::bytea) e;
SELECT bool_and(length(dbcrypt_encrypt(decode(repeat('00', n), 'hex'))) = n + 40) AS bytea_size,
       bool_and(length(dbcrypt_encrypt(repeat('x', n))) = (n + 42) / 3 * 4) AS text_size
  FROM generate_series(0, 100) n;
SELECT count(DISTINCT substr(dbcrypt_encrypt('x'), 17, 16)) AS nonces FROM generate_series(1, 5000);

-- AAD: none and '' are the same; any other must be repeated.
SELECT dbcrypt_decrypt(dbcrypt_encrypt('secret'), ''), dbcrypt_decrypt(dbcrypt_encrypt('secret', '')),
       dbcrypt_decrypt(dbcrypt_encrypt('secret', 'user 1'), 'user 1');
SELECT dbcrypt_decrypt(dbcrypt_encrypt('secret', 'user 1'), 'user 2');
SELECT dbcrypt_decrypt(dbcrypt_encrypt('secret', 'user 1'));
SELECT dbcrypt_decrypt(dbcrypt_encrypt('secret'), 'user 1');
SELECT dbcrypt_decrypt(dbcrypt_encrypt('secret'::bytea, 'user 1'), 'user 2');
SELECT dbcrypt_decrypt(dbcrypt_encrypt('x', repeat('a', n)), repeat('a', n)) AS long_aad FROM (VALUES (243), (244), (245), (5000)) t(n);

-- NULL: a NULL value gives NULL, a NULL aad beside a value is an error.
SELECT dbcrypt_encrypt(NULL::text), dbcrypt_encrypt(NULL::bytea), dbcrypt_encrypt(NULL::text, NULL),
       dbcrypt_decrypt(NULL::text), dbcrypt_decrypt(NULL::bytea), dbcrypt_decrypt(NULL::text, NULL),
       dbcrypt_reencrypt(NULL::text), dbcrypt_reencrypt(NULL::bytea), dbcrypt_key_id(NULL::text),
       dbcrypt_is_encrypted(NULL::text);
SELECT dbcrypt_encrypt('secret', NULL);
\set VERBOSITY sqlstate
SELECT dbcrypt_encrypt('secret', NULL);
SELECT dbcrypt_encrypt('secret'::bytea, NULL);
SELECT dbcrypt_decrypt('secret', NULL);
SELECT dbcrypt_decrypt('secret'::bytea, NULL);
SELECT dbcrypt_reencrypt('secret', NULL);
SELECT dbcrypt_reencrypt('secret'::bytea, NULL);
\set VERBOSITY default

-- reencrypt: unchanged under the primary key, new under another.
SELECT e = dbcrypt_reencrypt(e) AS unchanged FROM dbcrypt_encrypt('secret'::text) e;
SELECT e = dbcrypt_reencrypt(e, 'a') AS unchanged FROM dbcrypt_encrypt('secret'::bytea, 'a') e;
CREATE TABLE old AS SELECT dbcrypt_encrypt('secret', 'a') AS t, dbcrypt_encrypt('secret'::bytea, 'a') AS b;
SET dbcrypt.keys = :'both';
SELECT * FROM dbcrypt_register_keys();
SELECT dbcrypt_key_id(t) AS was, dbcrypt_key_id(r) AS is_now, dbcrypt_decrypt(r, 'a'), length(r) = length(t) AS same_length
  FROM old, dbcrypt_reencrypt(t, 'a') r;
SELECT dbcrypt_key_id(b) AS was, dbcrypt_key_id(r) AS is_now, convert_from(dbcrypt_decrypt(r, 'a'), 'UTF8'), length(r) = length(b) AS same_length
  FROM old, dbcrypt_reencrypt(b, 'a') r;
SELECT dbcrypt_reencrypt(t, 'b') FROM old;
SELECT dbcrypt_decrypt(t, 'a') FROM old;
DROP TABLE old;

-- Headers of values however they are stored, and without any key.
CREATE TABLE stored (how text, t text, b bytea);
ALTER TABLE stored ALTER t SET STORAGE EXTERNAL, ALTER b SET STORAGE EXTERNAL;
INSERT INTO stored SELECT 'inline', dbcrypt_encrypt('x'), dbcrypt_encrypt('x'::bytea);
INSERT INTO stored SELECT 'external', dbcrypt_encrypt(repeat('x', 100000)), dbcrypt_encrypt(convert_to(repeat('x', 100000), 'UTF8'));
ALTER TABLE stored ALTER t SET STORAGE MAIN, ALTER b SET STORAGE MAIN;
INSERT INTO stored SELECT 'compressed', 'dbc1AXLNboQixAcA' || repeat('A', 100000), decode('75b7350172cd6e8422c40700' || repeat('00', 100000), 'hex');
ALTER TABLE stored ALTER t SET STORAGE EXTENDED, ALTER b SET STORAGE EXTENDED;
INSERT INTO stored SELECT 'compressed plain', repeat('A', 100000), decode(repeat('00', 100000), 'hex');
SET dbcrypt.keys = '';
SELECT how, pg_column_size(t) < length(t) AS small_t, dbcrypt_is_encrypted(t), dbcrypt_is_encrypted(b) FROM stored;
SELECT how, dbcrypt_key_id(t), dbcrypt_key_id(b) FROM stored WHERE how <> 'compressed plain';
SET dbcrypt.keys = :'both';
SELECT how FROM stored WHERE how = 'inline' AND dbcrypt_decrypt(t) = 'x';
DROP TABLE stored;

-- What is and what is not encrypted.
SELECT v, dbcrypt_is_encrypted(v) FROM (VALUES (''), ('dbc1'), ('secret'), ('dbc1AXLNboQixAcA'),
    ('dbc1AXLNboQixAcAERERERERERERERERx6oXAGqWklzeqpDuegsG0Q=='),
    ('dbc1AXLNboQixAcAERERERERERERERERx6oXAGqWklzeqpDuegsG0Q='),
    (' dbc1AXLNboQixAcAERERERERERERERERx6oXAGqWklzeqpDuegsG0Q=='),
    ('DBC1AXLNboQixAcAERERERERERERERERx6oXAGqWklzeqpDuegsG0Q==')) t(v);
SELECT v, dbcrypt_is_encrypted(v) FROM (VALUES (''::bytea), ('\x75b735'), ('\x75b7350172cd6e8422c40700'),
    ('\x75b7350172cd6e8422c40700111111111111111111111111c7aa17006a96925cdeaa90ee7a0b06d1'),
    ('\x75b7350172cd6e8422c40700111111111111111111111111c7aa17006a96925cdeaa90ee7a0b06')) t(v);

-- Megabytes.
CREATE TABLE large AS SELECT dbcrypt_encrypt(repeat('0123456789abcdef', 300000), 'a') AS t;
SELECT length(t), md5(dbcrypt_decrypt(t, 'a')) = md5(repeat('0123456789abcdef', 300000)) AS same FROM large;
DROP TABLE large;

-- Beyond what a value may hold: refused before anything is allocated.
SELECT dbcrypt_encrypt(repeat(repeat('x', 1024), 786432));

-- A column becomes encrypted as it is altered, bound to another column or not.
CREATE TABLE people (id int PRIMARY KEY, token text, pin varchar(8), raw bytea);
INSERT INTO people SELECT n, 'token ' || n, n::text, convert_to('raw ' || n, 'UTF8') FROM generate_series(1, 100) n;
INSERT INTO people VALUES (101);
ALTER TABLE people ALTER token TYPE text USING dbcrypt_encrypt(token);
ALTER TABLE people ALTER pin TYPE text USING dbcrypt_encrypt(pin::text, id::text),
                   ALTER raw TYPE bytea USING dbcrypt_encrypt(raw, id::text);
SELECT count(*), count(token), bool_and(dbcrypt_is_encrypted(token) AND dbcrypt_is_encrypted(pin) AND dbcrypt_is_encrypted(raw)) AS encrypted,
       bool_and(dbcrypt_decrypt(token) = 'token ' || id) AS tokens,
       bool_and(dbcrypt_decrypt(pin, id::text) = id::text) AS pins,
       bool_and(dbcrypt_decrypt(raw, id::text) = convert_to('raw ' || id, 'UTF8')) AS raws FROM people;
ALTER TABLE people ALTER token TYPE text USING dbcrypt_decrypt(token);
SELECT token FROM people WHERE id = 7;
DROP TABLE people;

-- Keys come from the generator as the base64 of 32 bytes.
SELECT length(k), length(decode(k, 'base64')), k <> dbcrypt_generate_key() AS fresh FROM dbcrypt_generate_key() k;

DROP EXTENSION dbcrypt;
