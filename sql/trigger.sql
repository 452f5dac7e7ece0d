-- dbcrypt_encrypt_trigger: what is written as plaintext is stored encrypted.
\set key1 0101010101010101010101010101010101010101010101010101010101010101
\set key2 0202020202020202020202020202020202020202020202020202020202020202
\set both :key2 ',' :key1
LOAD 'dbcrypt';
SET dbcrypt.key_file = '';
SET dbcrypt.keys = :'both';
CREATE EXTENSION dbcrypt;
SELECT * FROM dbcrypt_register_keys();
\set id1 72cd6e8422c407
\set id2 75877bb41d393b

CREATE TABLE account (id int PRIMARY KEY, owner text, secret text, note text);
CREATE TRIGGER account_encrypt BEFORE INSERT OR UPDATE ON account
    FOR EACH ROW EXECUTE FUNCTION dbcrypt_encrypt_trigger('secret', 'owner || ''/'' || id');
SELECT * FROM dbcrypt_encrypt_column('account', 'secret', 'owner || ''/'' || id');
CREATE VIEW opened AS
    SELECT id, owner, dbcrypt_decrypt(secret, owner || '/' || id) AS secret, dbcrypt_key_id(secret) AS key_id, note FROM account;

-- Every way to write.
INSERT INTO account VALUES (1, 'ann', 'one'), (2, 'bob', NULL), (3, 'cyd', '');
COPY account (id, owner, secret) FROM stdin;
4	dan	four
5	eve	\N
\.
INSERT INTO account SELECT 6, 'fay', 'six' RETURNING dbcrypt_is_encrypted(secret);
INSERT INTO account VALUES (1, 'ann', 'one again') ON CONFLICT (id) DO UPDATE SET secret = EXCLUDED.secret;
INSERT INTO account VALUES (4, 'dan', 'x') ON CONFLICT (id) DO UPDATE SET secret = 'four again';
INSERT INTO account VALUES (4, 'dan', 'x') ON CONFLICT (id) DO NOTHING;
MERGE INTO account a USING (VALUES (2, 'bob', 'two'), (7, 'gil', 'seven')) s (id, owner, secret) ON a.id = s.id
    WHEN MATCHED THEN UPDATE SET secret = s.secret
    WHEN NOT MATCHED THEN INSERT VALUES (s.id, s.owner, s.secret);
UPDATE account SET secret = 'three' WHERE id = 3;
PREPARE p AS INSERT INTO account VALUES ($1, $2, $3);
EXECUTE p (8, 'hal', 'eight');
EXECUTE p (9, 'ida', 'nine');
SELECT * FROM opened ORDER BY id;
-- An update of something else leaves the value; of nothing too.
SELECT secret AS before FROM account WHERE id = 1 \gset
UPDATE account SET note = 'touched' WHERE id = 1;
UPDATE account SET secret = secret WHERE id = 1;
SELECT secret = :'before' AS same, note FROM account WHERE id = 1;
UPDATE account SET secret = NULL WHERE id = 9;
SELECT secret IS NULL FROM account WHERE id = 9;

