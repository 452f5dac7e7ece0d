-- The registry beside DDL: what follows, what is refused, what becomes a finding.
CREATE EXTENSION dbcrypt;
SET dbcrypt.keys = '00000000000000000000000000000000000000000000000000000000000000aa';
SELECT count(*) > 0 AS registered FROM dbcrypt_register_keys();
CREATE VIEW registry AS SELECT "schema", "table", "column", aad,
	bound_to IS NOT NULL AND relid = format('%I.%I', "schema", "table")::regclass AS bound
	FROM dbcrypt_columns ORDER BY 1, 2, 3;

-- Who registered the expression.
CREATE TABLE t (id int, kind text, v text);
INSERT INTO t VALUES (1, 'a', dbcrypt_encrypt('one', '1'));
SELECT dbcrypt_register_column('t', 'v', 'id::text');
SELECT * FROM registry;
SELECT registered_by = current_user AS mine FROM dbcrypt_columns;

-- Renames of schema, table and column, in any statement.
CREATE SCHEMA regress_dbcrypt_a;
ALTER TABLE t SET SCHEMA regress_dbcrypt_a;
ALTER SCHEMA regress_dbcrypt_a RENAME TO regress_dbcrypt_b;
ALTER INDEX regress_dbcrypt_b.t RENAME TO u;
ALTER TABLE regress_dbcrypt_b.u RENAME COLUMN v TO w;
SELECT * FROM registry;
ALTER TABLE regress_dbcrypt_b.u RENAME COLUMN w TO v;
ALTER TABLE regress_dbcrypt_b.u SET SCHEMA public;
ALTER TABLE u RENAME TO t;
SELECT * FROM registry;

-- What an expression reads stays as it is.
ALTER TABLE t DROP COLUMN id;
ALTER TABLE t ADD COLUMN x int, DROP COLUMN IF EXISTS id CASCADE;
ALTER TABLE t ALTER COLUMN id TYPE bigint;
ALTER TABLE t RENAME COLUMN id TO number;
ALTER TABLE t DROP COLUMN kind;
BEGIN;
ALTER TABLE t DROP COLUMN id, DROP COLUMN v;
SELECT * FROM registry;
ROLLBACK;
BEGIN;
SELECT dbcrypt_unregister_column('t', 'v');
ALTER TABLE t RENAME COLUMN id TO number;
SELECT dbcrypt_register_column('t', 'v', 'number::text');
SELECT dbcrypt_decrypt(v, number::text) FROM t;
ROLLBACK;
CREATE TABLE child () INHERITS (t);
ALTER TABLE t RENAME COLUMN id TO number;
DROP TABLE child;
CREATE TABLE hooks (id int, url text, url_iv text, place text);
SELECT dbcrypt_adopt('hooks', 'url', 'attr_encrypted', '{"iv": "url_iv", "where": "place = ''here''"}');
ALTER TABLE hooks DROP COLUMN url_iv;
ALTER TABLE hooks RENAME COLUMN url_iv TO iv;
ALTER TABLE hooks RENAME COLUMN place TO at;
DROP TABLE hooks;

-- A registered column keeps a type that can hold its values.
ALTER TABLE t ALTER COLUMN v TYPE int USING 1;
ALTER TABLE t ADD COLUMN more int, ALTER COLUMN v TYPE jsonb USING to_jsonb(v);
ALTER TABLE t ALTER COLUMN v TYPE char(200);
\set VERBOSITY sqlstate
ALTER TABLE t ALTER COLUMN v TYPE regress_dbcrypt_nothing;
\set VERBOSITY default
BEGIN;
CREATE DOMAIN regress_dbcrypt_text AS varchar;
ALTER TABLE t ALTER COLUMN v TYPE regress_dbcrypt_text;
ALTER TABLE t ALTER COLUMN v TYPE bytea USING decode(v, 'base64');
SELECT dbcrypt_decrypt(v, '1') FROM t;
ROLLBACK;
CREATE TABLE child (mine int) INHERITS (t);
ALTER TABLE t ALTER COLUMN v TYPE int USING 1;
DROP TABLE child;
CREATE TABLE boxes (v text);
SELECT dbcrypt_adopt('boxes', 'v', 'lockbox');
ALTER TABLE boxes ALTER v TYPE jsonb USING to_jsonb(v);
DROP TABLE boxes;

