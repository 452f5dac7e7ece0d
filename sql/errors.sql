-- Errors: every one of the contract, its SQLSTATE, message, detail and hint.
\set key1 0101010101010101010101010101010101010101010101010101010101010101
\set both 0101010101010101010101010101010101010101010101010101010101010101,0202020202020202020202020202020202020202020202020202020202020202
\set key2 0202020202020202020202020202020202020202020202020202020202020202
LOAD 'dbcrypt';
SET dbcrypt.key_file = '';
SET dbcrypt.keys = :'key1';
CREATE EXTENSION dbcrypt;
SELECT * FROM dbcrypt_register_keys();

-- No keys.
SET dbcrypt.keys = '';
SELECT dbcrypt_encrypt('secret');
SELECT dbcrypt_decrypt('dbc1AXLNboQixAcAERERERERERERERERoj3jOq9gTKDxH6sH6t5ZeeVQzrCJUQ==');
SELECT dbcrypt_reencrypt('dbc1AXLNboQixAcAERERERERERERERERoj3jOq9gTKDxH6sH6t5ZeeVQzrCJUQ==');
SELECT * FROM dbcrypt_register_keys();

-- The primary key is not registered: no encryption, but decryption.
SET dbcrypt.keys = :'key2';
SELECT dbcrypt_encrypt('secret');
SELECT dbcrypt_encrypt('secret'::bytea);
SELECT dbcrypt_decrypt('dbc1AXWHe7QdOTsAERERERERERERERERIJHpcsP0zMqQsPuEhbX1MoPa4bLuKA==');

-- The value's key is not loaded.
SELECT dbcrypt_decrypt('dbc1AXLNboQixAcAERERERERERERERERoj3jOq9gTKDxH6sH6t5ZeeVQzrCJUQ==');
SELECT dbcrypt_reencrypt('dbc1AXLNboQixAcAERERERERERERERERoj3jOq9gTKDxH6sH6t5ZeeVQzrCJUQ==');

-- Revoked: neither encrypts nor decrypts.
SELECT * FROM dbcrypt_register_keys();
SET dbcrypt.keys = :'key1';
SELECT dbcrypt_revoke_key('75877bb41d393b');
SET dbcrypt.keys = :'key2';
SELECT dbcrypt_encrypt('secret');
SELECT dbcrypt_decrypt('dbc1AXWHe7QdOTsAERERERERERERERERIJHpcsP0zMqQsPuEhbX1MoPa4bLuKA==');
SET dbcrypt.keys = :'both';
SELECT dbcrypt_decrypt('dbc1AXWHe7QdOTsAERERERERERERERERIJHpcsP0zMqQsPuEhbX1MoPa4bLuKA==');
SELECT dbcrypt_reencrypt('dbc1AXWHe7QdOTsAERERERERERERERERIJHpcsP0zMqQsPuEhbX1MoPa4bLuKA==');
SELECT dbcrypt_reinstate_key('75877bb41d393b');
SELECT dbcrypt_decrypt('dbc1AXWHe7QdOTsAERERERERERERERERIJHpcsP0zMqQsPuEhbX1MoPa4bLuKA==');

-- The key does not open its canary: it does not encrypt.
SET dbcrypt.keys = :'key1';
UPDATE dbcrypt_keys SET canary = 'dbc1AXLNboQixAcAERERERERERERERERoj3jOq9gTKDxH6sH6t5ZeeVQzrCJUQ==' WHERE key_id = '72cd6e8422c407';
SELECT dbcrypt_encrypt('secret');
SELECT dbcrypt_decrypt('dbc1AXLNboQixAcAERERERERERERERERoj3jOq9gTKDxH6sH6t5ZeeVQzrCJUQ==');
DELETE FROM dbcrypt_keys;
SELECT * FROM dbcrypt_register_keys();

-- Authentication.
SELECT dbcrypt_decrypt('dbc1AXLNboQixAcAERERERERERERERERoj3jOq9gTKDxH6sH6t5ZeeVQzrCJUA==');
SELECT dbcrypt_decrypt('dbc1AXLNboQixAcAERERERERERERERERoj3jOq9gTKDxH6sH6t5ZeeVQzrCJUQ==', 'user 2');

