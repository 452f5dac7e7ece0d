-- complain if script is sourced in psql, rather than via CREATE EXTENSION
\echo Use "CREATE EXTENSION dbcrypt" to load this file. \quit

-- Others may have created operators and functions in the extension's schema before.
-- So names are qualified, operators too, and operands have exactly the types that
-- an operator of pg_catalog takes.

---------------------------------------------------------------------
-- Values
---------------------------------------------------------------------

CREATE FUNCTION dbcrypt_encrypt(value text, aad text DEFAULT '') RETURNS text
AS 'MODULE_PATHNAME', 'dbcrypt_encrypt_text' LANGUAGE C VOLATILE PARALLEL SAFE;
CREATE FUNCTION dbcrypt_encrypt(value bytea, aad text DEFAULT '') RETURNS bytea
AS 'MODULE_PATHNAME', 'dbcrypt_encrypt_bytea' LANGUAGE C VOLATILE PARALLEL SAFE;

CREATE FUNCTION dbcrypt_decrypt(value text, aad text DEFAULT '') RETURNS text
AS 'MODULE_PATHNAME', 'dbcrypt_decrypt_text' LANGUAGE C STABLE PARALLEL SAFE;
CREATE FUNCTION dbcrypt_decrypt(value bytea, aad text DEFAULT '') RETURNS bytea
AS 'MODULE_PATHNAME', 'dbcrypt_decrypt_bytea' LANGUAGE C STABLE PARALLEL SAFE;

CREATE FUNCTION dbcrypt_reencrypt(value text, aad text DEFAULT '') RETURNS text
AS 'MODULE_PATHNAME', 'dbcrypt_reencrypt_text' LANGUAGE C VOLATILE PARALLEL SAFE;
CREATE FUNCTION dbcrypt_reencrypt(value bytea, aad text DEFAULT '') RETURNS bytea
AS 'MODULE_PATHNAME', 'dbcrypt_reencrypt_bytea' LANGUAGE C VOLATILE PARALLEL SAFE;

CREATE FUNCTION dbcrypt_key_id(value text) RETURNS text
AS 'MODULE_PATHNAME', 'dbcrypt_key_id_text' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
CREATE FUNCTION dbcrypt_key_id(value bytea) RETURNS text
AS 'MODULE_PATHNAME', 'dbcrypt_key_id_bytea' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE FUNCTION dbcrypt_is_encrypted(value text) RETURNS boolean
AS 'MODULE_PATHNAME', 'dbcrypt_is_encrypted_text' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
CREATE FUNCTION dbcrypt_is_encrypted(value bytea) RETURNS boolean
AS 'MODULE_PATHNAME', 'dbcrypt_is_encrypted_bytea' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE FUNCTION dbcrypt_generate_key() RETURNS text
AS 'MODULE_PATHNAME', 'dbcrypt_generate_key_sql' LANGUAGE C VOLATILE PARALLEL SAFE;

---------------------------------------------------------------------
-- Keys
---------------------------------------------------------------------

CREATE TABLE dbcrypt_keys (
    key_id text PRIMARY KEY CHECK (key_id OPERATOR(pg_catalog.~) '^[0-9a-f]{14}$'),
    created_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    retired_at timestamptz,
    revoked_at timestamptz,
    canary text NOT NULL,
    comment text
);

CREATE FUNCTION dbcrypt_keys_changed() RETURNS trigger
AS 'MODULE_PATHNAME' LANGUAGE C;
CREATE TRIGGER dbcrypt_keys_changed
    AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON dbcrypt_keys
    FOR EACH STATEMENT EXECUTE FUNCTION dbcrypt_keys_changed();
ALTER TABLE dbcrypt_keys ENABLE ALWAYS TRIGGER dbcrypt_keys_changed;

-- A dump that is restored beside keys brings none of them back into use.
CREATE FUNCTION dbcrypt_keys_merge() RETURNS trigger
AS 'MODULE_PATHNAME' LANGUAGE C;
CREATE TRIGGER dbcrypt_keys_merge
    BEFORE INSERT ON dbcrypt_keys
    FOR EACH ROW EXECUTE FUNCTION dbcrypt_keys_merge();
