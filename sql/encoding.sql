-- Databases of other encodings: text is UTF-8 inside the envelope.
\set key1 0101010101010101010101010101010101010101010101010101010101010101
\set regression :DBNAME
CREATE DATABASE regress_dbcrypt_latin1 TEMPLATE template0 ENCODING LATIN1 LC_COLLATE 'C' LC_CTYPE 'C';
CREATE DATABASE regress_dbcrypt_ascii TEMPLATE template0 ENCODING SQL_ASCII LC_COLLATE 'C' LC_CTYPE 'C';

\c regress_dbcrypt_latin1
SET client_encoding = UTF8;
LOAD 'dbcrypt';
SET dbcrypt.key_file = '';
SET dbcrypt.keys = :'key1';
CREATE EXTENSION dbcrypt;
SELECT * FROM dbcrypt_register_keys();
-- Envelopes of a UTF-8 database, with text and AAD that are not ASCII.
SELECT dbcrypt_decrypt('dbc1AXLNboQixAcAERERERERERERERERsjnmi2Oyc856rqlrECvYEmdFhmrz') AS value;
SELECT dbcrypt_decrypt('dbc1AXLNboQixAcAERERERERERERERERsjnmi2NN1potaaTMzftbWq2DksGl', 'aé') AS value;
SELECT length(v), encode(convert_to(v, 'LATIN1'), 'hex') AS stored FROM dbcrypt_decrypt('dbc1AXLNboQixAcAERERERERERERERERsjnmi2Oyc856rqlrECvYEmdFhmrz') v;
-- And the reverse: the bytes inside are UTF-8.
SELECT encode(dbcrypt_decrypt(decode(dbcrypt_encrypt('café', 'é'), 'base64'), 'é'), 'hex') AS inside;
SELECT dbcrypt_encrypt('café', 'é') AS envelope \gset
SELECT dbcrypt_decrypt(dbcrypt_encrypt('')) = '' AS empty, dbcrypt_decrypt(dbcrypt_encrypt(repeat('é', 100000), 'é'), 'é') = repeat('é', 100000) AS same;
-- The euro sign is not in LATIN1; bytes that are no text are in no encoding.
SELECT dbcrypt_decrypt('dbc1AXLNboQixAcAERERERERERERERERM9os/7xrFjnYLhudqtWvGNxQdA==');
SELECT encode(dbcrypt_decrypt(decode('dbc1AXLNboQixAcAERERERERERERERERM9os/7xrFjnYLhudqtWvGNxQdA==', 'base64')), 'hex') AS bytes;
SELECT dbcrypt_decrypt('dbc1AXLNboQixAcAERERERERERERERERLqYj1x7ugh7p8mrUBe4D1/5N');
SELECT dbcrypt_decrypt('dbc1AXLNboQixAcAERERERERERERERERsFjiKZ9/XdZLUDzSKg8BPtevag==');
\set VERBOSITY sqlstate
SELECT dbcrypt_decrypt('dbc1AXLNboQixAcAERERERERERERERERM9os/7xrFjnYLhudqtWvGNxQdA==');
SELECT dbcrypt_decrypt('dbc1AXLNboQixAcAERERERERERERERERLqYj1x7ugh7p8mrUBe4D1/5N');
\set VERBOSITY default
-- AAD of a column, and its rotation.
CREATE TABLE names (name text, v text);
INSERT INTO names VALUES ('aé', 'dbc1AXLNboQixAcAERERERERERERERERsjnmi2NN1potaaTMzftbWq2DksGl');
SET dbcrypt.keys = '0202020202020202020202020202020202020202020202020202020202020202,0101010101010101010101010101010101010101010101010101010101010101';
SELECT count(*) FROM dbcrypt_register_keys();
SELECT * FROM dbcrypt_rotate('names', 'v', 'name');
SELECT dbcrypt_decrypt(v, name) AS value FROM names;
-- Plaintext of another application's column: UTF-8 inside too.
CREATE TABLE links (v text, v_key_id text, j json, v_iv text);
SELECT dbcrypt_adopt('links', 'v', 'coder'), dbcrypt_adopt('links', 'j', 'lockbox', '{"json": "$.secret"}');
INSERT INTO links VALUES ('café', NULL, '{"secret": "é"}');
SELECT * FROM dbcrypt_rotate('links', 'v');
SELECT * FROM dbcrypt_encrypt_column('links', 'j');
SELECT (dbcrypt_convert('links', 'v')).converted, (dbcrypt_convert('links', 'j')).converted;
SELECT encode(dbcrypt_decrypt(decode(v, 'base64')), 'hex') AS v, encode(dbcrypt_decrypt(decode(j->>'secret', 'base64')), 'hex') AS j FROM links;

\c regress_dbcrypt_ascii
SET client_encoding = SQL_ASCII;
LOAD 'dbcrypt';
SET dbcrypt.key_file = '';
SET dbcrypt.keys = :'key1';
CREATE EXTENSION dbcrypt;
SELECT * FROM dbcrypt_register_keys();
SELECT encode(dbcrypt_decrypt('dbc1AXLNboQixAcAERERERERERERERERsjnmi2Oyc856rqlrECvYEmdFhmrz')::bytea, 'hex') AS value;
SELECT dbcrypt_decrypt(dbcrypt_encrypt(E'caf\303\251', E'\303\251'), E'\303\251') = E'caf\303\251' AS same;
-- What is not UTF-8 cannot be encrypted as text, nor be an AAD.
SELECT dbcrypt_encrypt(E'caf\351');
SELECT dbcrypt_encrypt('secret', E'caf\351');
SELECT dbcrypt_decrypt('dbc1AXLNboQixAcAERERERERERERERERLqYj1x7ugh7p8mrUBe4D1/5N');
SELECT dbcrypt_decrypt(dbcrypt_encrypt('\xff'::bytea));
\set VERBOSITY sqlstate
SELECT dbcrypt_encrypt(E'caf\351');
\set VERBOSITY default

\c :regression
LOAD 'dbcrypt';
SET dbcrypt.key_file = '';
SET dbcrypt.keys = :'key1';
CREATE EXTENSION dbcrypt;
-- What the LATIN1 database encrypted.
SELECT dbcrypt_decrypt(:'envelope', 'é') = 'café' AS same;
DROP EXTENSION dbcrypt;
DROP DATABASE regress_dbcrypt_latin1;
DROP DATABASE regress_dbcrypt_ascii;
