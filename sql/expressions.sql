-- An AAD gives the same bytes in every session, or it is refused.
\set keys 0202020202020202020202020202020202020202020202020202020202020202,0101010101010101010101010101010101010101010101010101010101010101
LOAD 'dbcrypt';
SET dbcrypt.key_file = '';
SET dbcrypt.keys = :'keys';
CREATE EXTENSION dbcrypt;
SELECT * FROM dbcrypt_register_keys();
\set VERBOSITY terse

CREATE TYPE mood AS ENUM ('sad', 'ok');
CREATE DOMAIN label AS text;
CREATE DOMAIN moment AS timestamptz;
CREATE TABLE t (id int PRIMARY KEY, big bigint, small smallint, tenant text, code varchar(9), fixed char(4), n name,
    flag bool, o oid, amount numeric, u uuid, ip inet, net cidr, mac macaddr, j json, jb jsonb, m mood, l label, letter "char",
    at timestamptz, ts timestamp, d date, tm time, tz timetz, span interval, f4 float4, f8 float8, price money, b bytea, x xml,
    r int4range, a text[], stamps timestamptz[], reg regclass, mo moment, row_of pg_database, secret text, raw bytea);
INSERT INTO t (id, tenant, at, secret) VALUES (1, 'acme', '2020-01-01 00:00+00', 'secret');

-- Allowed.
SELECT e, dbcrypt_register_column('t', 'secret', e), dbcrypt_unregister_column('t', 'secret') FROM unnest(ARRAY[
    'tenant', 'code', 'fixed', 'n::text', 'flag::text', 'id::text', 'big::text', 'small::text', 'o::text', 'amount::text', 'u::text',
    'ip::text', 'net::text', 'mac::text', 'j::text', 'jb::text', 'm::text', 'l', 'letter::text',
    'tenant || ''/'' || id', 'concat(tenant, id, flag)', 'concat_ws(''/'', tenant, u, m)', 'format(''%s %L'', tenant, id)',
    'concat(VARIADIC a)', 'array_to_string(a, '','')', 'encode(convert_to(tenant, ''UTF8''), ''hex'')',
    'encode(b, ''hex'')', 'encode(sha256(b), ''base64'')', 'extract(epoch FROM at)', 'extract(epoch FROM at)::text', 'extract(epoch FROM ts)::text',
    'extract(epoch FROM d)::text', 'extract(epoch FROM span)::text', 'date_part(''epoch'', at)::numeric::text', '(f8::numeric)::text', 'reg::oid::text',
    'concat_ws(''/'', lower(r), upper(r))', 'jsonb_build_object(''tenant'', tenant, ''id'', id)::text', 'to_jsonb(id)::text',
    'coalesce(tenant, ''-'')', 'CASE WHEN flag THEN ''yes'' ELSE id::text END', 'lower(tenant)', 'md5(tenant)', 'quote_literal(id)'
  ]) e;
-- Refused, with a stable form.
CREATE FUNCTION try(expression text, "column" name DEFAULT 'secret') RETURNS text LANGUAGE plpgsql AS $$
DECLARE hint text;
BEGIN
    PERFORM dbcrypt_register_column('t', "column", expression);
    PERFORM dbcrypt_unregister_column('t', "column");
    RETURN 'allowed';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS hint = PG_EXCEPTION_HINT;
    RETURN sqlstate || ': ' || sqlerrm || E'\n' || hint;
END$$;
\pset format unaligned
\pset tuples_only on
SELECT e || E'\n' || try(e) FROM unnest(ARRAY[
    'at::text', 'ts::text', 'd::text', 'tm::text', 'tz::text', 'span::text', 'f4::text', 'f8::text', 'price::text', 'b::text', 'b', 'convert_to(tenant, ''UTF8'')', 'x::text',
    'r::text', 'a::text', 'stamps::text', 'reg::text', 'mo::text', 'row_of::text', 'array_to_string(stamps, '','')',
    'tenant || at', 'at || tenant', 'concat(id, at)', 'concat_ws(''/'', id, f8)', 'format(''%s'', b)', 'format(''%I'', tenant)', 'format(tenant, id)', 'concat(VARIADIC stamps)',
    'quote_ident(tenant)', 'to_jsonb(at)::text', 'jsonb_build_object(''at'', at)::text', 'row_to_json(row_of)::text', 'to_char(at, ''YYYY'')', 'to_char(amount, ''9D9'')',
    'extract(hour FROM at)::text', 'extract(julian FROM at)::text', 'date_part(tenant, at)::numeric::text', 'extract(epoch FROM at::date)::text', 'extract(epoch FROM tenant::timestamptz)::text',
    'extract(epoch FROM ''today''::date)::text', 'current_user::text', 'current_setting(''TimeZone'')', 'extract(epoch FROM now())::text', 'current_date - d || ''''',
    'byteaout(b)::text', 'timestamptz_out(at)::text', 'xmlserialize(CONTENT x AS text)', '''pg_class''::regclass::oid::text'
  ]) e;
