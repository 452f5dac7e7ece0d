# ToolJet's tables, every place of an encrypted value written and read by another
# program: all adopted, those that its own script forgets included, and rotated; what
# cannot be adopted keeps nothing else from it.
use strict;
use warnings FATAL => 'all';

use DbcryptTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

plan skip_all => 'Node is not installed' unless client_available();

my ($old, $new) = map { secret_key("tooljet $_") } 1 .. 2;
my $node = new_node('tooljet', keys => [$old], start => 0);
$node->start;

# Twenty values of each place under the names that ToolJet derives its keys with, the
# seventh of them the empty string: ToolJet encrypts that too. In the eighth row of some
# places it has left '' as it is.
my $plain = q{
	CREATE SCHEMA t;
	CREATE FUNCTION t.uid(kind text, i int) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$ SELECT md5(kind || ' ' || i)::uuid $$;
	CREATE TABLE t.plain AS
		SELECT place, i AS id, CASE WHEN i = 7 THEN '' ELSE place || ' sécret ' || i END AS plaintext, tab,
			CASE attribute WHEN 'organization' THEN t.uid('organization', 1 + i % 3)::text ELSE attribute END AS attribute
		FROM (VALUES ('credentials', 'credentials', 'value'), ('constant', 'org_environment_constant_values', 'organization'),
				('version', 'org_environment_constant_values', 'organization'), ('variable', 'org_environment_variables', 'organization'),
				('sso', 'ssoConfigs', 'clientSecret'), ('sso', 'ssoConfigs', 'OIDC_SECRET_key'),
				('tjdb', 'organization_tjdb_configurations', 'pg_password'), ('details', 'user_details', 'userMetadata'),
				('auth', 'credentials', 'value'), ('refresh', 'credentials', 'value'),
				('https', 'organization_git_https', 'github_private_key'), ('ssh', 'organization_git_ssh', 'ssh_private_key'),
				('gitlab', 'organization_gitlab', 'gitlab_project_access_token'),
				('bitbucket', 'organization_bitbucket', 'bitbucket_access_token'),
				('ai', 'organization_ai_keys', 'encrypted_key')) AS places (place, tab, attribute),
			generate_series(1, 20) i;
	INSERT INTO t.plain SELECT 'setting', i, CASE WHEN i > 4 THEN '' ELSE 'sétting ' || i END, 'instance_settings', key
		FROM unnest(ARRAY['SMTP_PASSWORD', 'LLM_API_KEY', 'SSL_FULLCHAIN_PEM', 'SSL_PRIVKEY_PEM', 'SSL_CERT_PEM', 'SSL_CHAIN_PEM']) WITH ORDINALITY AS keys (key, i);
	DELETE FROM t.plain WHERE place IN ('constant', 'version', 'sso') AND id = 8;
};

