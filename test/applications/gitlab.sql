-- Tables of GitLab's shape, for test/t/069_gitlab.pl: its names and types, NOT NULLs, uniques,
-- foreign keys, checks, triggers and partitions around every kind of encrypted column. Twelve
-- rows each (three where noted), whose encrypted columns test/clients/gitlab.rb fills.

CREATE TABLE namespaces (
    id bigserial PRIMARY KEY, name varchar NOT NULL, path varchar NOT NULL UNIQUE, traversal_ids bigint[] NOT NULL DEFAULT '{}',
    runners_token_encrypted varchar UNIQUE, updated_at timestamptz);
CREATE TABLE projects (
    id bigserial PRIMARY KEY, name varchar, namespace_id bigint NOT NULL REFERENCES namespaces ON DELETE CASCADE,
    runners_token_encrypted varchar UNIQUE, updated_at timestamptz);
CREATE TABLE namespaces_sync_events (id bigserial PRIMARY KEY, namespace_id bigint NOT NULL REFERENCES namespaces ON DELETE CASCADE);
CREATE TABLE projects_sync_events (id bigserial PRIMARY KEY, project_id bigint NOT NULL REFERENCES projects ON DELETE CASCADE);
INSERT INTO namespaces (name, path) SELECT 'group ' || i, 'group-' || i FROM generate_series(1, 12) i;
INSERT INTO projects (name, namespace_id) SELECT 'project ' || i, i FROM generate_series(1, 12) i;
CREATE TABLE users (
    id bigserial PRIMARY KEY, email varchar NOT NULL UNIQUE, encrypted_password varchar NOT NULL DEFAULT '',
    encrypted_otp_secret varchar, encrypted_otp_secret_iv varchar, encrypted_otp_secret_salt varchar,
    static_object_token_encrypted text UNIQUE, CHECK (char_length(static_object_token_encrypted) <= 255));
INSERT INTO users (email, encrypted_password) SELECT i || '@example.com', '$2a$10$' || repeat('x', 53) FROM generate_series(1, 12) i;

CREATE TABLE ci_variables (
    id bigserial PRIMARY KEY, project_id bigint NOT NULL REFERENCES projects ON DELETE CASCADE, encrypted_value text, encrypted_value_iv text, encrypted_value_salt text, created_at timestamptz NOT NULL DEFAULT now(), key varchar NOT NULL DEFAULT md5(random()::text), UNIQUE (project_id, key));
INSERT INTO ci_variables (project_id) SELECT i FROM generate_series(1, 12) i;
CREATE TABLE ci_pipeline_variables (
    id bigserial PRIMARY KEY, project_id bigint NOT NULL REFERENCES projects ON DELETE CASCADE, encrypted_value text, encrypted_value_iv text, encrypted_value_salt text, created_at timestamptz NOT NULL DEFAULT now(), key varchar NOT NULL DEFAULT md5(random()::text), UNIQUE (project_id, key));
INSERT INTO ci_pipeline_variables (project_id) SELECT i FROM generate_series(1, 12) i;
CREATE TABLE ci_pipeline_schedule_variables (
    id bigserial PRIMARY KEY, project_id bigint NOT NULL REFERENCES projects ON DELETE CASCADE, encrypted_value text, encrypted_value_iv text, encrypted_value_salt text, created_at timestamptz NOT NULL DEFAULT now(), key varchar NOT NULL DEFAULT md5(random()::text), UNIQUE (project_id, key));
INSERT INTO ci_pipeline_schedule_variables (project_id) SELECT i FROM generate_series(1, 12) i;
CREATE TABLE ci_group_variables (
    id bigserial PRIMARY KEY, namespace_id bigint NOT NULL REFERENCES namespaces ON DELETE CASCADE, encrypted_value text, encrypted_value_iv text, encrypted_value_salt text, created_at timestamptz NOT NULL DEFAULT now(), key varchar NOT NULL DEFAULT md5(random()::text), UNIQUE (namespace_id, key));
INSERT INTO ci_group_variables (namespace_id) SELECT i FROM generate_series(1, 12) i;
CREATE TABLE project_import_data (
    id bigserial PRIMARY KEY, project_id bigint NOT NULL REFERENCES projects ON DELETE CASCADE, encrypted_credentials text, encrypted_credentials_iv text, encrypted_credentials_salt text, created_at timestamptz NOT NULL DEFAULT now());
