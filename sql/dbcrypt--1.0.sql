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

-- Every session reads the table again. The apply of a subscription fires row triggers only.
CREATE FUNCTION dbcrypt_catalog_changed() RETURNS trigger
AS 'MODULE_PATHNAME' LANGUAGE C;
CREATE TRIGGER dbcrypt_keys_changed
    AFTER INSERT OR UPDATE OR DELETE ON dbcrypt_keys
    FOR EACH ROW EXECUTE FUNCTION dbcrypt_catalog_changed();
CREATE TRIGGER dbcrypt_keys_truncated AFTER TRUNCATE ON dbcrypt_keys
    FOR EACH STATEMENT EXECUTE FUNCTION dbcrypt_catalog_changed();
ALTER TABLE dbcrypt_keys ENABLE ALWAYS TRIGGER dbcrypt_keys_changed,
    ENABLE ALWAYS TRIGGER dbcrypt_keys_truncated;

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
CREATE TRIGGER dbcrypt_columns_changed
    AFTER INSERT OR UPDATE OR DELETE ON dbcrypt_columns
    FOR EACH ROW EXECUTE FUNCTION dbcrypt_catalog_changed();
CREATE TRIGGER dbcrypt_columns_truncated AFTER TRUNCATE ON dbcrypt_columns
    FOR EACH STATEMENT EXECUTE FUNCTION dbcrypt_catalog_changed();
ALTER TABLE dbcrypt_columns ENABLE ALWAYS TRIGGER dbcrypt_columns_bind,
    ENABLE ALWAYS TRIGGER dbcrypt_columns_changed,
    ENABLE ALWAYS TRIGGER dbcrypt_columns_truncated;

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
    options jsonb DEFAULT '{}', OUT "values" bigint, OUT sampled boolean)
RETURNS record
AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE STRICT;
CREATE FUNCTION dbcrypt_adopt_coder(keys regclass DEFAULT NULL,
    OUT "table" regclass, OUT "column" name, OUT "values" bigint, OUT sampled boolean)
RETURNS SETOF record
AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE;
CREATE FUNCTION dbcrypt_adopt_tooljet(schema name DEFAULT 'public',
    OUT "table" regclass, OUT "column" name, OUT state text, OUT "values" bigint,
    OUT sampled boolean, OUT detail text)
RETURNS SETOF record
AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE STRICT;
CREATE FUNCTION dbcrypt_adopt_gitlab(schema name DEFAULT 'public',
    OUT "table" regclass, OUT "column" name, OUT scheme text, OUT state text)
RETURNS SETOF record
AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE STRICT;
CREATE FUNCTION dbcrypt_convert("table" regclass, "column" name, aad text DEFAULT NULL,
    keep text DEFAULT NULL,
    OUT scanned bigint, OUT converted bigint, OUT nulls bigint)
RETURNS record
AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE;

---------------------------------------------------------------------
-- Rotation
---------------------------------------------------------------------

