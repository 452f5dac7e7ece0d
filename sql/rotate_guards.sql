-- Rotation: what it refuses, and what it must not set off.
\set key1 0101010101010101010101010101010101010101010101010101010101010101
\set key2 0202020202020202020202020202020202020202020202020202020202020202
\set both :key2 ',' :key1
\set reverse :key1 ',' :key2
LOAD 'dbcrypt';
SET dbcrypt.key_file = '';
SET dbcrypt.keys = :'both';
CREATE EXTENSION dbcrypt;
SELECT * FROM dbcrypt_register_keys();
SET dbcrypt.keys = :'key1';
SET dbcrypt.keys = :'both';
\set old 'dbc1AXLNboQixAcAERERERERERERERERoj3jOq9gTKDxH6sH6t5ZeeVQzrCJUQ=='

-- Refused: what is not a table of one's own, and columns that others depend on.
CREATE TABLE plain (id int PRIMARY KEY, n int, v text UNIQUE, w varchar(100), c char(100), a text[], j jsonb, g text GENERATED ALWAYS AS (left(v, 16)) STORED);
CREATE VIEW plain_view AS SELECT * FROM plain;
CREATE MATERIALIZED VIEW plain_matview AS SELECT * FROM plain;
CREATE FOREIGN DATA WRAPPER regress_dbcrypt_wrapper;
CREATE SERVER regress_dbcrypt_server FOREIGN DATA WRAPPER regress_dbcrypt_wrapper;
CREATE FOREIGN TABLE plain_foreign (v text) SERVER regress_dbcrypt_server;
CREATE SEQUENCE plain_sequence;
CREATE TYPE plain_type AS (v text);
SELECT dbcrypt_rotate('plain_view', 'v');
SELECT dbcrypt_rotate('plain_matview', 'v');
SELECT dbcrypt_rotate('plain_foreign', 'v');
SELECT dbcrypt_rotate('plain_sequence', 'last_value');
SELECT dbcrypt_rotate('plain_type', 'v');
SELECT dbcrypt_rotate('plain_pkey', 'id');
SELECT dbcrypt_rotate('pg_description', 'description');
SELECT dbcrypt_rotate('dbcrypt_keys', 'canary');
SELECT dbcrypt_rotate('dbcrypt_columns', 'aad');
SELECT dbcrypt_rotate('dbcrypt_key_status', 'key_id');
SELECT dbcrypt_rotate('plain', 'nothing');
SELECT dbcrypt_rotate('plain', 'n');
SELECT dbcrypt_rotate('plain', 'c');
SELECT dbcrypt_rotate('plain', 'a');
SELECT dbcrypt_rotate('plain', 'j');
SELECT dbcrypt_rotate('plain', 'g');
SELECT dbcrypt_rotate('plain', 'xmin');
SELECT dbcrypt_rotate('plain', 'V');
CREATE TABLE referring (v text, w text REFERENCES plain (v));
SELECT dbcrypt_rotate('plain', 'v');
SELECT dbcrypt_rotate('referring', 'w');
SELECT * FROM dbcrypt_rotate('referring', 'v');
DROP TABLE referring;
-- A generated column passes the change on to what depends on it.
ALTER TABLE plain ADD UNIQUE (g);
CREATE TABLE referring (g text REFERENCES plain (g));
SELECT dbcrypt_rotate('plain', 'v');
DROP TABLE referring;
CREATE TABLE key_names (name text PRIMARY KEY);
ALTER TABLE plain ADD FOREIGN KEY (g) REFERENCES key_names;
SELECT dbcrypt_rotate('plain', 'v');
ALTER TABLE plain DROP CONSTRAINT plain_g_fkey;
SELECT * FROM dbcrypt_rotate('plain', 'v');
DROP TABLE key_names;
CREATE TABLE parted (id int, v text, w text) PARTITION BY HASH (v, (w || 'x'));
CREATE TABLE parted_1 PARTITION OF parted FOR VALUES WITH (MODULUS 1, REMAINDER 0);
SELECT dbcrypt_rotate('parted', 'v');
SELECT dbcrypt_rotate('parted', 'w');
SELECT dbcrypt_rotate('parted_1', 'v');
SELECT dbcrypt_rotate('parted_1', 'w');
DROP TABLE parted;
CREATE TABLE over_foreign (v text) PARTITION BY LIST (v);
DROP TABLE over_foreign;
CREATE TABLE over_foreign (v text);
ALTER FOREIGN TABLE plain_foreign INHERIT over_foreign;
SELECT dbcrypt_rotate('over_foreign', 'v');
DROP TABLE over_foreign CASCADE;
DROP SERVER regress_dbcrypt_server;
DROP FOREIGN DATA WRAPPER regress_dbcrypt_wrapper;
DROP SEQUENCE plain_sequence;
DROP TYPE plain_type;
DROP VIEW plain_view;
DROP MATERIALIZED VIEW plain_matview;
DROP TABLE plain;