# The application's rows, of the values that the other program has sealed.
my $rows = q{
	CREATE VIEW t.written AS SELECT j->>'place' AS place, (j->>'id')::int AS id, j->>'attribute' AS attribute, j->>'value' AS v FROM t.sealed;
	CREATE FUNCTION t.v(place text, id int) RETURNS text LANGUAGE sql AS $$ SELECT v FROM t.written w WHERE w.place = $1 AND w.id = $2 ORDER BY attribute DESC LIMIT 1 $$;
	CREATE FUNCTION t.one(i int) RETURNS int LANGUAGE sql AS 'SELECT 1 + i % 3';

	INSERT INTO organizations (id, name) SELECT t.uid('organization', i), 'o' FROM generate_series(1, 20) i;
	INSERT INTO users (id, email) SELECT t.uid('user', i), i || '@x' FROM generate_series(1, 20) i;
	INSERT INTO app_environments (id, organization_id, name) SELECT t.uid('environment', i), t.uid('organization', i), 'production' FROM generate_series(1, 3) i;
	INSERT INTO workspace_branches (id, organization_id, name) SELECT t.uid('branch', i), t.uid('organization', i), 'main' FROM generate_series(1, 3) i;
	INSERT INTO credentials (id, value_ciphertext) SELECT t.uid('credentials', i), t.v('credentials', i) FROM generate_series(1, 20) i;
	INSERT INTO credentials (value_ciphertext) VALUES (NULL), ('');
	INSERT INTO organization_constants (id, constant_name, organization_id, type) SELECT t.uid('constant', i), 'c' || i, t.uid('organization', t.one(i)), 'Secret' FROM generate_series(1, 20) i;
	INSERT INTO org_environment_constant_values (id, organization_constant_id, environment_id, value)
		SELECT t.uid('constant', i), t.uid('constant', i), t.uid('environment', t.one(i)), CASE WHEN i = 8 THEN '' ELSE t.v('constant', i) END FROM generate_series(1, 20) i;
	INSERT INTO organization_constant_versions (id, organization_constant_id, branch_id) SELECT t.uid('version', i), t.uid('constant', i), t.uid('branch', t.one(i)) FROM generate_series(1, 20) i;
	INSERT INTO organization_constant_version_values (id, constant_version_id, environment_id, value)
		SELECT t.uid('version', i), t.uid('version', i), t.uid('environment', t.one(i)), CASE WHEN i = 8 THEN '' ELSE t.v('version', i) END FROM generate_series(1, 20) i;
	INSERT INTO org_environment_variables (id, organization_id, variable_name, value, variable_type, encrypted)
		SELECT t.uid('variable', i), t.uid('organization', t.one(i)), 'v' || i, t.v('variable', i), 'server', true FROM generate_series(1, 20) i;
	INSERT INTO org_environment_variables (organization_id, variable_name, value, variable_type, encrypted)
		SELECT t.uid('organization', 1), 'open' || i, 'in the open', 'client', CASE WHEN i < 5 THEN false END FROM generate_series(1, 5) i;
	INSERT INTO sso_configs (id, organization_id, sso, configs)
		SELECT t.uid('sso', i), t.uid('organization', i), 'openid', CASE WHEN i = 8 THEN '{"clientSecret": "", "OIDC_SECRET_key":"" }'
			ELSE '{"clientId":"id ' || i || '",  "clientSecret": "' || a.v || '","enabled":true, "ssl": {"serverSecret":"not encrypted"}, "OIDC_SECRET_key":"' || b.v || '", "secretive": 1}' END::json
		FROM generate_series(1, 20) i LEFT JOIN t.written a ON a.place = 'sso' AND a.id = i AND a.attribute = 'clientSecret'
			LEFT JOIN t.written b ON b.place = 'sso' AND b.id = i AND b.attribute = 'OIDC_SECRET_key';
	INSERT INTO sso_configs (sso, configs) VALUES ('form', NULL), ('form', '{"enabled": false}'), ('odd', '[{"secret": "plain"}]'), ('odd', '{"secret": null}');
	INSERT INTO organization_tjdb_configurations (id, organization_id, pg_user, pg_password) SELECT t.uid('tjdb', i), t.uid('organization', i), 'u', t.v('tjdb', i) FROM generate_series(1, 20) i;
	INSERT INTO user_details (id, user_id, organization_id, user_metadata) SELECT t.uid('details', i), t.uid('user', i), t.uid('organization', i), t.v('details', i) FROM generate_series(1, 20) i;
	INSERT INTO user_details (user_id) VALUES (t.uid('user', 1));
	INSERT INTO data_sources (id, name, kind) VALUES (t.uid('source', 1), 's', 'slack');
	INSERT INTO data_source_versions (id, data_source_id, branch_id, name) VALUES (t.uid('source', 1), t.uid('source', 1), t.uid('branch', 1), 's');
	INSERT INTO data_source_version_options (id, data_source_version_id, environment_id) VALUES (t.uid('source', 1), t.uid('source', 1), t.uid('environment', 1));
	INSERT INTO datasource_user_token_data (id, user_id, data_source_version_option_id, auth_token, refresh_token)
		SELECT t.uid('token', i), t.uid('user', i), t.uid('source', 1), t.v('auth', i), t.v('refresh', i) FROM generate_series(1, 20) i;
	INSERT INTO datasource_user_token_data (data_source_version_option_id) VALUES (t.uid('source', 1));
	INSERT INTO instance_settings (key, value) SELECT attribute, v FROM t.written WHERE place = 'setting';
	INSERT INTO instance_settings (key, value) VALUES ('SMTP_PORT', '587'), ('SMTP_DOMAIN', ''), ('SSL_ENABLED', 'false');
	INSERT INTO organization_git_sync (id, organization_id) SELECT t.uid('sync', i), t.uid('organization', i) FROM generate_series(1, 20) i;
	INSERT INTO organization_git_https (id, config_id, https_url, github_branch, github_app_id, github_installation_id, github_private_key)
		SELECT t.uid('https', i), t.uid('sync', i), '', '', '', '', t.v('https', i) FROM generate_series(1, 20) i;
	INSERT INTO organization_git_ssh (id, config_id, ssh_private_key) SELECT t.uid('ssh', i), t.uid('sync', i), t.v('ssh', i) FROM generate_series(1, 20) i;
	INSERT INTO organization_gitlab (id, config_id, gitlab_url, gitlab_branch, gitlab_project_id, gitlab_project_access_token)
		SELECT t.uid('gitlab', i), t.uid('sync', i), '', '', '', t.v('gitlab', i) FROM generate_series(1, 20) i;
	INSERT INTO organization_bitbucket (id, config_id, bitbucket_workspace, bitbucket_repo_slug, bitbucket_branch, bitbucket_access_token)
		SELECT t.uid('bitbucket', i), t.uid('sync', i), '', '', '', t.v('bitbucket', i) FROM generate_series(1, 20) i;
	INSERT INTO organization_ai_keys (id, organization_id, encrypted_key) SELECT t.uid('ai', i), t.uid('organization', i), t.v('ai', i) FROM generate_series(1, 20) i;
};