-- The same through the type of a typed table.
CREATE TYPE regress_dbcrypt_row AS (id int, note text, v text);
CREATE TABLE typed OF regress_dbcrypt_row;
SELECT dbcrypt_register_column('typed', 'v', 'id::text');
ALTER TYPE regress_dbcrypt_row ALTER ATTRIBUTE v TYPE int CASCADE;
ALTER TYPE regress_dbcrypt_row ALTER ATTRIBUTE id TYPE bigint CASCADE;
ALTER TYPE regress_dbcrypt_row DROP ATTRIBUTE id CASCADE;
ALTER TYPE regress_dbcrypt_row RENAME ATTRIBUTE id TO number CASCADE;
ALTER TYPE regress_dbcrypt_row ALTER ATTRIBUTE note TYPE varchar(10) CASCADE;
ALTER TYPE regress_dbcrypt_row RENAME ATTRIBUTE v TO w CASCADE;
SELECT * FROM registry;
ALTER TYPE regress_dbcrypt_row DROP ATTRIBUTE w CASCADE;
SELECT * FROM registry;
DROP TYPE regress_dbcrypt_row CASCADE;

-- An attribute of a composite type in a column that an AAD reads, however deep.
CREATE TYPE regress_dbcrypt_town AS (city text, zip text);
CREATE DOMAIN regress_dbcrypt_towns AS regress_dbcrypt_town[];
CREATE TYPE regress_dbcrypt_address AS (street text, towns regress_dbcrypt_towns);
CREATE TABLE inner_row (city text);
CREATE TABLE addressed (plain regress_dbcrypt_town, address regress_dbcrypt_address, other inner_row, v text);
SELECT dbcrypt_register_column('addressed', 'v', '(address).towns[1].city');
ALTER TYPE regress_dbcrypt_town RENAME ATTRIBUTE city TO name;
ALTER TYPE regress_dbcrypt_town DROP ATTRIBUTE city;
ALTER TYPE regress_dbcrypt_town ADD ATTRIBUTE country text;
ALTER TYPE regress_dbcrypt_town ALTER ATTRIBUTE city TYPE varchar(10);
ALTER TYPE regress_dbcrypt_address DROP ATTRIBUTE towns;
ALTER TABLE inner_row RENAME city TO name;
ALTER TABLE inner_row ADD country text, DROP name;
SELECT dbcrypt_unregister_column('addressed', 'v');
ALTER TYPE regress_dbcrypt_town RENAME ATTRIBUTE city TO name;
SELECT dbcrypt_register_column('addressed', 'v', '(other).country');
ALTER TABLE inner_row RENAME country TO land;
ALTER TABLE inner_row DROP country;
ALTER TABLE inner_row ADD zip text;
SELECT dbcrypt_unregister_column('addressed', 'v');
SELECT dbcrypt_register_column('addressed', 'v', '(plain).name');
SELECT * FROM registry;
DROP TABLE addressed, inner_row;
DROP TYPE regress_dbcrypt_address, regress_dbcrypt_towns, regress_dbcrypt_town;

-- A column of that name in another table does not matter: above it alone, or of its own.
CREATE TABLE above (note text);
CREATE TABLE below (v text) INHERITS (above);
SELECT dbcrypt_register_column('below', 'v', 'note');
ALTER TABLE above RENAME note TO remark;
ALTER TABLE above DROP note;
ALTER TABLE ONLY above DROP note;
ALTER TABLE above ADD note text;
ALTER TABLE above DROP note;
SELECT * FROM registry WHERE "table" = 'below';
DROP TABLE above, below;

-- The expression of a generated column that an AAD reads (PostgreSQL 17 can change it).
CREATE TABLE generated (id int, double int GENERATED ALWAYS AS (id * 2) STORED, v text);
SELECT dbcrypt_register_column('generated', 'v', 'double::text');
DO $$
BEGIN
	IF current_setting('server_version_num')::int >= 170000 THEN
		EXECUTE 'ALTER TABLE generated ALTER COLUMN double SET EXPRESSION AS (id * 3)';
		RAISE 'not refused';
	END IF;
EXCEPTION WHEN dependent_objects_still_exist THEN NULL;
END $$;
DROP TABLE generated;

-- Nor does it go with its type.
CREATE TYPE regress_dbcrypt_mood AS ENUM ('fine');
CREATE TABLE moody (v text, mood regress_dbcrypt_mood);
SELECT dbcrypt_register_column('moody', 'v', 'mood::text');
DROP TYPE regress_dbcrypt_mood CASCADE;
ALTER TABLE moody DROP COLUMN v;
DROP TYPE regress_dbcrypt_mood CASCADE;
DROP TABLE moody;