ALTER TABLE dbcrypt_keys ENABLE ALWAYS TRIGGER dbcrypt_keys_merge;

CREATE FUNCTION dbcrypt_register_keys(OUT key_id text, OUT state text) RETURNS SETOF record
AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE;
CREATE FUNCTION dbcrypt_revoke_key(key_id text) RETURNS void
AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE STRICT;
CREATE FUNCTION dbcrypt_reinstate_key(key_id text) RETURNS void
AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE STRICT;
CREATE PROCEDURE dbcrypt_revoke_keys(keys text[], search text DEFAULT 'database',
    accept text[] DEFAULT '{}', wait_timeout int DEFAULT 60000)
AS 'MODULE_PATHNAME' LANGUAGE C;

CREATE FUNCTION dbcrypt_loaded_keys(OUT key_id text, OUT is_primary boolean, OUT canary_ok boolean)
RETURNS SETOF record
AS 'MODULE_PATHNAME' LANGUAGE C STABLE;

CREATE VIEW dbcrypt_key_status AS
    SELECT coalesce(k.key_id, l.key_id) AS key_id,
           coalesce(l.is_primary, false) AS is_primary,
           l.key_id IS NOT NULL AS is_loaded,
           k.key_id IS NOT NULL AS is_registered,
           k.retired_at,
           k.revoked_at,
           l.canary_ok
      FROM @extschema@.dbcrypt_keys k
      FULL JOIN @extschema@.dbcrypt_loaded_keys() l ON l.key_id OPERATOR(pg_catalog.=) k.key_id
     ORDER BY 2 DESC, 3 DESC, k.created_at, 1;

---------------------------------------------------------------------
-- Columns
---------------------------------------------------------------------

-- A column by its names. What follows bound_to is a hint, which survives a rename: it
-- counts in the database that bound_to names, so neither in a copy nor after a restore.
CREATE TABLE dbcrypt_columns (
    "schema" name NOT NULL,
    "table" name NOT NULL,
    "column" name NOT NULL,
    scheme text NOT NULL DEFAULT 'native',
    aad text,
    options jsonb NOT NULL DEFAULT '{}',
    registered_by name,
    bound_to text,
    relid oid,
    attnum int2,
    PRIMARY KEY ("schema", "table", "column")
);

CREATE FUNCTION dbcrypt_columns_bind() RETURNS trigger
AS 'MODULE_PATHNAME' LANGUAGE C;
CREATE TRIGGER dbcrypt_columns_bind
    BEFORE INSERT OR UPDATE OF "schema", "table", "column" ON dbcrypt_columns
    FOR EACH ROW EXECUTE FUNCTION dbcrypt_columns_bind();
ALTER TABLE dbcrypt_columns ENABLE ALWAYS TRIGGER dbcrypt_columns_bind;

CREATE FUNCTION dbcrypt_columns_follow() RETURNS event_trigger
AS 'MODULE_PATHNAME' LANGUAGE C;
CREATE FUNCTION dbcrypt_columns_prepare() RETURNS event_trigger
AS 'MODULE_PATHNAME' LANGUAGE C;
CREATE EVENT TRIGGER dbcrypt_columns_prepare ON ddl_command_start
    WHEN TAG IN ('ALTER TABLE', 'ALTER SCHEMA', 'ALTER TYPE', 'ALTER VIEW', 'ALTER INDEX',
                 'ALTER MATERIALIZED VIEW', 'ALTER FOREIGN TABLE', 'DROP TABLE', 'DROP SCHEMA',
                 'DROP TYPE', 'DROP DOMAIN', 'DROP OWNED', 'DROP EXTENSION', 'DROP FUNCTION',
                 'DROP ROUTINE', 'DROP COLLATION', 'DROP LANGUAGE', 'DROP ACCESS METHOD')
    EXECUTE FUNCTION dbcrypt_columns_prepare();
CREATE EVENT TRIGGER dbcrypt_columns_renamed ON ddl_command_end
    WHEN TAG IN ('ALTER TABLE', 'ALTER SCHEMA', 'ALTER TYPE', 'ALTER VIEW', 'ALTER INDEX',
                 'ALTER MATERIALIZED VIEW', 'ALTER FOREIGN TABLE', 'CREATE TABLE',
                 'CREATE TABLE AS', 'SELECT INTO')
    EXECUTE FUNCTION dbcrypt_columns_follow();