# What the application finds where.
my $stored = q{
	CREATE VIEW t.stored AS
		SELECT 'credentials' AS place, i AS id, 'value' AS attribute, value_ciphertext AS v FROM credentials, generate_series(1, 20) i WHERE id = t.uid('credentials', i)
		UNION ALL SELECT 'constant', i, o.organization_id::text, value FROM generate_series(1, 20) i, org_environment_constant_values v JOIN organization_constants o ON o.id = organization_constant_id WHERE v.id = t.uid('constant', i)
		UNION ALL SELECT 'version', i, o.organization_id::text, value FROM generate_series(1, 20) i, organization_constant_version_values v JOIN organization_constant_versions n ON n.id = constant_version_id
			JOIN organization_constants o ON o.id = n.organization_constant_id WHERE v.id = t.uid('version', i)
		UNION ALL SELECT 'variable', i, organization_id::text, value FROM org_environment_variables, generate_series(1, 20) i WHERE id = t.uid('variable', i)
		UNION ALL SELECT 'sso', i, key, value FROM generate_series(1, 20) i, sso_configs, json_each_text(CASE json_typeof(configs) WHEN 'object' THEN configs END) WHERE id = t.uid('sso', i)
		UNION ALL SELECT 'tjdb', i, 'pg_password', pg_password FROM organization_tjdb_configurations, generate_series(1, 20) i WHERE id = t.uid('tjdb', i)
		UNION ALL SELECT 'details', i, 'userMetadata', user_metadata FROM user_details, generate_series(1, 20) i WHERE id = t.uid('details', i)
		UNION ALL SELECT 'auth', i, 'value', auth_token FROM datasource_user_token_data, generate_series(1, 20) i WHERE id = t.uid('token', i)
		UNION ALL SELECT 'refresh', i, 'value', refresh_token FROM datasource_user_token_data, generate_series(1, 20) i WHERE id = t.uid('token', i)
		UNION ALL SELECT 'setting', p.id, key, value FROM instance_settings JOIN t.plain p ON p.place = 'setting' AND p.attribute = key
		UNION ALL SELECT 'https', i, 'github_private_key', github_private_key FROM organization_git_https, generate_series(1, 20) i WHERE id = t.uid('https', i)
		UNION ALL SELECT 'ssh', i, 'ssh_private_key', ssh_private_key FROM organization_git_ssh, generate_series(1, 20) i WHERE id = t.uid('ssh', i)
		UNION ALL SELECT 'gitlab', i, 'gitlab_project_access_token', gitlab_project_access_token FROM organization_gitlab, generate_series(1, 20) i WHERE id = t.uid('gitlab', i)
		UNION ALL SELECT 'bitbucket', i, 'bitbucket_access_token', bitbucket_access_token FROM organization_bitbucket, generate_series(1, 20) i WHERE id = t.uid('bitbucket', i)
		UNION ALL SELECT 'ai', i, 'encrypted_key', encrypted_key FROM organization_ai_keys, generate_series(1, 20) i WHERE id = t.uid('ai', i);
};

