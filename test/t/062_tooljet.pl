# The places where ToolJet keeps encrypted values, written and read by another
# program: all adopted, those that its own script forgets included, and rotated.
use strict;
use warnings FATAL => 'all';

use DbcryptTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

plan skip_all => 'Node is not installed' unless client_available();

my ($old, $new) = map { secret_key("tooljet $_") } 1 .. 2;
my $node = new_node('tooljet', keys => [$old]);

$node->safe_psql('postgres', q{
	CREATE TABLE credentials (id int PRIMARY KEY, value_ciphertext text);
	CREATE TABLE organization_constants (id uuid PRIMARY KEY, organization_id uuid NOT NULL);
	CREATE TABLE org_environment_constant_values (id int PRIMARY KEY, organization_constant_id uuid NOT NULL REFERENCES organization_constants, value text);
	CREATE TABLE sso_configs (id int PRIMARY KEY, sso text, configs json);
	CREATE TABLE organization_tjdb_configurations (id int PRIMARY KEY, pg_password text);
	CREATE TABLE user_details (id int PRIMARY KEY, user_metadata text);
	CREATE TABLE datasource_user_token_data (id int PRIMARY KEY, auth_token text, refresh_token text);
	CREATE TABLE instance_settings (id int PRIMARY KEY, key varchar, value varchar);
	CREATE TABLE org_environment_variables (id int PRIMARY KEY, organization_id uuid NOT NULL, value varchar);
	INSERT INTO organization_constants SELECT md5('constant ' || i)::uuid, md5('organization ' || i % 3)::uuid FROM generate_series(1, 20) i;

	-- What is to be in each place, and the names that its key is derived with.
	CREATE TABLE plain AS
		SELECT place, i AS id, place || ' sécret ' || i AS plaintext,
			CASE place WHEN 'configs' THEN 'ssoConfigs' WHEN 'auth' THEN 'credentials' WHEN 'refresh' THEN 'credentials' ELSE tab END AS tab,
			CASE attribute WHEN 'organization' THEN (md5('organization ' || i % 3)::uuid)::text ELSE attribute END AS attribute
		FROM (VALUES ('credentials', 'credentials', 'value'), ('constant', 'org_environment_constant_values', 'organization'),
				('configs', '', 'clientSecret'), ('configs', '', 'botSECRET'), ('tjdb', 'organization_tjdb_configurations', 'pg_password'),
				('details', 'user_details', 'userMetadata'), ('auth', '', 'value'), ('refresh', '', 'value'),
				('setting', 'instance_settings', 'SMTP_PASSWORD'), ('variable', 'org_environment_variables', 'organization')) AS places (place, tab, attribute),
			generate_series(1, 20) i;
	-- ToolJet encrypts the empty string too.
	UPDATE plain SET plaintext = '' WHERE id = 7;
	DELETE FROM plain WHERE place = 'setting' AND id > 1;
});

my $rows = $node->safe_psql('postgres', q{SELECT json_build_object('place', place, 'id', id, 'table', tab, 'attribute', attribute,
	'plaintext', encode(convert_to(plaintext, 'UTF8'), 'hex')) FROM plain});
my $sealed = client('seal', 'tooljet', $old, $rows);
$node->safe_psql('postgres', "CREATE TABLE sealed (j jsonb);\nCOPY sealed FROM STDIN;\n$sealed\\.\n");
$node->safe_psql('postgres', q{
	CREATE VIEW written AS SELECT j->>'place' AS place, (j->>'id')::int AS id, j->>'attribute' AS attribute, j->>'value' AS v FROM sealed;
	INSERT INTO credentials SELECT id, v FROM written WHERE place = 'credentials';
	INSERT INTO org_environment_constant_values SELECT id, md5('constant ' || id)::uuid, v FROM written WHERE place = 'constant';
	INSERT INTO sso_configs SELECT a.id, 'google', ('{"clientId":"id ' || a.id || '",  "clientSecret": "' || a.v || '","enabled":true, "nested": {"botSECRET":"' || b.v || '"}}')::json
		FROM written a JOIN written b USING (place, id) WHERE a.attribute = 'clientSecret' AND b.attribute = 'botSECRET';
	INSERT INTO sso_configs VALUES (100, 'form', NULL), (101, 'form', '{"enabled": false}');
	INSERT INTO organization_tjdb_configurations SELECT id, v FROM written WHERE place = 'tjdb';
	INSERT INTO user_details SELECT id, v FROM written WHERE place = 'details';
	INSERT INTO datasource_user_token_data SELECT a.id, a.v, r.v FROM written a JOIN written r USING (id) WHERE a.place = 'auth' AND r.place = 'refresh';
	INSERT INTO instance_settings SELECT 1, 'SMTP_PASSWORD', v FROM written WHERE place = 'setting';
	INSERT INTO instance_settings VALUES (2, 'SMTP_PORT', '587'), (3, 'SMTP_DOMAIN', '');
	INSERT INTO org_environment_variables SELECT id, md5('organization ' || id % 3)::uuid, v FROM written WHERE place = 'variable';
	CREATE TABLE sso_before AS SELECT * FROM sso_configs;
});