CREATE EVENT TRIGGER dbcrypt_columns_dropped ON sql_drop
    EXECUTE FUNCTION dbcrypt_columns_follow();
ALTER EVENT TRIGGER dbcrypt_columns_prepare ENABLE ALWAYS;
ALTER EVENT TRIGGER dbcrypt_columns_renamed ENABLE ALWAYS;
ALTER EVENT TRIGGER dbcrypt_columns_dropped ENABLE ALWAYS;

CREATE FUNCTION dbcrypt_register_column("table" regclass, "column" name, aad text DEFAULT NULL)
RETURNS void
AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE;
CREATE FUNCTION dbcrypt_unregister_column("table" regclass, "column" name,
    if_exists boolean DEFAULT false) RETURNS void
AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE STRICT;
CREATE FUNCTION dbcrypt_ignore_triggers("table" regclass, "column" name, triggers text[])
RETURNS void
AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE;

---------------------------------------------------------------------
-- Proof and health
---------------------------------------------------------------------

CREATE FUNCTION dbcrypt_verify("table" regclass, "column" name,
    OUT key_id text, OUT state text, OUT "values" bigint, OUT examples text[])
RETURNS SETOF record
AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE;
CREATE FUNCTION dbcrypt_verify_all(
    OUT "table" regclass, OUT "column" name,
    OUT key_id text, OUT state text, OUT "values" bigint, OUT examples text[], OUT problem text)
RETURNS SETOF record
AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE;
CREATE FUNCTION dbcrypt_check(
    OUT severity text, OUT subject text, OUT finding text, OUT hint text)
RETURNS SETOF record
AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE;

-- What the census reads a table with: PostgreSQL's planner runs it in parallel.
CREATE FUNCTION dbcrypt_census_add(internal, tid, VARIADIC "any") RETURNS internal
AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE PARALLEL SAFE;
CREATE FUNCTION dbcrypt_census_combine(internal, internal) RETURNS internal
AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE PARALLEL SAFE;
CREATE FUNCTION dbcrypt_census_serialize(internal) RETURNS bytea
AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
CREATE FUNCTION dbcrypt_census_deserialize(bytea, internal) RETURNS internal
AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
CREATE AGGREGATE dbcrypt_census_values(tid, VARIADIC "any") (
    SFUNC = @extschema@.dbcrypt_census_add, STYPE = internal,
    COMBINEFUNC = @extschema@.dbcrypt_census_combine,
    SERIALFUNC = @extschema@.dbcrypt_census_serialize,
    DESERIALFUNC = @extschema@.dbcrypt_census_deserialize,
    FINALFUNC = @extschema@.dbcrypt_census_serialize,
    PARALLEL = SAFE);

CREATE FUNCTION dbcrypt_census(INOUT "table" regclass DEFAULT NULL,
    OUT "column" name, OUT key_id text, OUT state text, OUT "values" bigint,
    OUT examples text[], OUT detail text)
RETURNS SETOF record
AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE;
CREATE FUNCTION dbcrypt_databases(key_id text, OUT database name, OUT state text)
RETURNS SETOF record
AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE STRICT;

---------------------------------------------------------------------
-- Columns of other applications
---------------------------------------------------------------------

CREATE FUNCTION dbcrypt_adopt("table" regclass, "column" name, scheme text,
    options jsonb DEFAULT '{}')
RETURNS void
AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE STRICT;
CREATE FUNCTION dbcrypt_adopt_coder(keys regclass DEFAULT NULL,
    OUT "table" regclass, OUT "column" name)
RETURNS SETOF record
AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE;
CREATE FUNCTION dbcrypt_adopt_tooljet(schema name DEFAULT 'public',
    OUT "table" regclass, OUT "column" name)
RETURNS SETOF record
AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE STRICT;
CREATE FUNCTION dbcrypt_convert("table" regclass, "column" name, aad text DEFAULT NULL,
    OUT scanned bigint, OUT converted bigint, OUT nulls bigint)
RETURNS record
AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE;