INSERT INTO project_import_data (project_id) SELECT i FROM generate_series(1, 12) i;
CREATE TABLE remote_mirrors (
    id bigserial PRIMARY KEY, project_id bigint NOT NULL REFERENCES projects ON DELETE CASCADE, encrypted_credentials text, encrypted_credentials_iv text, encrypted_credentials_salt text, created_at timestamptz NOT NULL DEFAULT now());
INSERT INTO remote_mirrors (project_id) SELECT i FROM generate_series(1, 12) i;
CREATE TABLE pages_domains (
    id bigserial PRIMARY KEY, project_id bigint NOT NULL REFERENCES projects ON DELETE CASCADE, encrypted_key text, encrypted_key_iv text, encrypted_key_salt text, created_at timestamptz NOT NULL DEFAULT now());
INSERT INTO pages_domains (project_id) SELECT i FROM generate_series(1, 3) i;
CREATE TABLE cluster_platforms_kubernetes (
    id bigserial PRIMARY KEY, project_id bigint NOT NULL REFERENCES projects ON DELETE CASCADE, encrypted_password text, encrypted_password_iv text, encrypted_token text, encrypted_token_iv text, created_at timestamptz NOT NULL DEFAULT now());
INSERT INTO cluster_platforms_kubernetes (project_id) SELECT i FROM generate_series(1, 12) i;
CREATE TABLE cluster_providers_gcp (
    id bigserial PRIMARY KEY, project_id bigint NOT NULL REFERENCES projects ON DELETE CASCADE, encrypted_access_token text, encrypted_access_token_iv text, created_at timestamptz NOT NULL DEFAULT now());
INSERT INTO cluster_providers_gcp (project_id) SELECT i FROM generate_series(1, 12) i;
CREATE TABLE web_hooks (
    id bigserial PRIMARY KEY, project_id bigint NOT NULL REFERENCES projects ON DELETE CASCADE, encrypted_url varchar, encrypted_url_iv varchar, encrypted_token varchar, encrypted_token_iv varchar, encrypted_url_variables bytea, encrypted_url_variables_iv bytea, CHECK (length(encrypted_url_variables) > 16 AND length(encrypted_url_variables) <= 4096), CHECK (length(encrypted_url_variables_iv) = 12), encrypted_custom_headers bytea, encrypted_custom_headers_iv bytea, CHECK (length(encrypted_custom_headers) > 16 AND length(encrypted_custom_headers) <= 4096), CHECK (length(encrypted_custom_headers_iv) = 12), created_at timestamptz NOT NULL DEFAULT now());
INSERT INTO web_hooks (project_id) SELECT i FROM generate_series(1, 12) i;
CREATE TABLE integrations (
    id bigserial PRIMARY KEY, project_id bigint NOT NULL REFERENCES projects ON DELETE CASCADE, encrypted_properties text, encrypted_properties_iv text, created_at timestamptz NOT NULL DEFAULT now());
INSERT INTO integrations (project_id) SELECT i FROM generate_series(1, 12) i;
CREATE TABLE jira_tracker_data (
    id bigserial PRIMARY KEY, project_id bigint NOT NULL REFERENCES projects ON DELETE CASCADE, encrypted_url varchar, encrypted_url_iv varchar, encrypted_api_url varchar, encrypted_api_url_iv varchar, encrypted_username varchar, encrypted_username_iv varchar, encrypted_password varchar, encrypted_password_iv varchar, created_at timestamptz NOT NULL DEFAULT now());
INSERT INTO jira_tracker_data (project_id) SELECT i FROM generate_series(1, 12) i;
CREATE TABLE issue_tracker_data (
    id bigserial PRIMARY KEY, project_id bigint NOT NULL REFERENCES projects ON DELETE CASCADE, encrypted_project_url varchar, encrypted_project_url_iv varchar, encrypted_issues_url varchar, encrypted_issues_url_iv varchar, encrypted_new_issue_url varchar, encrypted_new_issue_url_iv varchar, created_at timestamptz NOT NULL DEFAULT now());
