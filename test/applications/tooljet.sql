-- ToolJet: every place of an encrypted value, and what it hangs on.
CREATE TABLE organizations (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(), name varchar NOT NULL, slug varchar UNIQUE,
    created_at timestamp DEFAULT now(), updated_at timestamp DEFAULT now());
CREATE TABLE users (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(), email varchar NOT NULL UNIQUE,
    password_digest varchar, created_at timestamp DEFAULT now(), updated_at timestamp DEFAULT now());
CREATE TABLE app_environments (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    organization_id uuid NOT NULL REFERENCES organizations ON DELETE CASCADE,
    name varchar NOT NULL, "default" boolean DEFAULT false, priority int NOT NULL DEFAULT 1,
    created_at timestamp DEFAULT now(), updated_at timestamp DEFAULT now(),
    UNIQUE (name, organization_id));
CREATE TABLE credentials (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(), value_ciphertext varchar,
    created_at timestamp DEFAULT now(), updated_at timestamp DEFAULT now());

CREATE TYPE organization_constant_type AS ENUM ('Global', 'Secret');
CREATE TABLE organization_constants (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(), constant_name varchar NOT NULL,
    organization_id uuid NOT NULL REFERENCES organizations ON DELETE CASCADE,
    type organization_constant_type NOT NULL DEFAULT 'Global',
    created_at timestamp DEFAULT now(), updated_at timestamp DEFAULT now(),
    UNIQUE (constant_name, organization_id, type));
CREATE TABLE org_environment_constant_values (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    organization_constant_id uuid NOT NULL REFERENCES organization_constants ON DELETE CASCADE,
    environment_id uuid NOT NULL REFERENCES app_environments ON DELETE CASCADE,
    value varchar, created_at timestamp DEFAULT now(), updated_at timestamp DEFAULT now(),
    UNIQUE (organization_constant_id, environment_id));
CREATE TABLE workspace_branches (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    organization_id uuid NOT NULL REFERENCES organizations ON DELETE CASCADE,
    name varchar(255) NOT NULL, is_default boolean NOT NULL DEFAULT false,
    source_branch_id uuid REFERENCES workspace_branches ON DELETE SET NULL,
    created_at timestamp NOT NULL DEFAULT now(), updated_at timestamp NOT NULL DEFAULT now(),
    UNIQUE (organization_id, name));
CREATE TABLE organization_constant_versions (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    organization_constant_id uuid NOT NULL REFERENCES organization_constants ON DELETE CASCADE,
    branch_id uuid NOT NULL REFERENCES workspace_branches ON DELETE CASCADE,
    is_active boolean NOT NULL DEFAULT true,
    created_at timestamp NOT NULL DEFAULT now(), updated_at timestamp NOT NULL DEFAULT now(),
    UNIQUE (organization_constant_id, branch_id));
CREATE TABLE organization_constant_version_values (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    constant_version_id uuid NOT NULL REFERENCES organization_constant_versions ON DELETE CASCADE,
    environment_id uuid NOT NULL REFERENCES app_environments ON DELETE CASCADE,
    value text NOT NULL DEFAULT '',
    created_at timestamp NOT NULL DEFAULT now(), updated_at timestamp NOT NULL DEFAULT now(),
    UNIQUE (constant_version_id, environment_id));

CREATE TYPE variable_type AS ENUM ('client', 'server');
CREATE TABLE org_environment_variables (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    organization_id uuid NOT NULL REFERENCES organizations ON DELETE CASCADE,
    variable_name varchar NOT NULL, value varchar NOT NULL, variable_type variable_type NOT NULL,
    encrypted boolean DEFAULT false,
    created_at timestamp DEFAULT now(), updated_at timestamp DEFAULT now(),
    UNIQUE (variable_name, variable_type, organization_id));
CREATE TABLE sso_configs (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    organization_id uuid REFERENCES organizations ON DELETE CASCADE,
    sso varchar NOT NULL, config_scope varchar NOT NULL DEFAULT 'organization', configs json,
    enabled boolean DEFAULT true,
    created_at timestamp DEFAULT now(), updated_at timestamp DEFAULT now());
CREATE TABLE organization_tjdb_configurations (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    organization_id uuid NOT NULL UNIQUE REFERENCES organizations ON DELETE CASCADE,
    pg_user varchar NOT NULL, pg_password varchar NOT NULL,
    created_at timestamp DEFAULT now(), updated_at timestamp DEFAULT now());
CREATE TABLE user_details (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    organization_id uuid REFERENCES organizations ON DELETE CASCADE,
    sso_user_info json, user_metadata text,
    created_at timestamp DEFAULT now(), updated_at timestamp DEFAULT now(),
    UNIQUE (user_id, organization_id));

CREATE TABLE data_sources (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(), name varchar NOT NULL, kind varchar NOT NULL,
    organization_id uuid REFERENCES organizations ON DELETE CASCADE, scope varchar NOT NULL DEFAULT 'global');