-- A published table without an identity, as UPDATE would refuse it.
CREATE TABLE published (v text);
INSERT INTO published VALUES (:'old');
SET client_min_messages = error;
CREATE PUBLICATION regress_dbcrypt_publication FOR TABLE published;
RESET client_min_messages;
\set VERBOSITY sqlstate
SELECT dbcrypt_rotate('published', 'v');
\set VERBOSITY default
ALTER TABLE published REPLICA IDENTITY FULL;
SELECT * FROM dbcrypt_rotate('published', 'v');
DROP PUBLICATION regress_dbcrypt_publication;
DROP TABLE published;

-- No trigger of any kind fires, no rule runs.
CREATE TABLE watched (id int, v text);
CREATE TABLE rewritten (LIKE watched);
INSERT INTO watched VALUES (1, :'old');
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'trigger % fired', TG_NAME; END $$;
CREATE TRIGGER before_row BEFORE UPDATE ON watched FOR EACH ROW EXECUTE FUNCTION refuse();
CREATE TRIGGER after_row AFTER UPDATE ON watched FOR EACH ROW EXECUTE FUNCTION refuse();
CREATE TRIGGER of_column AFTER UPDATE OF v ON watched FOR EACH ROW EXECUTE FUNCTION refuse();
CREATE TRIGGER before_statement BEFORE UPDATE ON watched EXECUTE FUNCTION refuse();
CREATE TRIGGER after_statement AFTER UPDATE ON watched REFERENCING NEW TABLE AS n EXECUTE FUNCTION refuse();
CREATE TRIGGER on_replica AFTER UPDATE ON watched FOR EACH ROW EXECUTE FUNCTION refuse();
CREATE TRIGGER always AFTER UPDATE ON watched FOR EACH ROW EXECUTE FUNCTION refuse();
CREATE CONSTRAINT TRIGGER later AFTER UPDATE ON watched DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION refuse();
ALTER TABLE watched ENABLE REPLICA TRIGGER on_replica;
ALTER TABLE watched ENABLE ALWAYS TRIGGER always;
CREATE RULE elsewhere AS ON UPDATE TO watched DO INSTEAD INSERT INTO rewritten VALUES (NEW.id, NEW.v);
CREATE RULE also AS ON UPDATE TO watched DO ALSO INSERT INTO rewritten VALUES (NEW.id, NEW.v);
SELECT * FROM dbcrypt_rotate('watched', 'v'); -- those that may copy rows are named
SELECT dbcrypt_register_column('watched', 'v');
SELECT dbcrypt_ignore_triggers('watched', 'v', '{after_row,of_column,on_replica,always,later,after_statement}');
SELECT * FROM dbcrypt_rotate('watched', 'v');
SELECT dbcrypt_key_id(v) FROM watched;
SELECT count(*) FROM rewritten;
SET session_replication_role = replica;
SET dbcrypt.keys = :'reverse';
SELECT * FROM dbcrypt_rotate('watched', 'v');
RESET session_replication_role;
SET dbcrypt.keys = :'both';
DROP TABLE watched, rewritten;
DROP FUNCTION refuse;

-- Row security hides no row from a rotation, not by FORCE either.
CREATE ROLE regress_dbcrypt_owner;
GRANT EXECUTE ON FUNCTION dbcrypt_rotate, dbcrypt_revoke_key TO regress_dbcrypt_owner;
CREATE TABLE secured (id int, v text);
INSERT INTO secured SELECT n, :'old' FROM generate_series(1, 5) n;
ALTER TABLE secured OWNER TO regress_dbcrypt_owner;
ALTER TABLE secured ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY few ON secured USING (id < 3) WITH CHECK (false);
SET ROLE regress_dbcrypt_owner;
SELECT count(*) FROM secured;
SELECT * FROM dbcrypt_rotate('secured', 'v', dry_run => true);
SELECT * FROM dbcrypt_rotate('secured', 'v');
INSERT INTO secured VALUES (9, NULL);
RESET ROLE;
INSERT INTO secured VALUES (9, :'old');
SET ROLE regress_dbcrypt_owner;
SELECT dbcrypt_revoke_key('72cd6e8422c407');
RESET ROLE;
SELECT dbcrypt_key_id(v), count(*) FROM secured GROUP BY 1 ORDER BY 1;
DROP TABLE secured;