INSERT INTO issue_tracker_data (project_id) SELECT i FROM generate_series(1, 12) i;
CREATE TABLE jira_connect_installations (
    id bigserial PRIMARY KEY, encrypted_shared_secret varchar, encrypted_shared_secret_iv varchar, created_at timestamptz NOT NULL DEFAULT now(), client_key varchar UNIQUE DEFAULT md5(random()::text));
INSERT INTO jira_connect_installations (created_at) SELECT now() FROM generate_series(1, 12);
CREATE TABLE clusters_integration_prometheus (
    id bigserial PRIMARY KEY, project_id bigint NOT NULL REFERENCES projects ON DELETE CASCADE, encrypted_alert_manager_token text, encrypted_alert_manager_token_iv text, created_at timestamptz NOT NULL DEFAULT now());
INSERT INTO clusters_integration_prometheus (project_id) SELECT i FROM generate_series(1, 12) i;
CREATE TABLE alert_management_http_integrations (
    id bigserial PRIMARY KEY, project_id bigint NOT NULL REFERENCES projects ON DELETE CASCADE, encrypted_token text NOT NULL, encrypted_token_iv text NOT NULL, created_at timestamptz NOT NULL DEFAULT now());
INSERT INTO alert_management_http_integrations (project_id, encrypted_token, encrypted_token_iv) SELECT i, '-' || i, '-' || i FROM generate_series(1, 12) i;
CREATE TABLE project_alerting_settings (
    id bigserial PRIMARY KEY, project_id bigint NOT NULL REFERENCES projects ON DELETE CASCADE, encrypted_token varchar NOT NULL, encrypted_token_iv varchar NOT NULL, created_at timestamptz NOT NULL DEFAULT now());
INSERT INTO project_alerting_settings (project_id, encrypted_token, encrypted_token_iv) SELECT i, '-' || i, '-' || i FROM generate_series(1, 12) i;
CREATE TABLE project_error_tracking_settings (
    id bigserial PRIMARY KEY, project_id bigint NOT NULL REFERENCES projects ON DELETE CASCADE, encrypted_token varchar, encrypted_token_iv varchar, created_at timestamptz NOT NULL DEFAULT now());
INSERT INTO project_error_tracking_settings (project_id) SELECT i FROM generate_series(1, 12) i;
CREATE TABLE cluster_providers_aws (
    id bigserial PRIMARY KEY, project_id bigint NOT NULL REFERENCES projects ON DELETE CASCADE, encrypted_secret_access_key text, encrypted_secret_access_key_iv text, created_at timestamptz NOT NULL DEFAULT now());
INSERT INTO cluster_providers_aws (project_id) SELECT i FROM generate_series(1, 12) i;
CREATE TABLE ci_instance_variables (
    id bigserial PRIMARY KEY, encrypted_value text, encrypted_value_iv text, created_at timestamptz NOT NULL DEFAULT now(), key text NOT NULL UNIQUE DEFAULT md5(random()::text));
INSERT INTO ci_instance_variables (created_at) SELECT now() FROM generate_series(1, 12);
CREATE TABLE ci_job_variables (
    id bigserial PRIMARY KEY, project_id bigint NOT NULL REFERENCES projects ON DELETE CASCADE, encrypted_value text, encrypted_value_iv text, created_at timestamptz NOT NULL DEFAULT now());
INSERT INTO ci_job_variables (project_id) SELECT i FROM generate_series(1, 12) i;
CREATE TABLE pages_domain_acme_orders (
    id bigserial PRIMARY KEY, project_id bigint NOT NULL REFERENCES projects ON DELETE CASCADE, encrypted_private_key text NOT NULL, encrypted_private_key_iv text NOT NULL, created_at timestamptz NOT NULL DEFAULT now());
INSERT INTO pages_domain_acme_orders (project_id, encrypted_private_key, encrypted_private_key_iv) SELECT i, '-' || i, '-' || i FROM generate_series(1, 12) i;
CREATE TABLE serverless_domain_cluster (
    id bigserial PRIMARY KEY, project_id bigint NOT NULL REFERENCES projects ON DELETE CASCADE, encrypted_key text, encrypted_key_iv text, created_at timestamptz NOT NULL DEFAULT now());
