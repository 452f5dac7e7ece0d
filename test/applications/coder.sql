-- Coder: its catalog of keys, and every column whose key id refers to it.
CREATE TABLE dbcrypt_keys (
    number int NOT NULL PRIMARY KEY, active_key_digest text UNIQUE, revoked_key_digest text UNIQUE,
    created_at timestamptz DEFAULT CURRENT_TIMESTAMP, revoked_at timestamptz, test text NOT NULL);
CREATE TABLE users (
    id uuid PRIMARY KEY, email text NOT NULL, username text NOT NULL DEFAULT '',
    deleted boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL DEFAULT now(), updated_at timestamptz NOT NULL DEFAULT now());
CREATE UNIQUE INDEX ON users (lower(email)) WHERE NOT deleted;

-- Nobody writes for a deleted user.
CREATE FUNCTION fail_if_user_deleted() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (SELECT deleted FROM public.users WHERE id = NEW.user_id) THEN
        RAISE EXCEPTION 'Cannot create % for deleted user', TG_ARGV[0]
            USING ERRCODE = 'check_violation', CONSTRAINT = TG_ARGV[1];
    END IF;
    RETURN NEW;
END $$;

CREATE TABLE user_links (
    user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE, login_type text NOT NULL, linked_id text NOT NULL DEFAULT '',
    oauth_access_token text NOT NULL DEFAULT '', oauth_access_token_key_id text REFERENCES dbcrypt_keys (active_key_digest),
    oauth_refresh_token text NOT NULL DEFAULT '', oauth_refresh_token_key_id text REFERENCES dbcrypt_keys (active_key_digest),
    oauth_expiry timestamptz NOT NULL DEFAULT '0001-01-01 00:00:00+00', claims jsonb NOT NULL DEFAULT '{}',
    PRIMARY KEY (user_id, login_type));
CREATE TRIGGER trigger_upsert_user_links BEFORE INSERT OR UPDATE ON user_links
    FOR EACH ROW EXECUTE FUNCTION fail_if_user_deleted('user_link', 'user_link_user_deleted');
CREATE TABLE external_auth_links (
    provider_id text NOT NULL, user_id uuid NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(), updated_at timestamptz NOT NULL DEFAULT now(),
    oauth_access_token text NOT NULL, oauth_access_token_key_id text REFERENCES dbcrypt_keys (active_key_digest),
    oauth_refresh_token text NOT NULL, oauth_refresh_token_key_id text REFERENCES dbcrypt_keys (active_key_digest),
    oauth_expiry timestamptz NOT NULL DEFAULT now(), oauth_extra jsonb, UNIQUE (provider_id, user_id));
CREATE TABLE user_secrets (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(), user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    name text NOT NULL, description text NOT NULL DEFAULT '',
    value text NOT NULL, value_key_id text REFERENCES dbcrypt_keys (active_key_digest),
    env_name text NOT NULL DEFAULT '', file_path text NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL DEFAULT now(), updated_at timestamptz NOT NULL DEFAULT now());
CREATE UNIQUE INDEX ON user_secrets (user_id, name);
CREATE TRIGGER trigger_upsert_user_secrets BEFORE INSERT OR UPDATE ON user_secrets
    FOR EACH ROW EXECUTE FUNCTION fail_if_user_deleted('user_secret', 'user_secret_user_deleted');
CREATE TABLE gitsshkeys (
    user_id uuid PRIMARY KEY REFERENCES users, created_at timestamptz NOT NULL DEFAULT now(), updated_at timestamptz NOT NULL DEFAULT now(),
    private_key text NOT NULL, private_key_key_id text REFERENCES dbcrypt_keys (active_key_digest), public_key text NOT NULL);
CREATE TABLE crypto_keys (
    feature text NOT NULL, sequence int NOT NULL, secret text, secret_key_id text REFERENCES dbcrypt_keys (active_key_digest),
    starts_at timestamptz NOT NULL DEFAULT now(), deletes_at timestamptz, PRIMARY KEY (feature, sequence));

CREATE TABLE mcp_server_configs (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(), slug text NOT NULL UNIQUE, url text NOT NULL,
    auth_type text NOT NULL DEFAULT 'none' CHECK (auth_type IN ('none', 'oauth2', 'api_key', 'custom_headers')),
    oauth2_client_id text NOT NULL DEFAULT '',
    oauth2_client_secret text NOT NULL DEFAULT '', oauth2_client_secret_key_id text REFERENCES dbcrypt_keys (active_key_digest),
    api_key_header text NOT NULL DEFAULT 'Authorization',
    api_key_value text NOT NULL DEFAULT '', api_key_value_key_id text REFERENCES dbcrypt_keys (active_key_digest),
    custom_headers text NOT NULL DEFAULT '{}', custom_headers_key_id text REFERENCES dbcrypt_keys (active_key_digest),
    tool_allow_list text[] NOT NULL DEFAULT '{}', enabled boolean NOT NULL DEFAULT false,
    created_by uuid REFERENCES users ON DELETE SET NULL);
CREATE TABLE mcp_server_user_tokens (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    mcp_server_config_id uuid NOT NULL REFERENCES mcp_server_configs ON DELETE CASCADE,
    user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    access_token text NOT NULL, access_token_key_id text REFERENCES dbcrypt_keys (active_key_digest),
    refresh_token text NOT NULL DEFAULT '', refresh_token_key_id text REFERENCES dbcrypt_keys (active_key_digest),
    token_type text NOT NULL DEFAULT 'Bearer', expiry timestamptz, UNIQUE (mcp_server_config_id, user_id));
CREATE TABLE mcp_server_user_header_values (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    mcp_server_config_id uuid NOT NULL REFERENCES mcp_server_configs ON DELETE CASCADE,
    user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    header_values text NOT NULL DEFAULT '{}', header_values_key_id text REFERENCES dbcrypt_keys (active_key_digest),
    UNIQUE (mcp_server_config_id, user_id));
CREATE TABLE ai_providers (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(), name text NOT NULL UNIQUE, enabled boolean NOT NULL DEFAULT true,
    settings text, settings_key_id text REFERENCES dbcrypt_keys (active_key_digest));
CREATE TABLE ai_provider_keys (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(), provider_id uuid NOT NULL REFERENCES ai_providers ON DELETE CASCADE,
    api_key text NOT NULL, api_key_key_id text REFERENCES dbcrypt_keys (active_key_digest));
CREATE TABLE user_ai_provider_keys (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(), user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    ai_provider_id uuid NOT NULL REFERENCES ai_providers ON DELETE CASCADE,
    api_key text NOT NULL, api_key_key_id text REFERENCES dbcrypt_keys (active_key_digest),
    UNIQUE (user_id, ai_provider_id));