-- Envelopes stay, under any key that may be used; they must belong to the row.
SET dbcrypt.keys = :'key1';
INSERT INTO account VALUES (10, 'jan', dbcrypt_encrypt('under key 1', 'jan/10'));
SET dbcrypt.keys = :'both';
INSERT INTO account VALUES (11, 'kim', dbcrypt_encrypt('client', 'kim/11'));
SELECT * FROM opened WHERE id >= 10 ORDER BY id;
INSERT INTO account VALUES (12, 'lou', dbcrypt_encrypt('client', 'kim/11'));
INSERT INTO account VALUES (1, 'ann''s heir', 'lost?') ON CONFLICT (id) DO UPDATE SET secret = EXCLUDED.secret;
UPDATE account SET owner = 'other' WHERE id = 1;
UPDATE account SET owner = 'other', secret = 'moved' WHERE id = 1;
UPDATE account SET owner = 'nobody' WHERE id = 9;
INSERT INTO account VALUES (13, NULL, 'secret');
INSERT INTO account VALUES (13, NULL, NULL);
SELECT * FROM opened WHERE id IN (1, 9) ORDER BY id;
-- A key that this session has not loaded, a newer format.
SET dbcrypt.keys = :'key2';
UPDATE account SET note = 'touched' WHERE id = 10;
INSERT INTO account SELECT 14, 'jan', secret FROM account WHERE id = 10;
DELETE FROM account WHERE id = 14;
SET dbcrypt.keys = :'both';
INSERT INTO account VALUES (14, 'new', 'dbc1AXLNboQixAcBERERERERERERERERx6oXAGqWklzeqpDuegsG0Q==');
INSERT INTO account VALUES (14, 'new', 'dbc1AnLNboQixAcAERERERERERERERERx6oXAGqWklzeqpDuegsG0Q==');
-- A damaged envelope does not come in, nor does it stop updates of its row.
INSERT INTO account VALUES (14, 'new', 'dbc1AXLNboQixAcAERERERERERERERERx6oXAGqWklzeqpDueg');
ALTER TABLE account DISABLE TRIGGER account_encrypt;
INSERT INTO account VALUES (14, 'new', 'dbc1AXLNboQixAcAERERERERERERERERx6oXAGqWklzeqpDueg');
ALTER TABLE account ENABLE TRIGGER account_encrypt;
UPDATE account SET note = 'touched' WHERE id = 14;
UPDATE account SET secret = 'mended' WHERE id = 14;
DELETE FROM account WHERE id = 14;
-- An unregistered key, and a revoked one, whether loaded or not.
INSERT INTO account VALUES (14, 'new', 'dbc1AQAAAAAAAAAAERERERERERERERERx6oXAGqWklzeqpDuegsG0Q==');
SELECT dbcrypt_revoke_key(:'id1');
SELECT secret AS old FROM account WHERE id = 10 \gset
DELETE FROM account WHERE id = 10;
SELECT dbcrypt_revoke_key(:'id1');
INSERT INTO account VALUES (10, 'jan', :'old');
UPDATE account SET secret = :'old' WHERE id = 1;
SET dbcrypt.keys = :'key2';
INSERT INTO account VALUES (10, 'jan', :'old');
SET dbcrypt.keys = :'key1';
INSERT INTO account VALUES (10, 'jan', 'plaintext');
SET dbcrypt.keys = '';
INSERT INTO account VALUES (10, 'jan', 'plaintext');
INSERT INTO account VALUES (10, 'jan', NULL);
SET dbcrypt.keys = :'both';
BEGIN;
SELECT dbcrypt_reinstate_key(:'id1');
UPDATE account SET secret = :'old' WHERE id = 10;
ROLLBACK;
UPDATE account SET secret = :'old' WHERE id = 10;
SELECT dbcrypt_reinstate_key(:'id1');

-- Triggers run in the order of their names.
CREATE FUNCTION change() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN NEW.owner := upper(NEW.owner); NEW.secret := NEW.secret || '!'; RETURN NEW; END$$;
CREATE TRIGGER a_first BEFORE INSERT OR UPDATE ON account FOR EACH ROW EXECUTE FUNCTION change();
INSERT INTO account VALUES (15, 'low', 'seen');
SELECT * FROM opened WHERE id = 15;
ALTER TRIGGER a_first ON account RENAME TO z_last;
INSERT INTO account VALUES (16, 'LOW', 'broken');
SELECT secret LIKE 'dbc1%!' AS broken FROM account WHERE id = 16;
DROP TRIGGER z_last ON account;
DELETE FROM account WHERE id = 16;

-- A writer needs no more than its table; the AAD that the owner registered runs as the owner.
CREATE ROLE regress_dbcrypt_owner;
CREATE ROLE regress_dbcrypt_writer;
CREATE TABLE owned (id int, who text, secret bytea);
CREATE FUNCTION as_whom(text) RETURNS text LANGUAGE sql STABLE AS $$SELECT current_user || $1$$;
ALTER FUNCTION as_whom OWNER TO regress_dbcrypt_owner;
REVOKE EXECUTE ON FUNCTION as_whom FROM PUBLIC;
ALTER TABLE owned OWNER TO regress_dbcrypt_owner;
GRANT INSERT, UPDATE, SELECT, TRIGGER ON owned TO regress_dbcrypt_writer;
SELECT dbcrypt_register_column('owned', 'secret', 'public.as_whom(who)');
SET ROLE regress_dbcrypt_owner;
CREATE TRIGGER encrypt BEFORE INSERT OR UPDATE ON owned
    FOR EACH ROW EXECUTE FUNCTION dbcrypt_encrypt_trigger('secret', 'public.as_whom(who)');