-- A native AAD of type bytea is converted to text, on a bytea column too.
SELECT try('b', 'raw');
SELECT try('encode(b, ''hex'')', 'raw');
\pset format aligned
\pset tuples_only off
\set VERBOSITY default
-- What may change is said.
SELECT dbcrypt_register_column('t', 'secret', 'lower(tenant) || m');
SELECT dbcrypt_unregister_column('t', 'secret');

-- Not only where a column is registered.
SELECT * FROM dbcrypt_encrypt_column('t', 'secret', 'at::text');
SELECT * FROM dbcrypt_rotate('t', 'secret', 'at::text');
CALL dbcrypt_rotate_online('t', 'secret', 'at::text');
CALL dbcrypt_rotate_in_place('t', 'secret', 'at::text');
CREATE TRIGGER encrypt BEFORE INSERT OR UPDATE ON t FOR EACH ROW EXECUTE FUNCTION dbcrypt_encrypt_trigger('secret', 'at::text');
INSERT INTO t (id, secret) VALUES (2, 'x');
DROP TRIGGER encrypt ON t;

-- A user's function, however it is marked, is tried under opposed settings.
CREATE FUNCTION zoned(timestamptz) RETURNS text LANGUAGE sql IMMUTABLE AS $$SELECT $1::text$$;
CREATE FUNCTION zoned_utc(timestamptz) RETURNS text LANGUAGE sql IMMUTABLE SET TimeZone = 'UTC' SET DateStyle = 'ISO' AS $$SELECT $1::text$$;
CREATE FUNCTION marked_stable(int) RETURNS text LANGUAGE plpgsql STABLE AS $$BEGIN RETURN $1 || '!'; END$$;
SELECT dbcrypt_register_column('t', 'secret', 'public.zoned(at)');
SELECT * FROM dbcrypt_encrypt_column('t', 'secret', 'public.zoned(at)');
SELECT * FROM dbcrypt_encrypt_column('t', 'secret', 'public.zoned_utc(at)');
SELECT * FROM dbcrypt_decrypt_column('t', 'secret');
SELECT dbcrypt_unregister_column('t', 'secret');
SELECT dbcrypt_register_column('t', 'secret', 'public.marked_stable(id)');
SELECT dbcrypt_unregister_column('t', 'secret');
-- Each setting by itself.
CREATE FUNCTION reads(setting text, int) RETURNS text LANGUAGE sql IMMUTABLE AS $$SELECT current_setting($1)$$;
SELECT s, try(format('public.reads(%L, id)', s)) LIKE '%under other settings%' AS refused FROM unnest(ARRAY['TimeZone', 'DateStyle', 'IntervalStyle',
    'extra_float_digits', 'bytea_output', 'xmlbinary', 'lc_messages', 'lc_monetary', 'lc_numeric', 'lc_time', 'quote_all_identifiers', 'search_path']) s;