---------------------------------------------------------------------
-- Rotation
---------------------------------------------------------------------

CREATE FUNCTION dbcrypt_rotate("table" regclass, "column" name, aad text DEFAULT NULL,
    dry_run boolean DEFAULT false,
    OUT scanned bigint, OUT rotated bigint, OUT current bigint, OUT nulls bigint)
RETURNS record
AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE;

CREATE FUNCTION dbcrypt_rotate_all(dry_run boolean DEFAULT false,
    OUT "table" regclass, OUT "column" name,
    OUT scanned bigint, OUT rotated bigint, OUT current bigint, OUT nulls bigint,
    OUT problem text)
RETURNS SETOF record
AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE;

CREATE PROCEDURE dbcrypt_rotate_online("table" regclass, "column" name, aad text DEFAULT NULL,
    batch_blocks int DEFAULT 128, busy_share float8 DEFAULT 1,
    max_wal_rate text DEFAULT NULL, max_lag text DEFAULT NULL,
    workers int DEFAULT 1, on_error text DEFAULT 'stop', vacuum_every int DEFAULT NULL,
    INOUT scanned bigint DEFAULT NULL, INOUT rotated bigint DEFAULT NULL,
    INOUT current bigint DEFAULT NULL, INOUT nulls bigint DEFAULT NULL,
    INOUT skipped bigint DEFAULT NULL)
AS 'MODULE_PATHNAME' LANGUAGE C;

CREATE PROCEDURE dbcrypt_rotate_in_place("table" regclass, "column" name, aad text DEFAULT NULL,
    batch_blocks int DEFAULT 256, busy_share float8 DEFAULT 1,
    max_wal_rate text DEFAULT NULL, max_lag text DEFAULT NULL,
    workers int DEFAULT 1, on_error text DEFAULT 'stop', pin_timeout int DEFAULT 10000,
    INOUT in_place bigint DEFAULT NULL, INOUT updated bigint DEFAULT NULL,
    INOUT current bigint DEFAULT NULL, INOUT nulls bigint DEFAULT NULL,
    INOUT pages bigint DEFAULT NULL, INOUT pages_waited bigint DEFAULT NULL,
    INOUT skipped bigint DEFAULT NULL)
AS 'MODULE_PATHNAME' LANGUAGE C;

CREATE FUNCTION dbcrypt_progress_rows(
    OUT pid int, OUT datid oid, OUT relid oid, OUT attnum int2, OUT phase text,
    OUT blocks_total bigint, OUT blocks_done bigint, OUT rotated bigint, OUT started timestamptz,
    OUT counted_since timestamptz)
RETURNS SETOF record
AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE PARALLEL RESTRICTED;

-- Names are known for the current database alone, as in pg_stat_progress_vacuum.
CREATE VIEW dbcrypt_progress AS
    SELECT p.pid, d.datname AS database, p.relid,
           CASE WHEN d.datname OPERATOR(pg_catalog.=) pg_catalog.current_database()
                THEN p.relid::pg_catalog.regclass END AS "table",
           CASE WHEN d.datname OPERATOR(pg_catalog.=) pg_catalog.current_database()
                THEN a.attname END AS "column",
           p.phase, p.blocks_total, p.blocks_done, p.rotated, p.started,
           CASE WHEN p.blocks_done OPERATOR(pg_catalog.>) 0
                 AND p.blocks_total OPERATOR(pg_catalog.>=) p.blocks_done
                THEN p.counted_since OPERATOR(pg_catalog.+)
                     ((pg_catalog.clock_timestamp() OPERATOR(pg_catalog.-) p.counted_since)
                      OPERATOR(pg_catalog.*)
                      (p.blocks_total::pg_catalog.float8
                       OPERATOR(pg_catalog./) p.blocks_done::pg_catalog.float8))
            END AS estimated_end
      FROM @extschema@.dbcrypt_progress_rows() p
      LEFT JOIN pg_catalog.pg_database d ON d.oid OPERATOR(pg_catalog.=) p.datid
      LEFT JOIN pg_catalog.pg_attribute a
             ON a.attrelid OPERATOR(pg_catalog.=) p.relid
            AND a.attnum OPERATOR(pg_catalog.=) p.attnum;