INSERT INTO serverless_domain_cluster (project_id) SELECT i FROM generate_series(1, 12) i;
CREATE TABLE bulk_import_configurations (
    id bigserial PRIMARY KEY, project_id bigint NOT NULL REFERENCES projects ON DELETE CASCADE, encrypted_url text, encrypted_url_iv text, encrypted_access_token text, encrypted_access_token_iv text, created_at timestamptz NOT NULL DEFAULT now());
INSERT INTO bulk_import_configurations (project_id) SELECT i FROM generate_series(1, 12) i;
CREATE TABLE geo_nodes (
    id bigserial PRIMARY KEY, encrypted_secret_access_key varchar, encrypted_secret_access_key_iv varchar, created_at timestamptz NOT NULL DEFAULT now(), name varchar NOT NULL UNIQUE DEFAULT md5(random()::text));
INSERT INTO geo_nodes (created_at) SELECT now() FROM generate_series(1, 12);
CREATE TABLE status_page_settings (
    id bigserial PRIMARY KEY, project_id bigint NOT NULL REFERENCES projects ON DELETE CASCADE, encrypted_aws_secret_key varchar(255) NOT NULL, encrypted_aws_secret_key_iv varchar(255) NOT NULL, created_at timestamptz NOT NULL DEFAULT now());
INSERT INTO status_page_settings (project_id, encrypted_aws_secret_key, encrypted_aws_secret_key_iv) SELECT i, '-' || i, '-' || i FROM generate_series(1, 12) i;
CREATE TABLE grafana_integrations (
    id bigserial PRIMARY KEY, project_id bigint NOT NULL REFERENCES projects ON DELETE CASCADE, encrypted_token varchar(255) NOT NULL, encrypted_token_iv varchar(255) NOT NULL, created_at timestamptz NOT NULL DEFAULT now());
INSERT INTO grafana_integrations (project_id, encrypted_token, encrypted_token_iv) SELECT i, '-' || i, '-' || i FROM generate_series(1, 12) i;
CREATE TABLE packages_debian_project_distribution_keys (
    id bigserial PRIMARY KEY, project_id bigint NOT NULL REFERENCES projects ON DELETE CASCADE, encrypted_private_key text NOT NULL, encrypted_private_key_iv text NOT NULL, encrypted_passphrase text NOT NULL, encrypted_passphrase_iv text NOT NULL, created_at timestamptz NOT NULL DEFAULT now());
INSERT INTO packages_debian_project_distribution_keys (project_id, encrypted_private_key, encrypted_private_key_iv, encrypted_passphrase, encrypted_passphrase_iv) SELECT i, '-' || i, '-' || i, '-' || i, '-' || i FROM generate_series(1, 12) i;
CREATE TABLE packages_debian_group_distribution_keys (
    id bigserial PRIMARY KEY, namespace_id bigint NOT NULL REFERENCES namespaces ON DELETE CASCADE, encrypted_private_key text NOT NULL, encrypted_private_key_iv text NOT NULL, encrypted_passphrase text NOT NULL, encrypted_passphrase_iv text NOT NULL, created_at timestamptz NOT NULL DEFAULT now());
INSERT INTO packages_debian_group_distribution_keys (namespace_id, encrypted_private_key, encrypted_private_key_iv, encrypted_passphrase, encrypted_passphrase_iv) SELECT i, '-' || i, '-' || i, '-' || i, '-' || i FROM generate_series(1, 12) i;
CREATE TABLE alerting_self_monitoring (
    id bigserial PRIMARY KEY, project_id bigint NOT NULL REFERENCES projects ON DELETE CASCADE, encrypted_alerting_token text, encrypted_alerting_token_iv text, created_at timestamptz NOT NULL DEFAULT now());
INSERT INTO alerting_self_monitoring (project_id) SELECT i FROM generate_series(1, 12) i;
CREATE TABLE zentao_tracker_data (
    id bigserial PRIMARY KEY, project_id bigint NOT NULL REFERENCES projects ON DELETE CASCADE, encrypted_url bytea, encrypted_url_iv bytea, CHECK (length(encrypted_url) > 16 AND length(encrypted_url) <= 4096), CHECK (length(encrypted_url_iv) = 12), encrypted_api_url bytea, encrypted_api_url_iv bytea, CHECK (length(encrypted_api_url) > 16 AND length(encrypted_api_url) <= 4096), CHECK (length(encrypted_api_url_iv) = 12), encrypted_zentao_product_xid bytea, encrypted_zentao_product_xid_iv bytea, CHECK (length(encrypted_zentao_product_xid) > 16 AND length(encrypted_zentao_product_xid) <= 4096), CHECK (length(encrypted_zentao_product_xid_iv) = 12), encrypted_api_token bytea, encrypted_api_token_iv bytea, CHECK (length(encrypted_api_token) > 16 AND length(encrypted_api_token) <= 4096), CHECK (length(encrypted_api_token_iv) = 12), created_at timestamptz NOT NULL DEFAULT now());