RESET ROLE;
GRANT EXECUTE ON FUNCTION dbcrypt_encrypt_trigger() TO regress_dbcrypt_owner;
SET ROLE regress_dbcrypt_owner;
CREATE TRIGGER encrypt BEFORE INSERT OR UPDATE ON owned
    FOR EACH ROW EXECUTE FUNCTION dbcrypt_encrypt_trigger('secret', 'public.as_whom(who)');
SET ROLE regress_dbcrypt_writer;
INSERT INTO owned VALUES (1, 'me', 'secret');
UPDATE owned SET secret = 'secret too' WHERE id = 1;
SELECT dbcrypt_encrypt('no');
SELECT current_user, current_setting('search_path');
RESET ROLE;
SELECT convert_from(dbcrypt_decrypt(secret, 'regress_dbcrypt_ownerme'), 'UTF8') FROM owned;
-- Whoever has no more than the right to make triggers does not become the owner by one.
CREATE FUNCTION as_me(text) RETURNS text LANGUAGE sql STABLE AS $$SELECT current_user || $1$$;
SET ROLE regress_dbcrypt_owner;
DROP TRIGGER encrypt ON owned;
RESET ROLE;
GRANT EXECUTE ON FUNCTION dbcrypt_encrypt_trigger() TO regress_dbcrypt_writer;
SET ROLE regress_dbcrypt_writer;
CREATE TRIGGER encrypt BEFORE INSERT OR UPDATE ON owned
    FOR EACH ROW EXECUTE FUNCTION dbcrypt_encrypt_trigger('secret', 'public.as_me(who)');
INSERT INTO owned VALUES (2, 'me', 'secret');
SELECT current_user, current_setting('search_path');
RESET ROLE;
SELECT convert_from(dbcrypt_decrypt(secret, 'regress_dbcrypt_writerme'), 'UTF8') FROM owned WHERE id = 2;
REVOKE ALL ON FUNCTION dbcrypt_encrypt_trigger FROM regress_dbcrypt_writer;

-- Partitions, attached ones and moves between them; generated columns.
CREATE TABLE part (id int, region text, secret text, length int GENERATED ALWAYS AS (length(secret)) STORED,
    twice text GENERATED ALWAYS AS (region || region) STORED) PARTITION BY LIST (region);
CREATE TABLE part_a PARTITION OF part FOR VALUES IN ('a');
CREATE TABLE part_b (secret text, twice text GENERATED ALWAYS AS (region || region) STORED, gone int, region text, id int,
    length int GENERATED ALWAYS AS (length(secret)) STORED);
ALTER TABLE part_b DROP COLUMN gone;
CREATE TRIGGER encrypt BEFORE INSERT OR UPDATE ON part FOR EACH ROW EXECUTE FUNCTION dbcrypt_encrypt_trigger('secret', 'id');
ALTER TABLE part ATTACH PARTITION part_b FOR VALUES IN ('b');
INSERT INTO part VALUES (1, 'a', 'one'), (2, 'b', 'two'), (3, 'a', 'three');
UPDATE part SET region = 'b' WHERE id = 1;
SELECT tableoid::regclass, id, dbcrypt_decrypt(secret, id::text), length = length(secret) AS generated FROM part ORDER BY id;
ALTER TABLE part_a OWNER TO regress_dbcrypt_owner;
INSERT INTO part VALUES (4, 'a', 'four');
SELECT dbcrypt_decrypt(secret, '4') FROM part WHERE id = 4;

-- Used wrongly.
CREATE TABLE wrong (id int, secret text, g text GENERATED ALWAYS AS (lower(secret)) STORED,
    h text GENERATED ALWAYS AS ('id' || (id + 1)) STORED, d varchar(30));