CREATE FUNCTION dbcrypt_rotate("table" regclass, "column" name, aad text DEFAULT NULL,
    dry_run boolean DEFAULT false, keep text DEFAULT NULL,
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
    dbcrypt_catalog_changed(), dbcrypt_keys_merge(), dbcrypt_columns_bind(),
    dbcrypt_columns_prepare(), dbcrypt_columns_follow(),
    dbcrypt_register_keys(), dbcrypt_revoke_key(text), dbcrypt_reinstate_key(text),
    dbcrypt_loaded_keys(), dbcrypt_progress_rows(),
    dbcrypt_register_column(regclass, name, text),
    dbcrypt_unregister_column(regclass, name, boolean),
    dbcrypt_ignore_triggers(regclass, name, text[]),
    dbcrypt_adopt(regclass, name, text, jsonb), dbcrypt_convert(regclass, name, text, text),
    dbcrypt_adopt_coder(regclass), dbcrypt_adopt_tooljet(name), dbcrypt_adopt_gitlab(name),
    dbcrypt_rotate(regclass, name, text, boolean, text), dbcrypt_rotate_all(boolean)
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

---------------------------------------------------------------------
-- What \df+, \dt+, \dv+ and \dy+ say
---------------------------------------------------------------------

COMMENT ON FUNCTION dbcrypt_encrypt(text, text) IS 'encrypt text under the primary key, bound to the AAD';
COMMENT ON FUNCTION dbcrypt_encrypt(bytea, text) IS 'encrypt bytes under the primary key, bound to the AAD';
COMMENT ON FUNCTION dbcrypt_decrypt(text, text) IS 'the plaintext of an encrypted text';
COMMENT ON FUNCTION dbcrypt_decrypt(bytea, text) IS 'the plaintext of encrypted bytes';
COMMENT ON FUNCTION dbcrypt_reencrypt(text, text) IS 'the same text under the primary key; unchanged if it is there already';
COMMENT ON FUNCTION dbcrypt_reencrypt(bytea, text) IS 'the same bytes under the primary key; unchanged if they are there already';
COMMENT ON FUNCTION dbcrypt_key_id(text) IS 'id of the key that an encrypted text is under; needs no key';
COMMENT ON FUNCTION dbcrypt_key_id(bytea) IS 'id of the key that encrypted bytes are under; needs no key';
COMMENT ON FUNCTION dbcrypt_is_encrypted(text) IS 'whether a text has the header of an encrypted value; needs no key';
COMMENT ON FUNCTION dbcrypt_is_encrypted(bytea) IS 'whether bytes have the header of an encrypted value; needs no key';
COMMENT ON FUNCTION dbcrypt_generate_key() IS 'a new random key, in base64, for the key file';

COMMENT ON TABLE dbcrypt_keys IS 'encryption keys that were registered, by id; never the keys themselves';
COMMENT ON VIEW dbcrypt_key_status IS 'every key that is registered or loaded, and the state it is in';
COMMENT ON FUNCTION dbcrypt_register_keys() IS 'register every loaded key, so that it may encrypt';
COMMENT ON FUNCTION dbcrypt_revoke_key(text) IS 'forbid a key for ever, if no value uses it; stops writers of registered columns meanwhile';
COMMENT ON FUNCTION dbcrypt_reinstate_key(text) IS 'take a retired or revoked key back into use';
COMMENT ON PROCEDURE dbcrypt_revoke_keys(text[], text, text[], int) IS 'forbid keys for ever, if no value in the database uses them; stops nobody';
COMMENT ON FUNCTION dbcrypt_loaded_keys() IS 'keys that this session has loaded, the primary one first';
COMMENT ON FUNCTION dbcrypt_catalog_changed() IS 'trigger function: makes sessions read a table of dbcrypt again';
COMMENT ON TRIGGER dbcrypt_keys_changed ON dbcrypt_keys IS 'makes sessions read the keys again';
COMMENT ON TRIGGER dbcrypt_keys_truncated ON dbcrypt_keys IS 'makes sessions read the keys again after TRUNCATE';
COMMENT ON TRIGGER dbcrypt_columns_changed ON dbcrypt_columns IS 'makes sessions read the registered columns again';
COMMENT ON TRIGGER dbcrypt_columns_truncated ON dbcrypt_columns IS 'makes sessions read the registered columns again after TRUNCATE';
COMMENT ON FUNCTION dbcrypt_keys_merge() IS 'trigger function: a restored row takes no retired or revoked key back into use';
COMMENT ON TRIGGER dbcrypt_keys_merge ON dbcrypt_keys IS 'a restored row takes no retired or revoked key back into use';

COMMENT ON TABLE dbcrypt_columns IS 'encrypted columns that dbcrypt knows: their scheme, AAD expression and options';
COMMENT ON FUNCTION dbcrypt_register_column(regclass, name, text) IS 'tell dbcrypt of a column of encrypted values';
COMMENT ON FUNCTION dbcrypt_unregister_column(regclass, name, boolean) IS 'let dbcrypt forget a column; its values stay as they are';
COMMENT ON FUNCTION dbcrypt_ignore_triggers(regclass, name, text[]) IS 'accept these triggers, which might copy rows, on the table of a registered column';
COMMENT ON FUNCTION dbcrypt_columns_bind() IS 'trigger function: finds the table that a registered name means';
COMMENT ON TRIGGER dbcrypt_columns_bind ON dbcrypt_columns IS 'finds the table that a name means';
COMMENT ON FUNCTION dbcrypt_columns_prepare() IS 'event trigger function: refuses DDL that would make values unreadable';
COMMENT ON FUNCTION dbcrypt_columns_follow() IS 'event trigger function: follows renamed and dropped columns';
COMMENT ON EVENT TRIGGER dbcrypt_columns_prepare IS 'refuses DDL that would make registered values unreadable';
COMMENT ON EVENT TRIGGER dbcrypt_columns_renamed IS 'follows renamed columns in dbcrypt_columns';
COMMENT ON EVENT TRIGGER dbcrypt_columns_dropped IS 'follows dropped columns in dbcrypt_columns';

COMMENT ON FUNCTION dbcrypt_verify(regclass, name) IS 'decrypt every value of a column, and count them by key and state';
COMMENT ON FUNCTION dbcrypt_verify_all() IS 'decrypt every value of every registered column, and count them by key and state';
COMMENT ON FUNCTION dbcrypt_check() IS 'what is wrong with keys, columns and settings; no row when all is well';
COMMENT ON FUNCTION dbcrypt_census(regclass) IS 'where encrypted values are, registered or not: in the database, or in one table';
COMMENT ON FUNCTION dbcrypt_databases(text) IS 'in which databases of the server a key is in use';
COMMENT ON AGGREGATE dbcrypt_census_values(tid, VARIADIC "any") IS 'internal to dbcrypt_census: searches the values of rows';
COMMENT ON FUNCTION dbcrypt_census_add(internal, tid, VARIADIC "any") IS 'internal to dbcrypt_census: searches one row';
COMMENT ON FUNCTION dbcrypt_census_combine(internal, internal) IS 'internal to dbcrypt_census: adds up two workers'' findings';
COMMENT ON FUNCTION dbcrypt_census_serialize(internal) IS 'internal to dbcrypt_census: findings as bytes';
COMMENT ON FUNCTION dbcrypt_census_deserialize(bytea, internal) IS 'internal to dbcrypt_census: findings from bytes';

COMMENT ON FUNCTION dbcrypt_adopt(regclass, name, text, jsonb) IS 'register a column of values that another application encrypted';
COMMENT ON FUNCTION dbcrypt_adopt_coder(regclass) IS 'register every column that Coder has encrypted';
COMMENT ON FUNCTION dbcrypt_adopt_tooljet(name) IS 'register every column that ToolJet has encrypted';
COMMENT ON FUNCTION dbcrypt_adopt_gitlab(name) IS 'register every column that GitLab has encrypted, and say what else hangs on its key';
COMMENT ON FUNCTION dbcrypt_convert(regclass, name, text, text) IS 'make native values of those that another application encrypted';

COMMENT ON FUNCTION dbcrypt_rotate(regclass, name, text, boolean, text) IS 'bring every value of a column under the primary key, in one transaction';
COMMENT ON FUNCTION dbcrypt_rotate_all(boolean) IS 'bring every value of every registered column under the primary key, in one transaction';
COMMENT ON PROCEDURE dbcrypt_rotate_online(regclass, name, text, int, float8, text, text, int, text, int, bigint, bigint, bigint, bigint, bigint)
    IS 'bring every value of a column under the primary key, in batches, while the application writes';
COMMENT ON PROCEDURE dbcrypt_rotate_in_place(regclass, name, text, int, float8, text, text, int, text, int, bigint, bigint, bigint, bigint, bigint, bigint, bigint)
    IS 'bring every value of a column under the primary key, written over the old ones on their pages';
COMMENT ON VIEW dbcrypt_progress IS 'rotations and searches that run now, and how far they are';
COMMENT ON FUNCTION dbcrypt_progress_rows() IS 'internal to dbcrypt_progress: its rows, with numbers in place of names';

COMMENT ON FUNCTION dbcrypt_encrypt_column(regclass, name, text, boolean) IS 'encrypt a plaintext column and register it; rewrites the table';
COMMENT ON FUNCTION dbcrypt_decrypt_column(regclass, name, boolean) IS 'make a column plaintext again and unregister it; rewrites the table';
COMMENT ON FUNCTION dbcrypt_delete_column(regclass, name, text) IS 'destroy the values of a column and unregister it; needs no key';
COMMENT ON FUNCTION dbcrypt_encrypt_trigger() IS 'trigger function: encrypts what is written to a column as plaintext';