INSERT INTO zentao_tracker_data (project_id) SELECT i FROM generate_series(1, 12) i;
CREATE TABLE slack_integrations (
    id bigserial PRIMARY KEY, project_id bigint NOT NULL REFERENCES projects ON DELETE CASCADE, encrypted_bot_access_token bytea, encrypted_bot_access_token_iv bytea, CHECK (length(encrypted_bot_access_token) > 16 AND length(encrypted_bot_access_token) <= 4096), CHECK (length(encrypted_bot_access_token_iv) = 12), created_at timestamptz NOT NULL DEFAULT now());
INSERT INTO slack_integrations (project_id) SELECT i FROM generate_series(1, 12) i;
CREATE TABLE dast_site_profile_secret_variables (
    id bigserial PRIMARY KEY, project_id bigint NOT NULL REFERENCES projects ON DELETE CASCADE, encrypted_value bytea NOT NULL, encrypted_value_iv bytea NOT NULL, CHECK (length(encrypted_value) > 16 AND length(encrypted_value) <= 4096), CHECK (length(encrypted_value_iv) = 12), created_at timestamptz NOT NULL DEFAULT now(), key text NOT NULL DEFAULT md5(random()::text), UNIQUE (project_id, key));
INSERT INTO dast_site_profile_secret_variables (project_id, encrypted_value, encrypted_value_iv) SELECT i, decode(repeat('00', 30), 'hex'), decode(repeat('00', 12), 'hex') FROM generate_series(1, 12) i;
CREATE TABLE project_incident_management_settings (
    id bigserial PRIMARY KEY, project_id bigint NOT NULL REFERENCES projects ON DELETE CASCADE, encrypted_pagerduty_token bytea, encrypted_pagerduty_token_iv bytea, CHECK (length(encrypted_pagerduty_token) > 16 AND length(encrypted_pagerduty_token) <= 4096), CHECK (length(encrypted_pagerduty_token_iv) = 12), created_at timestamptz NOT NULL DEFAULT now());
INSERT INTO project_incident_management_settings (project_id) SELECT i FROM generate_series(1, 12) i;
CREATE TABLE audit_events_google_cloud_logging_configurations (
    id bigserial PRIMARY KEY, namespace_id bigint NOT NULL REFERENCES namespaces ON DELETE CASCADE, encrypted_private_key bytea NOT NULL, encrypted_private_key_iv bytea NOT NULL, CHECK (length(encrypted_private_key) > 16 AND length(encrypted_private_key) <= 4096), CHECK (length(encrypted_private_key_iv) = 12), created_at timestamptz NOT NULL DEFAULT now());
INSERT INTO audit_events_google_cloud_logging_configurations (namespace_id, encrypted_private_key, encrypted_private_key_iv) SELECT i, decode(repeat('00', 30), 'hex'), decode(repeat('00', 12), 'hex') FROM generate_series(1, 12) i;
CREATE TABLE audit_events_amazon_s3_configurations (
    id bigserial PRIMARY KEY, namespace_id bigint NOT NULL REFERENCES namespaces ON DELETE CASCADE, encrypted_secret_access_key bytea NOT NULL, encrypted_secret_access_key_iv bytea NOT NULL, CHECK (length(encrypted_secret_access_key) > 16 AND length(encrypted_secret_access_key) <= 4096), CHECK (length(encrypted_secret_access_key_iv) = 12), created_at timestamptz NOT NULL DEFAULT now());