CREATE TABLE data_source_versions (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    data_source_id uuid NOT NULL REFERENCES data_sources ON DELETE CASCADE,
    branch_id uuid NOT NULL REFERENCES workspace_branches ON DELETE CASCADE, name varchar(255) NOT NULL,
    is_active boolean NOT NULL DEFAULT true, UNIQUE (data_source_id, branch_id));
CREATE TABLE data_source_version_options (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    data_source_version_id uuid NOT NULL REFERENCES data_source_versions ON DELETE CASCADE,
    environment_id uuid NOT NULL REFERENCES app_environments ON DELETE CASCADE,
    options jsonb NOT NULL DEFAULT '{}', UNIQUE (data_source_version_id, environment_id));
CREATE TABLE datasource_user_token_data (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(), user_id uuid,
    data_source_version_option_id uuid NOT NULL REFERENCES data_source_version_options ON DELETE CASCADE,
    auth_token text, refresh_token text, more_details jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now(), updated_at timestamptz NOT NULL DEFAULT now());
CREATE UNIQUE INDEX ON datasource_user_token_data (data_source_version_option_id, user_id) WHERE user_id IS NOT NULL;
CREATE UNIQUE INDEX ON datasource_user_token_data (data_source_version_option_id) WHERE user_id IS NULL;

CREATE TABLE instance_settings (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(), key varchar NOT NULL UNIQUE, value varchar NOT NULL,
    created_at timestamp DEFAULT now(), updated_at timestamp DEFAULT now());

CREATE TABLE organization_git_sync (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    organization_id uuid NOT NULL REFERENCES organizations ON DELETE CASCADE,
    auto_commit boolean DEFAULT false, schema_version varchar NOT NULL DEFAULT '1.0.0',
    active_branch_id uuid REFERENCES workspace_branches ON DELETE SET NULL,
    created_at timestamp DEFAULT now(), updated_at timestamp DEFAULT now());
CREATE TABLE organization_git_https (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    config_id uuid NOT NULL UNIQUE REFERENCES organization_git_sync ON DELETE CASCADE,
    https_url varchar NOT NULL, github_branch varchar NOT NULL, github_app_id varchar NOT NULL,
    github_installation_id varchar NOT NULL, github_enterprise_url varchar, github_enterprise_api_url varchar,
    github_private_key text NOT NULL, is_finalized boolean NOT NULL DEFAULT false, is_enabled boolean DEFAULT false,
    created_at timestamp NOT NULL DEFAULT now(), updated_at timestamp NOT NULL DEFAULT now());
CREATE TYPE ssh_key_type AS ENUM ('rsa', 'ed25519');
CREATE TABLE organization_git_ssh (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    config_id uuid NOT NULL UNIQUE REFERENCES organization_git_sync ON DELETE CASCADE,
    git_url varchar, git_branch varchar, ssh_private_key varchar, ssh_public_key varchar,
    key_type ssh_key_type NOT NULL DEFAULT 'ed25519', is_finalized boolean NOT NULL DEFAULT false,
    is_enabled boolean DEFAULT false, created_at timestamp DEFAULT now(), updated_at timestamp DEFAULT now());
CREATE TABLE organization_gitlab (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    config_id uuid NOT NULL UNIQUE REFERENCES organization_git_sync ON DELETE CASCADE,
    gitlab_url varchar NOT NULL, gitlab_branch varchar NOT NULL, gitlab_project_id varchar NOT NULL,
    gitlab_project_access_token varchar, gitlab_enterprise_url varchar, is_finalized boolean NOT NULL DEFAULT false,
    is_enabled boolean DEFAULT false, created_at timestamp DEFAULT now(), updated_at timestamp DEFAULT now());
CREATE TABLE organization_bitbucket (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    config_id uuid NOT NULL UNIQUE REFERENCES organization_git_sync ON DELETE CASCADE,
    bitbucket_workspace varchar NOT NULL, bitbucket_repo_slug varchar NOT NULL, bitbucket_branch varchar NOT NULL,
    bitbucket_access_token varchar, is_finalized boolean NOT NULL DEFAULT false,
    is_enabled boolean NOT NULL DEFAULT false,
    created_at timestamp DEFAULT now(), updated_at timestamp DEFAULT now());
CREATE TABLE organization_ai_keys (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    organization_id uuid NOT NULL UNIQUE REFERENCES organizations ON DELETE CASCADE,
    encrypted_key text NOT NULL, provider varchar(50) NOT NULL DEFAULT 'anthropic',
    model varchar(120), context_window int, use_environment_config boolean NOT NULL DEFAULT false,
    created_at timestamp NOT NULL DEFAULT now(), updated_at timestamp NOT NULL DEFAULT now(),
    CHECK (provider IN ('anthropic', 'gemini', 'openai', 'tooljet_managed')));
CREATE UNIQUE INDEX ON organization_ai_keys (organization_id);