-- What an encrypting trigger names keeps its name.
CREATE TABLE triggered (id int, v text);
CREATE TRIGGER encrypt BEFORE INSERT OR UPDATE ON triggered
	FOR EACH ROW EXECUTE FUNCTION dbcrypt_encrypt_trigger('v', 'id::text');
ALTER TABLE triggered RENAME COLUMN v TO w;
ALTER TABLE triggered RENAME COLUMN id TO number;
ALTER TABLE triggered ALTER COLUMN id TYPE bigint;
BEGIN;
DROP TRIGGER encrypt ON triggered;
ALTER TABLE triggered RENAME COLUMN v TO w;
ROLLBACK;
ALTER TABLE triggered DROP COLUMN id, DROP COLUMN v;
DROP TABLE triggered;

-- A partition with another registration is no partition.
CREATE TABLE parted (id int, v text) PARTITION BY LIST (id);
CREATE TABLE part1 (id int, v text);
SELECT dbcrypt_register_column('parted', 'v', 'id::text'), dbcrypt_register_column('part1', 'v');
ALTER TABLE parted ATTACH PARTITION part1 FOR VALUES IN (1);
SELECT dbcrypt_unregister_column('part1', 'v');
SELECT dbcrypt_register_column('part1', 'v', 'id::text');
ALTER TABLE parted ATTACH PARTITION part1 FOR VALUES IN (1);
CREATE TABLE heirs (id int, v text);
SELECT dbcrypt_register_column('heirs', 'v', '''x''');
ALTER TABLE heirs INHERIT t;
CREATE TABLE above (id int, v text);
SELECT dbcrypt_register_column('above', 'v');
ALTER TABLE heirs INHERIT above;
DROP TABLE parted, heirs, above;

-- Another column under the same name is not registered.
BEGIN;
ALTER TABLE t DROP COLUMN v, ADD COLUMN v text;
SELECT * FROM registry;
ROLLBACK;

-- A swap of names in one transaction: both may hold values.
CREATE TABLE t_new (LIKE t);
INSERT INTO t_new SELECT * FROM t;
BEGIN;
ALTER TABLE t RENAME TO t_old;
ALTER TABLE t_new RENAME TO t;
SELECT * FROM registry;
ROLLBACK;
SELECT * FROM registry;
BEGIN;
ALTER TABLE t RENAME TO t_old;
CREATE TABLE t AS SELECT * FROM t_old;
SELECT * FROM registry;
ROLLBACK;
BEGIN;
CREATE SCHEMA regress_dbcrypt_a;
ALTER TABLE t SET SCHEMA regress_dbcrypt_a;
ALTER SCHEMA regress_dbcrypt_a RENAME TO regress_dbcrypt_c;
CREATE SCHEMA regress_dbcrypt_d;
ALTER TABLE t_new SET SCHEMA regress_dbcrypt_d;
ALTER TABLE regress_dbcrypt_d.t_new RENAME TO t;
ALTER SCHEMA regress_dbcrypt_d RENAME TO regress_dbcrypt_a;
SELECT * FROM registry;
ROLLBACK;
-- Not in two transactions, nor after a rollback of the first half.
BEGIN;
SAVEPOINT s;
ALTER TABLE t RENAME TO t_old;
ROLLBACK TO s;
ALTER TABLE t_new RENAME TO t_newer;
ALTER TABLE t_newer RENAME TO t_new;
SELECT * FROM registry;
COMMIT;
DROP TABLE t_new;

-- Renames that nobody followed are found, and nothing guesses. Other columns go on.
CREATE TABLE good (id int, v text);
INSERT INTO good VALUES (1, dbcrypt_encrypt('good'));
SELECT dbcrypt_register_column('good', 'v');
ALTER EVENT TRIGGER dbcrypt_columns_prepare DISABLE;
ALTER EVENT TRIGGER dbcrypt_columns_renamed DISABLE;
ALTER EVENT TRIGGER dbcrypt_columns_dropped DISABLE;
ALTER TABLE t RENAME TO away;
ALTER EVENT TRIGGER dbcrypt_columns_prepare ENABLE ALWAYS;
ALTER EVENT TRIGGER dbcrypt_columns_renamed ENABLE ALWAYS;
ALTER EVENT TRIGGER dbcrypt_columns_dropped ENABLE ALWAYS;
CREATE VIEW problems AS SELECT severity, finding FROM dbcrypt_check() WHERE subject LIKE 'registered%';
SELECT * FROM problems;
SELECT "table", "column", state, "values", problem FROM dbcrypt_verify_all() ORDER BY "table"::text;
SELECT "table", "column", scanned, rotated, problem FROM dbcrypt_rotate_all() ORDER BY "table"::text;
INSERT INTO dbcrypt_keys (key_id, canary) VALUES ('00000000000000', '');
SELECT dbcrypt_revoke_key('00000000000000');
SELECT dbcrypt_verify('away', 'v');
SELECT dbcrypt_rotate('away', 'v');
ALTER TABLE away ADD COLUMN more int;
SELECT * FROM problems;
CREATE TABLE t (id int, v text);
SELECT * FROM problems;
SELECT dbcrypt_rotate('t', 'v');
SELECT dbcrypt_encrypt_column('t', 'v');
DROP TABLE t;
UPDATE dbcrypt_columns SET "table" = 'away' WHERE "table" = 't';
SELECT * FROM problems;
SELECT "table", "column", state, "values" FROM dbcrypt_verify_all() ORDER BY "table"::text;
ALTER TABLE away RENAME TO t;