INSERT INTO audit_events_amazon_s3_configurations (namespace_id, encrypted_secret_access_key, encrypted_secret_access_key_iv) SELECT i, decode(repeat('00', 30), 'hex'), decode(repeat('00', 12), 'hex') FROM generate_series(1, 12) i;
CREATE TABLE service_desk_custom_email_credentials (
    id bigserial PRIMARY KEY, project_id bigint NOT NULL REFERENCES projects ON DELETE CASCADE, encrypted_smtp_username bytea NOT NULL, encrypted_smtp_username_iv bytea NOT NULL, CHECK (length(encrypted_smtp_username) > 16 AND length(encrypted_smtp_username) <= 4096), CHECK (length(encrypted_smtp_username_iv) = 12), encrypted_smtp_password bytea NOT NULL, encrypted_smtp_password_iv bytea NOT NULL, CHECK (length(encrypted_smtp_password) > 16 AND length(encrypted_smtp_password) <= 4096), CHECK (length(encrypted_smtp_password_iv) = 12), created_at timestamptz NOT NULL DEFAULT now());
INSERT INTO service_desk_custom_email_credentials (project_id, encrypted_smtp_username, encrypted_smtp_username_iv, encrypted_smtp_password, encrypted_smtp_password_iv) SELECT i, decode(repeat('00', 30), 'hex'), decode(repeat('00', 12), 'hex'), decode(repeat('00', 30), 'hex'), decode(repeat('00', 12), 'hex') FROM generate_series(1, 12) i;
CREATE TABLE ai_self_hosted_models (
    id bigserial PRIMARY KEY, encrypted_api_token bytea, encrypted_api_token_iv bytea, CHECK (length(encrypted_api_token) > 16 AND length(encrypted_api_token) <= 4096), CHECK (length(encrypted_api_token_iv) = 12), created_at timestamptz NOT NULL DEFAULT now(), name text NOT NULL UNIQUE DEFAULT md5(random()::text));
INSERT INTO ai_self_hosted_models (created_at) SELECT now() FROM generate_series(1, 12);
CREATE TABLE product_analytics_settings (
    id bigserial PRIMARY KEY, project_id bigint NOT NULL REFERENCES projects ON DELETE CASCADE, encrypted_snowplow_password bytea, encrypted_snowplow_password_iv bytea, CHECK (length(encrypted_snowplow_password) > 16 AND length(encrypted_snowplow_password) <= 4096), CHECK (length(encrypted_snowplow_password_iv) = 12), created_at timestamptz NOT NULL DEFAULT now());
INSERT INTO product_analytics_settings (project_id) SELECT i FROM generate_series(1, 12) i;
CREATE TABLE ci_runners (
    id bigserial PRIMARY KEY, token_encrypted varchar, created_at timestamptz NOT NULL DEFAULT now(), UNIQUE (token_encrypted));
INSERT INTO ci_runners (created_at) SELECT now() FROM generate_series(1, 12);
CREATE TABLE deploy_tokens (
    id bigserial PRIMARY KEY, project_id bigint NOT NULL REFERENCES projects ON DELETE CASCADE, token_encrypted text, created_at timestamptz NOT NULL DEFAULT now(), UNIQUE (token_encrypted));
INSERT INTO deploy_tokens (project_id) SELECT i FROM generate_series(1, 12) i;
CREATE TABLE cluster_agent_tokens (
    id bigserial PRIMARY KEY, project_id bigint NOT NULL REFERENCES projects ON DELETE CASCADE, token_encrypted text NOT NULL, created_at timestamptz NOT NULL DEFAULT now(), UNIQUE (token_encrypted));
INSERT INTO cluster_agent_tokens (project_id, token_encrypted) SELECT i, '-' || i FROM generate_series(1, 12) i;
CREATE TABLE operations_feature_flags_clients (
    id bigserial PRIMARY KEY, project_id bigint NOT NULL REFERENCES projects ON DELETE CASCADE, token_encrypted varchar, created_at timestamptz NOT NULL DEFAULT now(), UNIQUE (project_id, token_encrypted));
INSERT INTO operations_feature_flags_clients (project_id) SELECT i FROM generate_series(1, 12) i;
CREATE TABLE application_settings (
    id bigserial PRIMARY KEY, encrypted_ci_jwt_signing_key text, encrypted_ci_jwt_signing_key_iv text, encrypted_asset_proxy_secret_key text, encrypted_asset_proxy_secret_key_iv text, encrypted_slack_app_secret bytea, encrypted_slack_app_secret_iv bytea, CHECK (length(encrypted_slack_app_secret) > 16 AND length(encrypted_slack_app_secret) <= 4096), CHECK (length(encrypted_slack_app_secret_iv) = 12), runners_registration_token_encrypted varchar, error_tracking_access_token_encrypted text, created_at timestamptz NOT NULL DEFAULT now());