# A database of the application, its values under the old key.
sub application
{
	my ($database) = @_;
	$node->safe_psql('postgres', "CREATE DATABASE $database");
	$node->safe_psql($database, 'CREATE SCHEMA dbcrypt; CREATE EXTENSION dbcrypt SCHEMA dbcrypt; SELECT dbcrypt.dbcrypt_register_keys()');
	$node->safe_psql($database, application_sql('tooljet') . $plain);
	my $lines = $node->safe_psql($database, q{SELECT json_build_object('place', place, 'id', id, 'table', tab, 'attribute', attribute,
		'plaintext', encode(convert_to(plaintext, 'UTF8'), 'hex')) FROM t.plain});
	my $sealed = client('seal', 'tooljet', $old, $lines);
	$node->safe_psql($database, "CREATE TABLE t.sealed (j jsonb);\nCOPY t.sealed FROM STDIN;\n$sealed\\.\n");
	$node->safe_psql($database, $rows . $stored);
	return;
}

# What the other program opens, of the places that a condition names.
sub read_all_ok
{
	my ($database, $key, $where, $count, $how) = @_;
	my $lines = $node->safe_psql($database, qq{SELECT json_build_object('place', place, 'id', id, 'table', tab, 'attribute', attribute, 'value', v)
		FROM t.plain JOIN t.stored USING (place, id, attribute) WHERE $where});
	my $opened = client('open', 'tooljet', $key, $lines);
	is($node->safe_psql($database, "CREATE TEMP TABLE opened (j jsonb);\nCOPY opened FROM STDIN;\n$opened\\.\n"
		. qq{SELECT count(*), count(*) FILTER (WHERE convert_from(decode(j->>'plaintext', 'hex'), 'UTF8') = plaintext), (SELECT count(*) FROM t.plain WHERE $where)
			FROM opened JOIN t.plain ON place = j->>'place' AND id = (j->>'id')::int AND attribute = j->>'attribute'}),
		join('|', ($count) x 3), "ToolJet reads every value $how");
	return;
}

# What no rotation may change: the rest of the JSON, and what is not encrypted.
my $rest = q{SELECT md5(string_agg(r, ' ' ORDER BY r)) FROM (
	SELECT id || regexp_replace(configs::text, '[A-Za-z0-9+/]{36,}=*', '', 'g') AS r FROM sso_configs
	UNION ALL SELECT key || value FROM instance_settings WHERE key NOT IN (SELECT attribute FROM t.plain)
	UNION ALL SELECT variable_name || value FROM org_environment_variables WHERE encrypted IS NOT TRUE
	UNION ALL SELECT id || 'empty' FROM org_environment_constant_values WHERE value = ''
	UNION ALL SELECT id || 'empty' FROM organization_constant_version_values WHERE value = ''
	UNION ALL SELECT coalesce(value_ciphertext, 'null') FROM credentials WHERE value_ciphertext = '' OR value_ciphertext IS NULL) AS rest};

### all of it

application('whole');
my $values = $node->safe_psql('whole', 'SELECT count(*) FROM t.plain');
is($values, 15 * 20 + 6 - 4, 'the values');
read_all_ok('whole', $old, 'true', $values, 'as it wrote them');
my $rest_before = $node->safe_psql('whole', $rest);

is($node->safe_psql('whole', 'SELECT "table", "column", state, "values", sampled, detail FROM dbcrypt.dbcrypt_adopt_tooljet()'),
	join("\n", 'credentials|value_ciphertext|adopted|20|f|', 'org_environment_constant_values|value|adopted|19|f|',
		'organization_constant_version_values|value|adopted|19|f|', 'org_environment_variables|value|adopted|20|f|',
		'sso_configs|configs|adopted|38|f|', 'organization_tjdb_configurations|pg_password|adopted|20|f|', 'user_details|user_metadata|adopted|20|f|',
		'datasource_user_token_data|auth_token|adopted|20|f|', 'datasource_user_token_data|refresh_token|adopted|20|f|', 'instance_settings|value|adopted|6|f|',
		'organization_git_https|github_private_key|adopted|20|f|', 'organization_git_ssh|ssh_private_key|adopted|20|f|',
		'organization_gitlab|gitlab_project_access_token|adopted|20|f|', 'organization_bitbucket|bitbucket_access_token|adopted|20|f|',
		'organization_ai_keys|encrypted_key|adopted|20|f|'),
	'every place is adopted, and every value was read');