sub read_all_ok
{
	my ($key, $how) = @_;
	my $stored = $node->safe_psql('postgres', q{
		SELECT json_build_object('place', place, 'id', id, 'table', tab, 'attribute', attribute, 'value', v) FROM plain JOIN (
			SELECT 'credentials' AS place, id, 'value' AS attribute, value_ciphertext AS v FROM credentials
			UNION ALL SELECT 'constant', c.id, o.organization_id::text, value FROM org_environment_constant_values c JOIN organization_constants o ON o.id = organization_constant_id
			UNION ALL SELECT 'configs', id, 'clientSecret', configs->>'clientSecret' FROM sso_configs
			UNION ALL SELECT 'configs', id, 'botSECRET', configs->'nested'->>'botSECRET' FROM sso_configs
			UNION ALL SELECT 'tjdb', id, 'pg_password', pg_password FROM organization_tjdb_configurations
			UNION ALL SELECT 'details', id, 'userMetadata', user_metadata FROM user_details
			UNION ALL SELECT 'auth', id, 'value', auth_token FROM datasource_user_token_data
			UNION ALL SELECT 'refresh', id, 'value', refresh_token FROM datasource_user_token_data
			UNION ALL SELECT 'setting', id, key, value FROM instance_settings
			UNION ALL SELECT 'variable', id, organization_id::text, value FROM org_environment_variables) AS stored USING (place, id, attribute)});
	my $opened = client('open', 'tooljet', $key, $stored);
	is($node->safe_psql('postgres', "CREATE TEMP TABLE opened (j jsonb);\nCOPY opened FROM STDIN;\n$opened\\.\n"
		. q{SELECT count(*), count(*) FILTER (WHERE convert_from(decode(j->>'plaintext', 'hex'), 'UTF8') = plaintext), (SELECT count(*) FROM plain)
			FROM opened JOIN plain ON place = j->>'place' AND id = (j->>'id')::int AND attribute = j->>'attribute'}),
		'181|181|181', "ToolJet reads every value $how");
	return;
}
read_all_ok($old, 'as it wrote them');

is($node->safe_psql('postgres', 'SELECT * FROM dbcrypt_adopt_tooljet()'),
	join("\n", 'credentials|value_ciphertext', 'org_environment_constant_values|value', 'sso_configs|configs',
		'organization_tjdb_configurations|pg_password', 'user_details|user_metadata', 'datasource_user_token_data|auth_token',
		'datasource_user_token_data|refresh_token', 'instance_settings|value', 'org_environment_variables|value'),
	'every place is adopted');
is($node->safe_psql('postgres', 'SELECT count(*) FROM dbcrypt_adopt_tooljet()'), 0, 'and none again');

write_key_file(key_file($node), $new, $old);
$node->safe_psql('postgres', 'SELECT dbcrypt_register_keys()');
is($node->safe_psql('postgres', 'SELECT "table", "column", scanned, rotated, current, nulls FROM dbcrypt_rotate_all()'),
	join("\n", 'credentials|value_ciphertext|20|20|0|0', 'org_environment_constant_values|value|20|20|0|0',
		'sso_configs|configs|22|20|1|1', 'organization_tjdb_configurations|pg_password|20|20|0|0',
		'user_details|user_metadata|20|20|0|0', 'datasource_user_token_data|auth_token|20|20|0|0',
		'datasource_user_token_data|refresh_token|20|20|0|0', 'instance_settings|value|3|1|0|0',
		'org_environment_variables|value|20|20|0|0'), 'all rotated');
is($node->safe_psql('postgres', 'SELECT sum(rotated) FROM dbcrypt_rotate_all()'), 0, 'a second run finds nothing to do');
write_key_file(key_file($node), $new);
$node->safe_psql('postgres', 'SELECT dbcrypt_revoke_key(\'' . key_id($old) . '\')');
read_all_ok($new, 'with the new key alone');
is($node->safe_psql('postgres', q{SELECT string_agg(key || '=' || value, ' ' ORDER BY id) FROM instance_settings WHERE id > 1}),
	'SMTP_PORT=587 SMTP_DOMAIN=', 'other settings are left alone');
is($node->safe_psql('postgres', q{SELECT count(*) FROM sso_configs a JOIN sso_before b USING (id)
	WHERE regexp_replace(a.configs::text, '[A-Za-z0-9+/]{36,}=*', '', 'g') = regexp_replace(b.configs::text, '[A-Za-z0-9+/]{36,}=*', '', 'g')
		AND a.configs::text <> b.configs::text}), 20, 'and so is everything else in the JSON');
is($node->safe_psql('postgres', 'SELECT DISTINCT state FROM dbcrypt_verify_all()'), 'primary', 'every value opens');

# Only some of the tables, in another schema, owned by someone else.
$node->safe_psql('postgres', q{CREATE SCHEMA "Tool Jet"; CREATE TABLE "Tool Jet".organization_constants (LIKE organization_constants);
	CREATE TABLE "Tool Jet".org_environment_constant_values (LIKE org_environment_constant_values); CREATE TABLE "Tool Jet".credentials (id int);
	CREATE ROLE other; GRANT EXECUTE ON FUNCTION dbcrypt_adopt_tooljet TO other});
like(psql_error($node, q{SET ROLE other; SELECT dbcrypt_adopt_tooljet('Tool Jet')}), qr/must be owner of table org_environment_constant_values/, 'only the owner adopts');
is($node->safe_psql('postgres', q{SELECT * FROM dbcrypt_adopt_tooljet('Tool Jet')}), '"Tool Jet".org_environment_constant_values|value', 'what is there');
$node->stop;

done_testing();