INSERT INTO application_settings (created_at) SELECT now() FROM generate_series(1, 12);

-- Partitioned, with a unique index that holds the token.
CREATE TABLE p_ci_builds (
    id bigserial, partition_id bigint NOT NULL, name varchar, token_encrypted varchar,
    PRIMARY KEY (id, partition_id), UNIQUE (token_encrypted, partition_id)) PARTITION BY LIST (partition_id);
CREATE TABLE ci_builds PARTITION OF p_ci_builds FOR VALUES IN (100);
CREATE TABLE ci_builds_101 PARTITION OF p_ci_builds FOR VALUES IN (101);
INSERT INTO p_ci_builds (partition_id, name) SELECT 100 + i % 2, 'build ' || i FROM generate_series(1, 12) i;

-- What hangs on db_key_base and is not encrypted, and what has keys of its own.
CREATE TABLE personal_access_tokens (
    id bigserial PRIMARY KEY, user_id bigint NOT NULL REFERENCES users, name varchar NOT NULL, token_digest varchar UNIQUE);
INSERT INTO personal_access_tokens (user_id, name, token_digest)
    SELECT i, 'token', encode(sha256(int4send(i)), 'base64') FROM generate_series(1, 12) i;
CREATE TABLE web_hook_logs (
    id bigserial, web_hook_id bigint NOT NULL, url_hash text, created_at timestamp NOT NULL, PRIMARY KEY (id, created_at))
    PARTITION BY RANGE (created_at);
CREATE TABLE web_hook_logs_202601 PARTITION OF web_hook_logs FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
INSERT INTO web_hook_logs (web_hook_id, url_hash, created_at) SELECT i, encode(sha256(int4send(-i)), 'hex'), '2026-01-02' FROM generate_series(1, 12) i;
ALTER TABLE ai_self_hosted_models ADD tmp_api_token jsonb;
CREATE TABLE virtual_registries_packages_maven_upstreams (
    id bigserial PRIMARY KEY, namespace_id bigint NOT NULL REFERENCES namespaces, username jsonb, password jsonb);
INSERT INTO virtual_registries_packages_maven_upstreams (namespace_id, username, password)
    SELECT i, v, v FROM generate_series(1, 12) i,
    LATERAL (SELECT jsonb_build_object('p', encode(sha256(int4send(i)), 'base64'), 'h', jsonb_build_object('iv', 'x', 'at', 'y')) AS v) x;

-- Triggers as GitLab has them: of sharding keys, of timestamps, and two that copy.
CREATE FUNCTION set_updated_at() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.updated_at := now(); RETURN NEW; END $$;
CREATE TRIGGER nullify_updated_at BEFORE UPDATE ON namespaces FOR EACH ROW EXECUTE FUNCTION set_updated_at();
CREATE TRIGGER nullify_updated_at BEFORE UPDATE ON projects FOR EACH ROW EXECUTE FUNCTION set_updated_at();
CREATE FUNCTION insert_namespaces_sync_event() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN INSERT INTO namespaces_sync_events (namespace_id) VALUES (COALESCE(NEW.id, OLD.id)); RETURN NULL; END $$;
CREATE TRIGGER trigger_namespaces_traversal_ids_on_update AFTER UPDATE ON namespaces
    FOR EACH ROW WHEN (OLD.traversal_ids IS DISTINCT FROM NEW.traversal_ids) EXECUTE FUNCTION insert_namespaces_sync_event();
CREATE FUNCTION insert_projects_sync_event() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN INSERT INTO projects_sync_events (project_id) VALUES (COALESCE(NEW.id, OLD.id)); RETURN NULL; END $$;
CREATE TRIGGER trigger_projects_parent_id_on_update AFTER UPDATE ON projects
    FOR EACH ROW WHEN (OLD.namespace_id IS DISTINCT FROM NEW.namespace_id) EXECUTE FUNCTION insert_projects_sync_event();