is($node->safe_psql('whole', 'SELECT state, count(*) FROM dbcrypt.dbcrypt_adopt_tooljet() GROUP BY 1'), 'adopted before|15', 'and none again');

write_key_file(key_file($node), $new, $old);
$node->safe_psql('whole', 'SELECT dbcrypt.dbcrypt_register_keys()');
is($node->safe_psql('whole', 'SELECT sum(rotated) FROM dbcrypt.dbcrypt_rotate_all()'), 283, 'all rotated');
is($node->safe_psql('whole', 'SELECT sum(rotated) FROM dbcrypt.dbcrypt_rotate_all()'), 0, 'a second run finds nothing to do');
is($node->safe_psql('whole', 'SELECT DISTINCT state FROM dbcrypt.dbcrypt_verify_all()'), 'primary', 'every value opens');
is($node->safe_psql('whole', 'SELECT sum("values") FROM dbcrypt.dbcrypt_verify_all()'), $values, 'and none was passed over');
write_key_file(key_file($node), $new);
$node->safe_psql('whole', "SELECT dbcrypt.dbcrypt_revoke_key('" . key_id($old) . "')");
read_all_ok('whole', $new, 'true', $values, 'with the new key alone');
is($node->safe_psql('whole', $rest), $rest_before, 'everything else is as it was');
is($node->safe_psql('whole', q{SELECT count(*) FROM dbcrypt.dbcrypt_census() WHERE state <> 'registered'}), 0, 'nothing else looks encrypted');

### places that cannot be adopted, and one that nobody knows

write_key_file(key_file($node), $old);
application('half');
$node->safe_psql('half', q{
	UPDATE organization_git_ssh SET ssh_private_key = E'-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNz\n-----END OPENSSH PRIVATE KEY-----\n';
	UPDATE organization_git_https SET github_private_key = E'-----BEGIN RSA PRIVATE KEY-----\n';
	UPDATE organization_bitbucket SET bitbucket_access_token = 'ATCTT3xFfGN0';
	-- Derived with names that nobody outside knows.
	UPDATE organization_ai_keys SET encrypted_key = (SELECT v FROM t.written WHERE place = 'details' LIMIT 1);
	UPDATE instance_settings SET value = 'sk-open' WHERE key = 'LLM_API_KEY';
	UPDATE credentials SET value_ciphertext = 'in the open' WHERE id = t.uid('credentials', 13);
	CREATE TABLE agent_tokens (id int, token text);
	INSERT INTO agent_tokens SELECT id, v FROM t.written WHERE place = 'auth';
});
my $half = $node->safe_psql('half', 'SELECT "table", "column", state, "values", detail FROM dbcrypt.dbcrypt_adopt_tooljet()');
my $refused = 'a value does not decrypt: Table public\.';
like($half, qr/^credentials\|value_ciphertext\|not adopted\|\|cannot adopt column "value_ciphertext" of table "credentials": ${refused}credentials, row \(\d+,\d+\)\.$/m, 'one value in the open');
like($half, qr/^organization_git_ssh\|ssh_private_key\|not adopted\|\|.*${refused}organization_git_ssh, row \(0,\d+\)\. Older versions of ToolJet keep it unencrypted\.$/m, 'a key that is not encrypted');
like($half, qr/^organization_git_https\|github_private_key\|not adopted\|\|.*Older versions of ToolJet/m, 'another');
like($half, qr/^organization_bitbucket\|bitbucket_access_token\|not adopted\|\|.*names that ToolJet derives its key with are not public\.$/m, 'a token');
like($half, qr/^organization_ai_keys\|encrypted_key\|not adopted\|\|.*names that ToolJet derives its key with are not public\.$/m, 'a key of an unknown derivation');
like($half, qr/^instance_settings\|value\|not adopted\|\|where key = 'LLM_API_KEY': .*instance_settings, row/m, 'one setting');
like($half, qr/^instance_settings\|value\|adopted\|5\|$/m, 'the other settings are adopted');
like($half, qr/^agent_tokens\|token\|looks encrypted\|\|a hint, not a proof: of 20 values in the sample, 20 decode to random bytes$/m, 'the census finds the next place');
is(() = ($half =~ /\|adopted\|/g), 10, 'ten places are adopted');
is(() = ($half =~ /\n/g), 16, 'and each has its row');
is($node->safe_psql('half', 'SELECT count(*) FROM dbcrypt.dbcrypt_columns'), 10, 'as many are registered');

