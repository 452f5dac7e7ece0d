# The pages on other systems, run as they are written: each SQL and shell block, and
# each state of the key file, in their order, on tables of that system's shape.
use strict;
use warnings FATAL => 'all';

use DbcryptTest;
use FindBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $docs = "$FindBin::RealBin/../../docs";
plan skip_all => 'the pages are not here' unless -d $docs;

my $node = new_node('pages', start => 0);
my ($old, $new) = map { secret_key("pages $_") } 1 .. 2;

# Tables, and the statements that leave values under the old key in them. No
# character of the plaintext is one of base64, so that none is taken for a value.
my %system = (
	coder => q{
		CREATE SCHEMA setup;
		CREATE EXTENSION dbcrypt SCHEMA setup;
		SELECT setup.dbcrypt_register_keys();
		CREATE TABLE dbcrypt_keys (number int PRIMARY KEY, active_key_digest text UNIQUE, revoked_key_digest text UNIQUE,
			created_at timestamptz, revoked_at timestamptz, test text NOT NULL);
		CREATE TABLE user_links (user_id int, oauth_access_token text, oauth_access_token_key_id text REFERENCES dbcrypt_keys (active_key_digest));
		CREATE TABLE user_secrets (id int, value text, value_key_id text REFERENCES dbcrypt_keys (active_key_digest));
		INSERT INTO user_links VALUES (1, '¡¡', NULL), (2, '¡', NULL);
		INSERT INTO user_secrets VALUES (1, '¡', NULL), (2, NULL, NULL);
		SELECT setup.dbcrypt_adopt_coder();
		SELECT setup.dbcrypt_rotate_all();
		DROP SCHEMA setup CASCADE;},
	tooljet => q{
		CREATE EXTENSION dbcrypt;
		SELECT dbcrypt_register_keys();
		CREATE TABLE credentials (id int, value_ciphertext text);
		CREATE TABLE sso_configs (id int, configs json);
		CREATE TABLE instance_settings (key text, value text);
		SELECT dbcrypt_adopt_tooljet();
		INSERT INTO credentials VALUES (1, '¡'), (2, NULL);
		INSERT INTO sso_configs VALUES (1, '{"clientSecret": "¡"}');
		INSERT INTO instance_settings VALUES ('SMTP_PASSWORD', '¡'), ('SMTP_PORT', '587');
		SELECT dbcrypt_encrypt_column(format('%I.%I', "schema", "table"), "column") FROM dbcrypt_columns;
		DROP EXTENSION dbcrypt;},
	lockbox => q{
		CREATE EXTENSION dbcrypt;
		SELECT dbcrypt_register_keys();
		CREATE TABLE users (id int, email_ciphertext text, photo_ciphertext bytea, note_ciphertext text);
		SELECT dbcrypt_adopt('users', 'email_ciphertext', 'lockbox');
		SELECT dbcrypt_adopt('users', 'photo_ciphertext', 'lockbox', '{"table": "people"}');
		SELECT dbcrypt_adopt('users', 'note_ciphertext', 'lockbox', '{"aad": "id"}');
		INSERT INTO users VALUES (1, '¡', '\x01', '¡'), (2, '', '', ''), (3, NULL, NULL, NULL);
		SELECT dbcrypt_encrypt_column(format('%I.%I', "schema", "table"), "column") FROM dbcrypt_columns;
		DROP EXTENSION dbcrypt;},
	gitlab => q{
		CREATE EXTENSION dbcrypt;
		SELECT dbcrypt_register_keys();
		CREATE TABLE web_hooks (id int, encrypted_url text, encrypted_url_iv text, encrypted_token bytea, encrypted_token_iv bytea);
		CREATE TABLE ci_runners (id int, token_encrypted text UNIQUE);
		SELECT dbcrypt_adopt('web_hooks', 'encrypted_url', 'attr_encrypted');
		SELECT dbcrypt_adopt('web_hooks', 'encrypted_token', 'attr_encrypted');
		SELECT dbcrypt_adopt('ci_runners', 'token_encrypted', 'gitlab_token');
		INSERT INTO web_hooks VALUES (1, 'url', NULL, 'token', NULL), (2, '', NULL, NULL, NULL);
		INSERT INTO ci_runners VALUES (1, '¡');
		SELECT dbcrypt_encrypt_column(format('%I.%I', "schema", "table"), "column") FROM dbcrypt_columns;
		DROP EXTENSION dbcrypt;},
	containarium => q{
		CREATE EXTENSION dbcrypt;
		SELECT dbcrypt_register_keys();
		CREATE TABLE secrets (username text, name text, ciphertext bytea, nonce bytea, version int, wrapped_dek bytea);
		SELECT dbcrypt_adopt('secrets', 'ciphertext', 'containarium');
		INSERT INTO secrets VALUES ('a', 'b', 'c', NULL, 1, NULL), ('a', 'c', 'kms', 'x', 1, 'y');
		SELECT dbcrypt_encrypt_column(format('%I.%I', "schema", "table"), "column") FROM dbcrypt_columns;
		DROP EXTENSION dbcrypt;});

