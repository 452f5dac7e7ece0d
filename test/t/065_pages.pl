# The pages on other systems, run as they are written: each SQL and shell block, and
# each state of the key file, in their order, on tables of that system's shape. GitLab's
# page has a test of its own.
use strict;
use warnings FATAL => 'all';

use DbcryptTest;
use FindBin;
use PageTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $docs = "$FindBin::RealBin/../../docs";
plan skip_all => 'the pages are not here' unless -d $docs;

my $node = new_node('pages', start => 0);
my ($old, $new) = map { secret_key("pages $_") } 1 .. 2;

# The application's tables, and the statements that leave values under the old key in
# them. No character of the plaintext is one of base64, so that none is taken for a value.
my %system = (
	coder => q{
		CREATE SCHEMA setup;
		CREATE EXTENSION dbcrypt SCHEMA setup;
		SELECT setup.dbcrypt_register_keys();} . application_sql('coder') . q{
		INSERT INTO users (id, email) SELECT md5(i::text)::uuid, i || '@x' FROM generate_series(1, 3) i;
		INSERT INTO user_links (user_id, login_type, oauth_access_token) SELECT id, 'github', '¡' FROM users;
		UPDATE users SET deleted = true WHERE email = '3@x';
		INSERT INTO user_secrets (user_id, name, value) SELECT id, 'n', '¡' FROM users WHERE NOT deleted;
		INSERT INTO crypto_keys VALUES ('oidc', 1, NULL, NULL), ('oidc', 2, '¡', NULL);
		INSERT INTO mcp_server_configs (slug, url, custom_headers) VALUES ('s', 'u', '{"¡": "¡"}');
		INSERT INTO ai_providers (name) VALUES ('a');
		SELECT setup.dbcrypt_adopt_coder();
		SELECT setup.dbcrypt_rotate_all();
		INSERT INTO mcp_server_configs (slug, url, custom_headers) VALUES ('t', 'u', '');
		DROP SCHEMA setup CASCADE;},
	tooljet => q{
		CREATE EXTENSION dbcrypt;
		SELECT dbcrypt_register_keys();} . application_sql('tooljet') . q{
		SELECT dbcrypt_adopt_tooljet();
		INSERT INTO organizations (id, name) VALUES (md5('o')::uuid, 'o');
		INSERT INTO users (id, email) VALUES (md5('u')::uuid, 'u');
		INSERT INTO app_environments (id, organization_id, name) VALUES (md5('e')::uuid, md5('o')::uuid, 'production');
		INSERT INTO credentials (value_ciphertext) VALUES ('¡'), (NULL), ('');
		INSERT INTO organization_constants (id, constant_name, organization_id) VALUES (md5('c')::uuid, 'c', md5('o')::uuid);
		INSERT INTO org_environment_constant_values (organization_constant_id, environment_id, value) VALUES (md5('c')::uuid, md5('e')::uuid, '¡');
		INSERT INTO workspace_branches (id, organization_id, name) VALUES (md5('b')::uuid, md5('o')::uuid, 'main');
		INSERT INTO organization_constant_versions (id, organization_constant_id, branch_id) VALUES (md5('v')::uuid, md5('c')::uuid, md5('b')::uuid);
		INSERT INTO organization_constant_version_values (constant_version_id, environment_id, value) VALUES (md5('v')::uuid, md5('e')::uuid, '¡');
		INSERT INTO org_environment_variables (organization_id, variable_name, value, variable_type, encrypted)
			VALUES (md5('o')::uuid, 'a', '¡', 'client', true), (md5('o')::uuid, 'b', 'open', 'client', false);
		INSERT INTO sso_configs (sso, configs) VALUES ('git', '{"clientSecret": "¡", "ssl": {"secret": "open"}}'), ('form', NULL);
		INSERT INTO organization_tjdb_configurations (organization_id, pg_user, pg_password) VALUES (md5('o')::uuid, 'u', '¡');
		INSERT INTO user_details (user_id, user_metadata) VALUES (md5('u')::uuid, '¡');
		INSERT INTO instance_settings (key, value) VALUES ('SMTP_PASSWORD', '¡'), ('SSL_PRIVKEY_PEM', '¡'), ('SMTP_PORT', '587');
		INSERT INTO organization_git_sync (id, organization_id) VALUES (md5('g')::uuid, md5('o')::uuid);
		INSERT INTO organization_git_ssh (config_id, ssh_private_key) VALUES (md5('g')::uuid, '¡');
		INSERT INTO organization_ai_keys (organization_id, encrypted_key) VALUES (md5('o')::uuid, '¡');
		SELECT dbcrypt_encrypt_column(format('%I.%I', "schema", "table"), "column") FROM dbcrypt_columns;
		DROP EXTENSION dbcrypt;},
	lockbox => q{
		CREATE EXTENSION dbcrypt;
		SELECT dbcrypt_register_keys();} . application_sql('lockbox') . q{
		SELECT dbcrypt_adopt('users', 'email_ciphertext', 'lockbox');
		SELECT dbcrypt_adopt('users', 'photo_ciphertext', 'lockbox', '{"table": "people"}');
		SELECT dbcrypt_adopt('users', 'note_ciphertext', 'lockbox', '{"aad": "id"}');
		SELECT dbcrypt_adopt('messages', 'body_ciphertext', 'lockbox');
		INSERT INTO users (name, email_ciphertext, photo_ciphertext, note_ciphertext, email_bidx)
			VALUES ('a', '¡', '\x01', '¡', 'A'), ('b', '', '', '', 'B'), ('c', NULL, NULL, '', NULL);
		INSERT INTO messages (user_id, body_ciphertext) VALUES (1, '¡'), (2, NULL);
		SELECT dbcrypt_encrypt_column(format('%I.%I', "schema", "table"), "column") FROM dbcrypt_columns;
		DROP EXTENSION dbcrypt;},
	containarium => q{
		CREATE EXTENSION dbcrypt;
		SELECT dbcrypt_register_keys();} . application_sql('containarium') . q{
		SELECT dbcrypt_adopt('secrets', 'ciphertext', 'containarium');
		INSERT INTO secrets (username, name, ciphertext, nonce, wrapped_dek) VALUES ('a', 'b', 'c', '', NULL), ('a', 'c', 'kms', 'x', 'y');
		SELECT dbcrypt_encrypt_column(format('%I.%I', "schema", "table"), "column") FROM dbcrypt_columns;
		DROP EXTENSION dbcrypt;});