# What was adopted rotates, and the rest stays as it was.
my $left = q{SELECT md5(string_agg(v, ' ' ORDER BY place, id)) FROM t.stored WHERE place IN ('credentials', 'ssh', 'https', 'bitbucket', 'ai') OR attribute = 'LLM_API_KEY'};
my $left_before = $node->safe_psql('half', $left);
write_key_file(key_file($node), $new, $old);
$node->safe_psql('half', 'SELECT dbcrypt.dbcrypt_register_keys()');
$node->safe_psql('half', 'SELECT dbcrypt.dbcrypt_rotate_all()');
is($node->safe_psql('half', 'SELECT DISTINCT state FROM dbcrypt.dbcrypt_verify_all()'), 'primary', 'what is adopted is rotated');
is($node->safe_psql('half', $left), $left_before, 'what is not stays');
read_all_ok('half', $new, q{place NOT IN ('credentials', 'ssh', 'https', 'bitbucket', 'ai') AND attribute <> 'LLM_API_KEY'}, $values - 5 * 20 - 1, 'of what was adopted');
# A setting that was encrypted since.
like($node->safe_psql('half', 'SELECT "table", state, detail FROM dbcrypt.dbcrypt_adopt_tooljet()'),
	qr/^instance_settings\|adopted before\|without key 'LLM_API_KEY': call dbcrypt_unregister_column\(\) first to try again$/m, 'a setting that was left out is named again');
is($node->safe_psql('half', q{
	UPDATE instance_settings SET value = v FROM t.written WHERE key = 'LLM_API_KEY' AND place = 'setting' AND attribute = key;
	SELECT FROM dbcrypt.dbcrypt_unregister_column('instance_settings', 'value');
	SELECT "table", state, "values" FROM dbcrypt.dbcrypt_adopt_tooljet() WHERE "table" = 'instance_settings'::regclass}) =~ s/^\n//r, 'instance_settings|adopted|6', 'and adopted when it opens');
is($node->safe_psql('half', q{SELECT detail FROM dbcrypt.dbcrypt_adopt_tooljet() WHERE "table" = 'instance_settings'::regclass}), '', 'then none is left out');
write_key_file(key_file($node), $old);

### who may, and where

$node->safe_psql('half', q{
	CREATE SCHEMA "Tool Jet";
	CREATE TABLE "Tool Jet".organization_constants (LIKE organization_constants);
	CREATE TABLE "Tool Jet".org_environment_constant_values (LIKE org_environment_constant_values);
	CREATE TABLE "Tool Jet".credentials (id int);
	CREATE ROLE other;
	GRANT USAGE ON SCHEMA dbcrypt TO other;
	GRANT EXECUTE ON FUNCTION dbcrypt.dbcrypt_adopt_tooljet TO other;
});
is($node->safe_psql('half', q{SET ROLE other; SELECT * FROM dbcrypt.dbcrypt_adopt_tooljet('Tool Jet')}),
	join("\n", '"Tool Jet".org_environment_constant_values|value|not adopted|||must be owner of table org_environment_constant_values',
		'||not searched|||permission denied for function dbcrypt_census'), 'only the owner adopts');
is($node->safe_psql('half', q{SELECT * FROM dbcrypt.dbcrypt_adopt_tooljet('Tool Jet')}), '"Tool Jet".org_environment_constant_values|value|adopted|0|f|', 'what is there');
like(psql_error($node, q{SELECT * FROM dbcrypt.dbcrypt_adopt_tooljet('pg_catalog')}, database => 'half'), qr/schema "pg_catalog" has none of ToolJet's tables/, 'a schema without any');
like(psql_error($node, q{SET dbcrypt.key_file = ''; SELECT * FROM dbcrypt.dbcrypt_adopt_tooljet()}, database => 'half'), qr/no encryption keys are configured/, 'nor without keys');
$node->stop;

done_testing();