-- In an empty table the first row of each statement is the sample.
CREATE TABLE later (id int, at timestamptz, secret text);
SELECT dbcrypt_register_column('later', 'secret', 'public.zoned(at)');
CREATE TRIGGER encrypt BEFORE INSERT OR UPDATE ON later FOR EACH ROW EXECUTE FUNCTION dbcrypt_encrypt_trigger('secret', 'public.zoned(at)');
INSERT INTO later VALUES (1, '2020-01-01 00:00+00', 'x');
-- In partitions the rows are.
CREATE TABLE parent (id int, at timestamptz, secret text) PARTITION BY LIST (id);
CREATE TABLE part PARTITION OF parent FOR VALUES IN (1);
INSERT INTO parent VALUES (1, '2020-01-01 00:00+00', 'x');
SELECT dbcrypt_register_column('parent', 'secret', 'public.zoned(at)');
-- It runs under pinned settings, whatever the session's are.
CREATE FUNCTION by_length(int) RETURNS text LANGUAGE sql IMMUTABLE AS $$SELECT $1 || CASE WHEN $1 > 1 THEN current_setting('TimeZone') ELSE '' END$$;
CREATE TABLE pinned (id int, secret text);
SELECT dbcrypt_register_column('pinned', 'secret', 'public.by_length(id)');
CREATE TRIGGER encrypt BEFORE INSERT OR UPDATE ON pinned FOR EACH ROW EXECUTE FUNCTION dbcrypt_encrypt_trigger('secret', 'public.by_length(id)');
SET TimeZone = 'Asia/Tokyo';
INSERT INTO pinned VALUES (1, 'one'), (2, 'two');
SELECT current_setting('TimeZone'), dbcrypt_decrypt(secret, id || CASE WHEN id > 1 THEN 'UTC' ELSE '' END) FROM pinned;
SELECT state, "values" FROM dbcrypt_verify('pinned', 'secret');
RESET TimeZone;

-- Immutable in place too.
CREATE TABLE placed (id int, tenant text, secret text);
CREATE TRIGGER encrypt BEFORE INSERT OR UPDATE ON placed FOR EACH ROW
    EXECUTE FUNCTION dbcrypt_encrypt_trigger('secret', 'concat(tenant, format(''/%s'', id), encode(convert_to(tenant, ''UTF8''), ''hex''))');
SELECT dbcrypt_register_column('placed', 'secret', 'concat(tenant, format(''/%s'', id), encode(convert_to(tenant, ''UTF8''), ''hex''))');
SET dbcrypt.keys = '0101010101010101010101010101010101010101010101010101010101010101';
INSERT INTO placed VALUES (1, 'acme', 'x'), (2, 'acme', 'y');
SET dbcrypt.keys = :'keys';
CALL dbcrypt_rotate_in_place('placed', 'secret');
SELECT dbcrypt_key_id(secret), dbcrypt_decrypt(secret, concat(tenant, '/', id, encode(tenant::bytea, 'hex'))) FROM placed ORDER BY id;

-- An upsert whose AAD is a generated key cannot work.
CREATE TABLE upsert (id serial, email text PRIMARY KEY, secret text);
CREATE TRIGGER encrypt BEFORE INSERT OR UPDATE ON upsert FOR EACH ROW EXECUTE FUNCTION dbcrypt_encrypt_trigger('secret', 'id::text');
INSERT INTO upsert (email, secret) VALUES ('a@b', 'one');
INSERT INTO upsert (email, secret) VALUES ('a@b', 'two') ON CONFLICT (email) DO UPDATE SET secret = EXCLUDED.secret;
DROP TRIGGER encrypt ON upsert;
TRUNCATE upsert;
CREATE TRIGGER encrypt BEFORE INSERT OR UPDATE ON upsert FOR EACH ROW EXECUTE FUNCTION dbcrypt_encrypt_trigger('secret', 'email');
INSERT INTO upsert (email, secret) VALUES ('a@b', 'one');
INSERT INTO upsert (email, secret) VALUES ('a@b', 'two') ON CONFLICT (email) DO UPDATE SET secret = EXCLUDED.secret;
SELECT dbcrypt_decrypt(secret, email) FROM upsert;

-- An UPDATE of other columns needs no key.
SET dbcrypt.keys = '';
SET dbcrypt.key_file = '/nonexistent/key';
UPDATE upsert SET id = id + 1 RETURNING dbcrypt_is_encrypted(secret);
UPDATE upsert SET secret = secret;
UPDATE upsert SET secret = 'three';
UPDATE upsert SET email = 'c@d';

SET dbcrypt.key_file = '';
SET client_min_messages = warning;
DROP TABLE t, later, parent, pinned, placed, upsert;
DROP FUNCTION try, zoned, zoned_utc, marked_stable, reads, by_length;
DROP TYPE mood;
DROP DOMAIN label, moment;
DROP EXTENSION dbcrypt;
