-- Whoever may create in the extension's schema lays traps before CREATE EXTENSION:
-- operators, functions and types that an inexact call in the script would find.
-- The extension takes none of them. In a database of its own.
CREATE DATABASE dbcrypt_trapdb TEMPLATE template0 ENCODING 'UTF8';
\c dbcrypt_trapdb
CREATE ROLE dbcrypt_trapdb_owner;
CREATE SCHEMA traps AUTHORIZATION dbcrypt_trapdb_owner;
SET ROLE dbcrypt_trapdb_owner;
DO $do$
DECLARE
	types text[] := '{int2,int4,int8,float4,float8,numeric,text,varchar,bpchar,name,"\"char\"",bool,oid,regclass,
		timestamp,timestamptz,date,interval,json,jsonb,bytea}';
	l text;
	r text;
	o text;
BEGIN
	FOREACH l IN ARRAY types LOOP
		FOREACH r IN ARRAY types LOOP
			-- Comparisons return boolean, the others what their left operand is.
			EXECUTE format('CREATE FUNCTION traps.compare(%s, %s) RETURNS bool LANGUAGE plpgsql AS $$BEGIN RAISE ''trapped''; END$$', l, r);
			EXECUTE format('CREATE FUNCTION traps.combine(%s, %s) RETURNS %1$s LANGUAGE plpgsql AS $$BEGIN RAISE ''trapped''; END$$', l, r);
			FOREACH o IN ARRAY '{=,<>,<,<=,>,>=,~,~~,!~}'::text[] LOOP
				EXECUTE format('CREATE OPERATOR traps.%s (FUNCTION = traps.compare, LEFTARG = %s, RIGHTARG = %s)', o, l, r);
			END LOOP;
			FOREACH o IN ARRAY '{+,-,*,/,||}'::text[] LOOP
				EXECUTE format('CREATE OPERATOR traps.%s (FUNCTION = traps.combine, LEFTARG = %s, RIGHTARG = %s)', o, l, r);
			END LOOP;
		END LOOP;
		-- A function that fits better than one of pg_catalog's that needs a cast.
		FOREACH o IN ARRAY '{lower,upper,length,format,quote_ident,to_regclass,pg_extension_config_dump}'::text[] LOOP
			EXECUTE format('CREATE FUNCTION traps.%I(%s) RETURNS %2$s LANGUAGE plpgsql AS $$BEGIN RAISE ''trapped''; END$$', o, l);
			EXECUTE format('CREATE FUNCTION traps.%I(%s, text) RETURNS %2$s LANGUAGE plpgsql AS $$BEGIN RAISE ''trapped''; END$$', o, l);
		END LOOP;
		EXECUTE format('CREATE DOMAIN traps.%s AS pg_catalog.%1$s', l);
	END LOOP;
	FOREACH o IN ARRAY '{now,clock_timestamp,statement_timestamp,current_database}'::text[] LOOP
		EXECUTE format('CREATE FUNCTION traps.%I() RETURNS pg_catalog.timestamptz LANGUAGE plpgsql AS $$BEGIN RAISE ''trapped''; END$$', o);
	END LOOP;
END
$do$;
RESET ROLE;
CREATE TABLE laid AS
	SELECT 'pg_operator'::regclass AS classid, oid AS objid FROM pg_operator WHERE oprnamespace = 'traps'::regnamespace
	UNION ALL SELECT 'pg_proc'::regclass, oid FROM pg_proc WHERE pronamespace = 'traps'::regnamespace
	UNION ALL SELECT 'pg_type'::regclass, oid FROM pg_type WHERE typnamespace = 'traps'::regnamespace;
SELECT classid, count(*) > 10 AS many FROM laid GROUP BY classid ORDER BY classid::text;

CREATE EXTENSION dbcrypt SCHEMA traps;
-- What belongs to the extension, and the rules, defaults, constraints and indexes
-- that belong to that, depends on no trap.
WITH RECURSIVE member AS (
	SELECT d.classid, d.objid FROM pg_depend d JOIN pg_extension e ON d.refobjid = e.oid AND e.extname = 'dbcrypt'
	 WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'
	UNION SELECT d.classid, d.objid FROM member m JOIN pg_depend d ON d.refclassid = m.classid AND d.refobjid = m.objid
	 WHERE d.deptype IN ('a', 'i'))
SELECT pg_describe_object(m.classid, m.objid, 0) AS member, pg_describe_object(l.classid, l.objid, 0) AS trap
  FROM member m JOIN pg_depend d ON d.classid = m.classid AND d.objid = m.objid
  JOIN laid l ON l.classid = d.refclassid AND l.objid = d.refobjid
 ORDER BY 1, 2;
-- This many dependencies were looked at, so the query above is not empty for nothing.
SELECT count(*) > 5 AS looked_at FROM pg_depend d JOIN pg_rewrite r ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
 WHERE r.ev_class IN ('traps.dbcrypt_progress'::regclass, 'traps.dbcrypt_key_status'::regclass);

-- A superuser reads every view, while there is something to see.
SET dbcrypt.key_file = '';
SET dbcrypt.keys = '0101010101010101010101010101010101010101010101010101010101010101';
SELECT key_id, state FROM traps.dbcrypt_register_keys();
SELECT key_id, is_primary, is_loaded, is_registered, revoked_at, canary_ok FROM traps.dbcrypt_key_status;
SELECT * FROM traps.dbcrypt_progress;
CREATE SEQUENCE estimates;
CREATE FUNCTION watched(id int) RETURNS text LANGUAGE plpgsql STABLE AS $$
BEGIN
	IF EXISTS (SELECT FROM traps.dbcrypt_progress WHERE "table" = 'public.watched'::regclass AND "column" = 'v'
			AND database = current_database() AND estimated_end > started) THEN
		PERFORM nextval('public.estimates');
	END IF;
	RETURN id::text;
END$$;
CREATE TABLE watched AS SELECT i AS id, traps.dbcrypt_encrypt(repeat('x', 100), i::text) AS v FROM generate_series(1, 300) i;
SET dbcrypt.keys = '0202020202020202020202020202020202020202020202020202020202020202,0101010101010101010101010101010101010101010101010101010101010101';
SELECT key_id, state FROM traps.dbcrypt_register_keys();
CALL traps.dbcrypt_rotate_online('watched', 'v', 'public.watched(id)', batch_blocks => 1);
SELECT is_called AS estimated FROM estimates;
SELECT count(*) FROM traps.dbcrypt_check();

\c contrib_regression
DROP DATABASE dbcrypt_trapdb;
DROP ROLE dbcrypt_trapdb_owner;