-- Not an envelope.
SELECT dbcrypt_decrypt('secret');
SELECT dbcrypt_decrypt(''::text);
SELECT dbcrypt_decrypt('secret'::bytea);
SELECT dbcrypt_key_id('secret'::text);
SELECT dbcrypt_decrypt('dbc1AXLNboQixAcAERERERERERERERERoj3jOq9gTKDxH6sH6t5ZeeVQzrCJUR==');
SELECT dbcrypt_decrypt('dbc1AXLNboQixAcAERERERERERERERERoj3jOq9gTKDxH6sH6t5ZeeVQzrCJUQ==' || E'\n');

-- A newer format, a newer algorithm.
SELECT dbcrypt_decrypt('dbc1AXLNboQixAcBERERERERERERERERoj3jOq9gTKDxH6sH6t5ZeeVQzrCJUQ==');
SELECT dbcrypt_decrypt('dbc1AnLNboQixAcAERERERERERERERERoj3jOq9gTKDxH6sH6t5ZeeVQzrCJUQ==');
SELECT dbcrypt_is_encrypted('dbc1AXLNboQixAcBERERERERERERERERoj3jOq9gTKDxH6sH6t5ZeeVQzrCJUQ=='),
       dbcrypt_is_encrypted('dbc1AnLNboQixAcAERERERERERERERERoj3jOq9gTKDxH6sH6t5ZeeVQzrCJUQ==');
SELECT dbcrypt_key_id('dbc1AXLNboQixAcBERERERERERERERERoj3jOq9gTKDxH6sH6t5ZeeVQzrCJUQ==');

-- Bytes that are not text stay out of text.
SELECT dbcrypt_decrypt('dbc1AXLNboQixAcAERERERERERERERERLqYj1x7ugh7p8mrUBe4D1/5N');
SELECT dbcrypt_decrypt('dbc1AXLNboQixAcAERERERERERERERERsFjiKZ9/XdZLUDzSKg8BPtevag==');
SELECT dbcrypt_decrypt('\x75b7350172cd6e8422c40700111111111111111111111111b058e2299f7f5dd64b503cd22a0f013ed7af6a'::bytea);

-- Still in use.
CREATE TABLE used (v text, b bytea);
INSERT INTO used VALUES (dbcrypt_encrypt('secret'), dbcrypt_encrypt('secret'::bytea));
SELECT dbcrypt_register_column('used', 'v'), dbcrypt_register_column('used', 'b');
SELECT dbcrypt_revoke_key('72cd6e8422c407');
SET dbcrypt.keys = :'key2';
SELECT dbcrypt_revoke_key('72cd6e8422c407');
SELECT dbcrypt_revoke_key('00000000000000');
SELECT dbcrypt_reinstate_key('00000000000000');

-- The states alone.
\set VERBOSITY sqlstate
SELECT dbcrypt_revoke_key('72cd6e8422c407');
SELECT dbcrypt_encrypt('secret');
SELECT dbcrypt_decrypt('dbc1AXLNboQixAcAERERERERERERERERoj3jOq9gTKDxH6sH6t5ZeeVQzrCJUQ==');
SET dbcrypt.keys = '';
SELECT dbcrypt_encrypt('secret');
SET dbcrypt.keys = :'key1';
SELECT dbcrypt_decrypt('dbc1AXLNboQixAcAERERERERERERERERoj3jOq9gTKDxH6sH6t5ZeeVQzrCJUA==');
SELECT dbcrypt_decrypt('secret');
SELECT dbcrypt_decrypt('secret'::bytea);
SELECT dbcrypt_key_id('secret'::bytea);
SELECT dbcrypt_decrypt('dbc1AXLNboQixAcBERERERERERERERERoj3jOq9gTKDxH6sH6t5ZeeVQzrCJUQ==');
SELECT dbcrypt_decrypt('dbc1AnLNboQixAcAERERERERERERERERoj3jOq9gTKDxH6sH6t5ZeeVQzrCJUQ==');
SELECT dbcrypt_decrypt('dbc1AXLNboQixAcAERERERERERERERERLqYj1x7ugh7p8mrUBe4D1/5N');
UPDATE dbcrypt_keys SET canary = 'dbc1';
SELECT dbcrypt_encrypt('secret');
UPDATE dbcrypt_keys SET revoked_at = now();
SELECT dbcrypt_encrypt('secret');
SELECT dbcrypt_decrypt('dbc1AXLNboQixAcAERERERERERERERERoj3jOq9gTKDxH6sH6t5ZeeVQzrCJUQ==');

DROP TABLE used;
DROP EXTENSION dbcrypt;