---------------------------------------------------------------------
-- A column's life
---------------------------------------------------------------------

CREATE FUNCTION dbcrypt_encrypt_column("table" regclass, "column" name, aad text DEFAULT NULL,
    dry_run boolean DEFAULT false,
    OUT scanned bigint, OUT encrypted bigint, OUT already bigint, OUT nulls bigint)
RETURNS record
AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE;
CREATE FUNCTION dbcrypt_decrypt_column("table" regclass, "column" name,
    dry_run boolean DEFAULT false,
    OUT scanned bigint, OUT decrypted bigint, OUT plaintext bigint, OUT nulls bigint)
RETURNS record
AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE;
CREATE FUNCTION dbcrypt_delete_column("table" regclass, "column" name, confirm text)
RETURNS bigint
AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE;

CREATE FUNCTION dbcrypt_encrypt_trigger() RETURNS trigger
AS 'MODULE_PATHNAME' LANGUAGE C;

---------------------------------------------------------------------
-- Dumps and privileges
---------------------------------------------------------------------

SELECT pg_catalog.pg_extension_config_dump('dbcrypt_keys', '');
SELECT pg_catalog.pg_extension_config_dump('dbcrypt_columns', '');

GRANT SELECT ON dbcrypt_keys, dbcrypt_columns TO PUBLIC;
GRANT SELECT ON dbcrypt_key_status, dbcrypt_progress TO pg_monitor;

REVOKE EXECUTE ON FUNCTION
    dbcrypt_encrypt_column(regclass, name, text, boolean),
    dbcrypt_decrypt_column(regclass, name, boolean), dbcrypt_delete_column(regclass, name, text),
    dbcrypt_encrypt_trigger(),
    dbcrypt_encrypt(text, text), dbcrypt_encrypt(bytea, text),
    dbcrypt_decrypt(text, text), dbcrypt_decrypt(bytea, text),
    dbcrypt_reencrypt(text, text), dbcrypt_reencrypt(bytea, text),
    dbcrypt_generate_key(),
    dbcrypt_verify(regclass, name), dbcrypt_verify_all(), dbcrypt_check(),
    dbcrypt_census_add(internal, tid, VARIADIC "any"), dbcrypt_census_combine(internal, internal),
    dbcrypt_census_serialize(internal), dbcrypt_census_deserialize(bytea, internal),
    dbcrypt_census_values(tid, VARIADIC "any"), dbcrypt_census(regclass),
    dbcrypt_databases(text),
    dbcrypt_keys_changed(), dbcrypt_keys_merge(), dbcrypt_columns_bind(),
    dbcrypt_columns_prepare(), dbcrypt_columns_follow(),
    dbcrypt_register_keys(), dbcrypt_revoke_key(text), dbcrypt_reinstate_key(text),
    dbcrypt_loaded_keys(), dbcrypt_progress_rows(),
    dbcrypt_register_column(regclass, name, text),
    dbcrypt_unregister_column(regclass, name, boolean),
    dbcrypt_ignore_triggers(regclass, name, text[]),
    dbcrypt_adopt(regclass, name, text, jsonb), dbcrypt_convert(regclass, name, text),
    dbcrypt_adopt_coder(regclass), dbcrypt_adopt_tooljet(name),
    dbcrypt_rotate(regclass, name, text, boolean), dbcrypt_rotate_all(boolean)
FROM PUBLIC;
REVOKE EXECUTE ON PROCEDURE
    dbcrypt_revoke_keys(text[], text, text[], int),
    dbcrypt_rotate_online(regclass, name, text, int, float8, text, text, int, text, int,
                          bigint, bigint, bigint, bigint, bigint),
    dbcrypt_rotate_in_place(regclass, name, text, int, float8, text, text, int, text, int,
                            bigint, bigint, bigint, bigint, bigint, bigint, bigint)
FROM PUBLIC;
GRANT EXECUTE ON FUNCTION dbcrypt_loaded_keys(), dbcrypt_progress_rows(), dbcrypt_check()
    TO pg_monitor;
GRANT EXECUTE ON FUNCTION dbcrypt_census(regclass) TO pg_read_all_data;