CREATE FUNCTION attempt(statement text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE statement;
    INSERT INTO wrong VALUES (1, 'secret', DEFAULT, DEFAULT, 'short');
    RAISE EXCEPTION 'not refused';
END$$;
SELECT attempt('CREATE TRIGGER t BEFORE INSERT ON wrong FOR EACH ROW EXECUTE FUNCTION dbcrypt_encrypt_trigger()');
SELECT attempt('CREATE TRIGGER t BEFORE INSERT ON wrong FOR EACH ROW EXECUTE FUNCTION dbcrypt_encrypt_trigger(a, b, c)');
SELECT attempt('CREATE TRIGGER t AFTER INSERT ON wrong FOR EACH ROW EXECUTE FUNCTION dbcrypt_encrypt_trigger(secret)');
SELECT attempt('CREATE TRIGGER t BEFORE INSERT ON wrong FOR EACH STATEMENT EXECUTE FUNCTION dbcrypt_encrypt_trigger(secret)');
SELECT attempt('CREATE TRIGGER t BEFORE INSERT ON wrong FOR EACH ROW EXECUTE FUNCTION dbcrypt_encrypt_trigger(missing)');
SELECT attempt('CREATE TRIGGER t BEFORE INSERT ON wrong FOR EACH ROW EXECUTE FUNCTION dbcrypt_encrypt_trigger(ctid)');
SELECT attempt('CREATE TRIGGER t BEFORE INSERT ON wrong FOR EACH ROW EXECUTE FUNCTION dbcrypt_encrypt_trigger(id)');
SELECT attempt('CREATE TRIGGER t BEFORE INSERT ON wrong FOR EACH ROW EXECUTE FUNCTION dbcrypt_encrypt_trigger(g)');
SELECT attempt('CREATE TRIGGER t BEFORE INSERT ON wrong FOR EACH ROW EXECUTE FUNCTION dbcrypt_encrypt_trigger(d)');
SELECT attempt('CREATE TRIGGER t BEFORE INSERT ON wrong FOR EACH ROW EXECUTE FUNCTION dbcrypt_encrypt_trigger(secret, h)');
SELECT attempt('CREATE TRIGGER t BEFORE INSERT ON wrong FOR EACH ROW EXECUTE FUNCTION dbcrypt_encrypt_trigger(secret, secret)');
SELECT attempt('CREATE TRIGGER t BEFORE INSERT ON wrong FOR EACH ROW EXECUTE FUNCTION dbcrypt_encrypt_trigger(secret, ''random()'')');
SELECT attempt('CREATE TRIGGER t BEFORE INSERT ON wrong FOR EACH ROW EXECUTE FUNCTION dbcrypt_encrypt_trigger(secret, ''1; SELECT 2'')');
SELECT dbcrypt_encrypt_trigger();
CREATE TRIGGER t BEFORE DELETE ON account FOR EACH ROW EXECUTE FUNCTION dbcrypt_encrypt_trigger('secret');
DELETE FROM account WHERE id = 1;
DROP TRIGGER t ON account;

-- TOAST: a long value that does not change is not fetched, and stays.
CREATE TABLE long (id int, n int, secret text);
ALTER TABLE long ALTER secret SET STORAGE EXTERNAL;
CREATE TRIGGER encrypt BEFORE INSERT OR UPDATE ON long FOR EACH ROW EXECUTE FUNCTION dbcrypt_encrypt_trigger('secret');
INSERT INTO long VALUES (1, 0, repeat('x', 100000));
UPDATE long SET n = 1;
UPDATE long SET secret = secret || '';
SELECT n, dbcrypt_decrypt(secret) = repeat('x', 100000) AS same FROM long;

-- A read view: one column for everyone, opened for one role only.
CREATE ROLE regress_dbcrypt_support;
GRANT EXECUTE ON FUNCTION dbcrypt_decrypt(text, text) TO regress_dbcrypt_support;
CREATE FUNCTION open_if_allowed(value text, aad text) RETURNS text LANGUAGE plpgsql STABLE PARALLEL SAFE AS $$
BEGIN
    IF pg_catalog.pg_has_role('regress_dbcrypt_support', 'usage') THEN
        RETURN public.dbcrypt_decrypt(value, aad);
    END IF;
    RETURN NULL;
END$$;
CREATE VIEW account_read WITH (security_barrier) AS
    SELECT id, owner, open_if_allowed(secret, owner || '/' || id) AS secret FROM account;
GRANT SELECT ON account_read TO regress_dbcrypt_support, regress_dbcrypt_writer;
SET ROLE regress_dbcrypt_support;
SELECT * FROM account_read WHERE id IN (2, 4) ORDER BY id;
SELECT * FROM account;
SET ROLE regress_dbcrypt_writer;
SELECT * FROM account_read WHERE id IN (2, 4) ORDER BY id;
RESET ROLE;

RESET dbcrypt.keys;
SET client_min_messages = warning;
DROP TABLE account, owned, part, wrong, long CASCADE;
DROP FUNCTION attempt, change, as_whom, as_me, open_if_allowed;
REVOKE ALL ON FUNCTION dbcrypt_encrypt_trigger FROM regress_dbcrypt_owner;
REVOKE ALL ON FUNCTION dbcrypt_decrypt(text, text) FROM regress_dbcrypt_support;
DROP ROLE regress_dbcrypt_owner, regress_dbcrypt_writer, regress_dbcrypt_support;
DROP EXTENSION dbcrypt;