-- Other odd rows, too, stop nothing but work on their own column.
ALTER EVENT TRIGGER dbcrypt_columns_prepare DISABLE;
ALTER EVENT TRIGGER dbcrypt_columns_renamed DISABLE;
ALTER EVENT TRIGGER dbcrypt_columns_dropped DISABLE;
CREATE TABLE retyped (v text);
CREATE TABLE keyed (v text, kind text);
CREATE TABLE reborn (id int, v text);
CREATE TABLE swapped (v text);
SELECT dbcrypt_register_column('retyped', 'v'), dbcrypt_register_column('keyed', 'v', 'kind'),
	dbcrypt_register_column('reborn', 'v'), dbcrypt_register_column('swapped', 'v');
ALTER TABLE retyped ALTER v TYPE int USING 1;
ALTER TABLE keyed DROP kind;
ALTER TABLE reborn DROP v, ADD v text GENERATED ALWAYS AS (id::text) STORED;
ALTER TABLE swapped RENAME TO gone;
CREATE TABLE swapped (v text);
DROP TABLE swapped, gone;
ALTER EVENT TRIGGER dbcrypt_columns_prepare ENABLE ALWAYS;
ALTER EVENT TRIGGER dbcrypt_columns_renamed ENABLE ALWAYS;
ALTER EVENT TRIGGER dbcrypt_columns_dropped ENABLE ALWAYS;
SELECT severity, subject, finding FROM dbcrypt_check() WHERE severity = 'error' AND subject !~ '^key';
SELECT "table", "column", state, "values", problem FROM dbcrypt_verify_all() ORDER BY "table"::text;
SELECT "table", "column", scanned, problem FROM dbcrypt_rotate_all() ORDER BY "table"::text;
SELECT dbcrypt_rotate('retyped', 'v');
SELECT dbcrypt_revoke_key('00000000000000');
-- The way out of each: by the function, by DDL, or by deleting the row that names nothing.
SELECT dbcrypt_unregister_column('retyped', 'v'), dbcrypt_unregister_column('keyed', 'v');
DROP TABLE reborn;
DELETE FROM dbcrypt_columns WHERE "table" = 'swapped';
SELECT count(*) FROM dbcrypt_check() WHERE severity = 'error' AND subject !~ '^key';
SELECT dbcrypt_revoke_key('00000000000000');
DROP TABLE retyped, keyed;

-- The hint of another database, as in a copy, counts for nothing; the next rename follows.
UPDATE dbcrypt_columns SET bound_to = '1/1', relid = 'pg_class'::regclass WHERE "table" = 't';
UPDATE dbcrypt_columns SET bound_to = NULL, relid = NULL, attnum = NULL WHERE "table" = 'good';
SELECT * FROM problems;
SELECT * FROM registry;
ALTER TABLE t RENAME TO s;
SELECT * FROM dbcrypt_rotate('good', 'v');
SELECT * FROM registry;
UPDATE dbcrypt_columns SET bound_to = '1/1', relid = 'pg_class'::regclass WHERE "table" = 's';
DROP TABLE s;

-- A restore over a registration keeps it.
COPY dbcrypt_columns ("schema", "table", "column", aad) FROM stdin;
public	good	v	\N
public	good	id	\N
\.
COPY dbcrypt_columns ("schema", "table", "column", aad) FROM stdin;
public	good	v	id
\.
SELECT * FROM registry;

DROP TABLE good;
SELECT * FROM registry;
DROP SCHEMA regress_dbcrypt_b;
DROP VIEW registry, problems;
DROP EXTENSION dbcrypt;