sub runs_ok
{
	my ($database, $sql, $name) = @_;
	my ($rc, $out, $err) = $node->psql($database, $sql);
	is($rc, 0, $name) or diag $err;
	return;
}

# How each page ends: with the census, and with what to keep.
for my $page (sort(keys %system), 'gitlab', 'lightrun')
{
	like(slurp_file("$docs/$page.md"), qr/dbcrypt_census\(\).*\n\nKeep (?:the old key|every file)[^\n]*\n(?:[^\n]+\n)*$/s, "$page: its end");
}

write_key_file(key_file($node), $old);
$node->start;
for my $page (sort keys %system)
{
	my %count;
	my $dir = PostgreSQL::Test::Utils::tempdir();
	open my $raw, '>:raw', "$dir/secrets.key" or die $!;
	print $raw pack('H*', $old);
	close $raw;

	write_key_file(key_file($node), $old);
	$node->safe_psql('postgres', "CREATE DATABASE $page");
	$node->safe_psql($page, $system{$page});
	for my $block (blocks(slurp_file("$docs/$page.md")))
	{
		my ($language, $text) = @$block;
		$text =~ s/\bOLD\b/$old/g;
		$text =~ s/\bNEW\b/$new/g;
		my $n = ++$count{$language};
		if ($language eq 'keys') { write_key_file(key_file($node), split /\n/, $text) }
		elsif ($language eq 'sql') { runs_ok($page, $text, "$page: SQL block $n") }
		elsif ($language eq 'sh')
		{
			my ($out, $err) = run_command([ 'sh', '-c', "cd $dir && $text" ]);
			is($err, '', "$page: shell block $n");
			is($out, $old, "$page: the key in hex") if $n == 1;
		}
		else { fail("$page: a block of $language") }
	}
	cmp_ok($count{sql}, '>=', 2, "$page: has SQL");
	is($count{keys}, 3, "$page: has three key files");
	my $schema = $node->safe_psql($page, q{SELECT extnamespace::regnamespace FROM pg_extension WHERE extname = 'dbcrypt'});
	is($node->safe_psql($page, "SELECT DISTINCT state FROM $schema.dbcrypt_verify_all()"), 'primary', "$page: all under the new key alone");
	is($node->safe_psql($page, "SELECT count(*) FROM $schema.dbcrypt_census() WHERE state <> 'registered'"), 0, "$page: and nothing else is encrypted");
	is(unpack('H*', slurp_file("$dir/secrets.key")), $page eq 'containarium' ? $new : $old, "$page: the application's key file");
}
is($node->safe_psql('coder', 'SELECT number, active_key_digest IS NULL, revoked_at IS NULL FROM dbcrypt_keys ORDER BY 1'),
	"1|t|f\n2|f|t", "coder: the catalog has the old key revoked");

# Lightrun: a directory of keys.
my $dir = $node->basedir . '/lightrun';
mkdir $dir;
my ($setting, $first, $second, $third, @more) = blocks(slurp_file("$docs/lightrun.md"));
is_deeply([ map { $_->[0] } $setting, $first, $second, $third, @more ], [ '', 'sql', 'sql', 'sql' ], 'lightrun: its blocks');
write_key_file("$dir/encryption-key-0", $old);
$setting->[1] =~ s{'.*'}{'$dir'};
$node->append_conf('postgresql.conf', $setting->[1]);
$node->reload;
$node->safe_psql('postgres', 'CREATE DATABASE lightrun');
runs_ok('lightrun', $first->[1], 'lightrun: the first key');
$node->safe_psql('lightrun', "CREATE TABLE t (v text); INSERT INTO t VALUES ('x'); SELECT dbcrypt.dbcrypt_encrypt_column('t', 'v')");
write_key_file("$dir/encryption-key-1", $new);
$node->reload;
runs_ok('lightrun', $second->[1], 'lightrun: the second');
runs_ok('lightrun', $third->[1], 'lightrun: the census');
is($node->safe_psql('lightrun', 'SELECT key_id, state FROM dbcrypt.dbcrypt_verify_all()'), key_id($new) . '|primary', 'lightrun: rotated');
$node->stop;

done_testing();