-- The AAD expression runs as the table's owner, with a search_path of its own.
CREATE SCHEMA regress_dbcrypt AUTHORIZATION regress_dbcrypt_owner;
CREATE TABLE regress_dbcrypt.calls (id int, who name, path text, v text);
ALTER TABLE regress_dbcrypt.calls OWNER TO regress_dbcrypt_owner;
INSERT INTO regress_dbcrypt.calls VALUES (1, 'regress_dbcrypt_owner', NULL, :'old');
CREATE FUNCTION regress_dbcrypt.spy(id int) RETURNS text LANGUAGE plpgsql STABLE AS
$$ BEGIN RAISE NOTICE 'as %, path %', current_user, current_setting('search_path'); RETURN ''; END $$;
CREATE FUNCTION public.upper(text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RAISE 'a function of the caller''s search_path'; END $$;
CREATE FUNCTION public.md5(int) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RAISE 'a function of the caller''s search_path'; END $$;
SET search_path = public, pg_catalog;
SELECT * FROM dbcrypt_rotate('regress_dbcrypt.calls', 'v', 'regress_dbcrypt.spy(id)', true);
SELECT * FROM dbcrypt_rotate('regress_dbcrypt.calls', 'v', $$upper('')$$, true);
\set VERBOSITY terse
SELECT * FROM dbcrypt_rotate('regress_dbcrypt.calls', 'v', 'md5(id)', true);
\set VERBOSITY default
RESET search_path;
-- Nothing that the owner's code does in there outlives it.
CREATE FUNCTION regress_dbcrypt.sly(id int) RETURNS text LANGUAGE plpgsql STABLE AS $$ BEGIN SET ROLE NONE; RETURN ''; END $$;
SELECT dbcrypt_rotate('regress_dbcrypt.calls', 'v', 'regress_dbcrypt.sly(id)', true);
CREATE FUNCTION regress_dbcrypt.path(id int) RETURNS text LANGUAGE plpgsql STABLE AS $$ BEGIN PERFORM set_config('search_path', 'evil', false); RETURN ''; END $$;
SELECT * FROM dbcrypt_rotate('regress_dbcrypt.calls', 'v', 'regress_dbcrypt.path(id)', true);
SHOW search_path;
CREATE FUNCTION regress_dbcrypt.recurse(id int) RETURNS text LANGUAGE plpgsql STABLE AS
$$ BEGIN RETURN public.dbcrypt_rotate('regress_dbcrypt.calls', 'v'); END $$;
\set SHOW_CONTEXT never
SELECT dbcrypt_rotate('regress_dbcrypt.calls', 'v', 'regress_dbcrypt.recurse(id)', true);
\set SHOW_CONTEXT errors
SELECT current_user = session_user AS same_user;

-- A child of another owner: the AAD expression still runs as the owner of the table named.
CREATE TABLE regress_dbcrypt.parent (id int, v text);
ALTER TABLE regress_dbcrypt.parent OWNER TO regress_dbcrypt_owner;
CREATE TABLE regress_dbcrypt.child () INHERITS (regress_dbcrypt.parent);
INSERT INTO regress_dbcrypt.child VALUES (1, :'old');
SET ROLE regress_dbcrypt_owner;
SELECT * FROM dbcrypt_rotate('regress_dbcrypt.parent', 'v', 'regress_dbcrypt.spy(id)');
RESET ROLE;
SET dbcrypt.keys = :'reverse';
SELECT "table", scanned, rotated FROM dbcrypt_rotate_all();
SET dbcrypt.keys = :'both';

DROP FUNCTION public.upper(text), public.md5(int);
\set VERBOSITY terse
SET client_min_messages = warning;
DROP SCHEMA regress_dbcrypt CASCADE;
DROP EXTENSION dbcrypt;
DROP ROLE regress_dbcrypt_owner;