# Blocks of a page: [language, text], the language '' where none is given.
sub blocks
{
	my ($page) = @_;
	my $text_of_page = slurp_file("$docs/$page.md");
	my @blocks;
	while ($text_of_page =~ /^( *)```(\w*)\n(.*?)^\1```$/gms)
	{
		my ($indent, $language, $text) = ($1, $2, $3);
		$text =~ s/^$indent//gm;
		push @blocks, [ $language, $text ];
	}
	return @blocks;
}

sub runs_ok
{
	my ($database, $sql, $name) = @_;
	my ($rc, $out, $err) = $node->psql($database, $sql);
	is($rc, 0, $name) or diag $err;
	return;
}

write_key_file(key_file($node), $old);
$node->start;
for my $page (sort keys %system)
{
	my $spelled = $page eq 'gitlab' ? 'text:' : '';
	my %count;
	my $dir = PostgreSQL::Test::Utils::tempdir();
	open my $raw, '>:raw', "$dir/secrets.key" or die $!;
	print $raw pack('H*', $old);
	close $raw;

	write_key_file(key_file($node), "$spelled$old");
	$node->safe_psql('postgres', "CREATE DATABASE $page");
	$node->safe_psql($page, $system{$page});
	for my $block (blocks($page))
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
	my $schema = $page eq 'coder' ? 'dbcrypt.' : '';
	is($node->safe_psql($page, "SELECT DISTINCT state FROM ${schema}dbcrypt_verify_all()"), 'primary', "$page: all under the new key alone");
	is(unpack('H*', slurp_file("$dir/secrets.key")), $page eq 'containarium' ? $new : $old, "$page: the application's key file");
}
is($node->safe_psql('coder', 'SELECT number, active_key_digest IS NULL, revoked_at IS NULL FROM dbcrypt_keys ORDER BY 1'),
	"1|t|f\n2|f|t", "coder: the catalog has the old key revoked");

# Lightrun: a directory of keys.
my $dir = $node->basedir . '/lightrun';
mkdir $dir;
my ($setting, $first, $second, @more) = blocks('lightrun');
is_deeply([ map { $_->[0] } $setting, $first, $second, @more ], [ '', 'sql', 'sql' ], 'lightrun: its blocks');
write_key_file("$dir/encryption-key-0", $old);
$setting->[1] =~ s{'.*'}{'$dir'};
$node->append_conf('postgresql.conf', $setting->[1]);
$node->reload;
$node->safe_psql('postgres', 'CREATE DATABASE lightrun');
runs_ok('lightrun', $first->[1], 'lightrun: the first key');
$node->safe_psql('lightrun', "CREATE TABLE t (v text); INSERT INTO t VALUES ('x'); SELECT dbcrypt_encrypt_column('t', 'v')");
write_key_file("$dir/encryption-key-1", $new);
$node->reload;
runs_ok('lightrun', $second->[1], 'lightrun: the second');
is($node->safe_psql('lightrun', 'SELECT key_id, state FROM dbcrypt_verify_all()'), key_id($new) . '|primary', 'lightrun: rotated');
$node->stop;

done_testing();
