# A program in Go, as Coder and Containarium are, writes values into their tables,
# dbcrypt rotates them, and the program reads every one with the new key alone.
use strict;
use warnings FATAL => 'all';

use DbcryptTest;
use FindBin;
use IPC::Run ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

plan skip_all => 'Go is not installed' if system('go version >/dev/null 2>&1');

my $program = PostgreSQL::Test::Utils::tempdir() . '/schemes';
$ENV{GOCACHE} = PostgreSQL::Test::Utils::tempdir();
$ENV{GOTOOLCHAIN} = 'local';
my ($built, $complaint) = run_command([ 'go', 'build', '-o', $program, "$FindBin::RealBin/../clients/schemes.go" ]);
is($complaint, '', 'the program builds');

# Lets the program seal or open lines of JSON.
sub go
{
	my ($action, $scheme, $key, $lines) = @_;
	my ($out, $err);
	IPC::Run::run([ $program, $action, $scheme, $key ], '<', \$lines, '>', \$out, '2>', \$err) or die "could not $action $scheme: $err";
	return $out;
}

my ($old, $new) = map { secret_key("go $_") } 1 .. 2;
my $node = new_node('go', keys => [$old], start => 0);
$node->start;

sub database
{
	my ($name) = @_;
	write_key_file(key_file($node), $old);
	$node->safe_psql('postgres', "CREATE DATABASE $name");
	$node->safe_psql($name, 'CREATE SCHEMA dbcrypt; CREATE EXTENSION dbcrypt SCHEMA dbcrypt; SELECT dbcrypt.dbcrypt_register_keys(); CREATE SCHEMA t; '
		. application_sql($name));
	return;
}

sub copy_in
{
	my ($database, $table, $lines) = @_;
	$node->safe_psql($database, "CREATE TABLE t.$table (j jsonb);\nCOPY t.$table FROM STDIN;\n$lines\\.\n");
	return;
}

### Coder: every column that refers to its catalog

my @columns = (
	[ 'user_links', 'oauth_access_token', 'user_id', q{(user_id, login_type, oauth_access_token) SELECT t.uid(i), 'github', ''} ],
	[ 'user_links', 'oauth_refresh_token', 'user_id' ],
	[ 'external_auth_links', 'oauth_access_token', 'user_id', q{(provider_id, user_id, oauth_access_token, oauth_refresh_token) SELECT 'github', t.uid(i), '', ''} ],
	[ 'external_auth_links', 'oauth_refresh_token', 'user_id' ],
	[ 'user_secrets', 'value', 'user_id', q{(user_id, name, value) SELECT t.uid(i), 'n', ''} ],
	[ 'gitsshkeys', 'private_key', 'user_id', q{(user_id, private_key, public_key) SELECT t.uid(i), '', ''} ],
	[ 'crypto_keys', 'secret', 'sequence', q{(feature, sequence) SELECT 'f', i} ],
	[ 'mcp_server_configs', 'oauth2_client_secret', 'id', q{(id, slug, url) SELECT t.uid(i), i, ''} ],
	[ 'mcp_server_configs', 'api_key_value', 'id' ],
	[ 'mcp_server_configs', 'custom_headers', 'id' ],
	[ 'mcp_server_user_tokens', 'access_token', 'user_id', q{(mcp_server_config_id, user_id, access_token) SELECT t.uid(i), t.uid(i), ''} ],
	[ 'mcp_server_user_tokens', 'refresh_token', 'user_id' ],
	[ 'mcp_server_user_header_values', 'header_values', 'user_id', q{(mcp_server_config_id, user_id) SELECT t.uid(i), t.uid(i)} ],
	[ 'ai_providers', 'settings', 'id', q{(id, name) SELECT t.uid(i), i} ],
	[ 'ai_provider_keys', 'api_key', 'provider_id', q{(provider_id, api_key) SELECT t.uid(i), ''} ],
	[ 'user_ai_provider_keys', 'api_key', 'user_id', q{(user_id, ai_provider_id, api_key) SELECT t.uid(i), t.uid(i), ''} ]);
# A place is written where its number is not a multiple of ten: there it stays blank.
my ($n, $written) = (200, 180);

database('coder');
$node->safe_psql('coder', qq{
	CREATE FUNCTION t.uid(i bigint) RETURNS uuid LANGUAGE sql IMMUTABLE AS 'SELECT md5(i::text)::uuid';
	INSERT INTO users (id, email) SELECT t.uid(i), i || '\@x' FROM generate_series(1, $n) i;
	CREATE TABLE t.plain (place text, id int, plaintext text);
} . join('', map { ($$_[3] ? "INSERT INTO $$_[0] $$_[3] FROM generate_series(1, $n) i;\n" : '')
	. "UPDATE $$_[0] SET $$_[1] = '';\nINSERT INTO t.plain SELECT '$$_[0].$$_[1]', i, 'tøken ' || repeat('$$_[1] ' || i, i % 5) FROM generate_series(1, $n) i WHERE i % 10 <> 0;\n" } @columns));
my $sealed = go('seal', 'coder', $old, $node->safe_psql('coder', q{SELECT json_build_object('place', place, 'id', id, 'plaintext', encode(convert_to(plaintext, 'UTF8'), 'hex')) FROM t.plain}));
my ($test) = go('seal', 'coder', $old, qq({"plaintext": "636f646572"}\n)) =~ /"value":"([^"]*)"/;
my ($digest) = $sealed =~ /"companion":"([^"]*)"/;
copy_in('coder', 'sealed', $sealed);
$node->safe_psql('coder', "INSERT INTO dbcrypt_keys (number, active_key_digest, test) VALUES (1, '$digest', '$test');"
	. join('', map {
		my $id = $$_[2] eq 'sequence' ? $$_[2] : "$$_[2]::text";
		my $of = $$_[2] eq 'sequence' ? q{(j->>'id')::int} : q{t.uid((j->>'id')::int)::text};
		"UPDATE $$_[0] SET $$_[1] = j->>'value', $$_[1]_key_id = j->>'companion' FROM t.sealed WHERE j->>'place' = '$$_[0].$$_[1]' AND $id = $of;\n" } @columns)
	. "UPDATE users SET deleted = true WHERE id = t.uid(3)");

is($node->safe_psql('coder', 'SELECT count(*), sum("values"), bool_or(sampled) FROM dbcrypt.dbcrypt_adopt_coder()'),
	scalar(@columns) . '|' . $written * @columns . '|f', 'Coder: every column is adopted, and every value was read');
is($node->safe_psql('coder', 'SELECT DISTINCT state FROM dbcrypt.dbcrypt_verify_all()'), 'primary', 'a blank one is no finding');
write_key_file(key_file($node), $new, $old);
$node->safe_psql('coder', 'SELECT dbcrypt.dbcrypt_register_keys()');
is($node->safe_psql('coder', 'SELECT sum(rotated) FROM dbcrypt.dbcrypt_rotate_all()'), $written * @columns, 'rotated');
write_key_file(key_file($node), $new);
my $lines = join "\n", map { $node->safe_psql('coder', "SELECT json_build_object('place', '$$_[0].$$_[1]', 'key', $$_[2], 'value', $$_[1], 'companion', $$_[1]_key_id) FROM $$_[0] WHERE $$_[1] <> ''") } @columns;
copy_in('coder', 'opened', go('open', 'coder', $new, "$lines\n"));
is($node->safe_psql('coder', q{SELECT count(*), count(*) FILTER (WHERE convert_from(decode(j->>'plaintext', 'hex'), 'UTF8') = plaintext)
	FROM t.opened JOIN t.plain ON place = j->>'place' AND j->>'key' IN (id::text, t.uid(id)::text)}),
	join('|', ($written * @columns) x 2), 'Coder reads every value with the new key alone');
is($node->safe_psql('coder', join ' UNION ALL ', map { "SELECT count(*) FROM $$_[0] WHERE $$_[1] = '' AND $$_[1]_key_id IS NULL" } @columns),
	join("\n", ($n - $written) x @columns), 'and blank ones are blank');

### Containarium

database('containarium');
$node->safe_psql('containarium', q{CREATE TABLE t.plain AS SELECT 'üser/' || i % 17 AS username, 'KEY_' || i AS name, repeat('värde ' || i, i % 5) AS plaintext FROM generate_series(1, 400) i});
copy_in('containarium', 'sealed', go('seal', 'containarium', $old, $node->safe_psql('containarium',
	q{SELECT json_build_object('username', username, 'name', name, 'plaintext', encode(convert_to(plaintext, 'UTF8'), 'hex')) FROM t.plain})));
is($node->safe_psql('containarium', q{
	INSERT INTO secrets (username, name, ciphertext, nonce) SELECT j->>'username', j->>'name', decode(j->>'value', 'hex'), decode(j->>'companion', 'hex') FROM t.sealed;
	SELECT * FROM dbcrypt.dbcrypt_adopt('secrets', 'ciphertext', 'containarium')}), '400|f', 'Containarium: every value was read');
write_key_file(key_file($node), $new, $old);
$node->safe_psql('containarium', 'SELECT dbcrypt.dbcrypt_register_keys()');
like($node->safe_psql('containarium', q{CALL dbcrypt.dbcrypt_rotate_in_place('secrets', 'ciphertext')}), qr/^400\|0\|/, 'rotated within its rows');
write_key_file(key_file($node), $new);
copy_in('containarium', 'opened', go('open', 'containarium', $new, $node->safe_psql('containarium',
	q{SELECT json_build_object('username', username, 'name', name, 'value', encode(ciphertext, 'hex'), 'companion', encode(nonce, 'hex')) FROM secrets}) . "\n"));
is($node->safe_psql('containarium', q{SELECT count(*) FROM t.opened JOIN t.plain ON username = j->>'username' AND name = j->>'name' WHERE convert_from(decode(j->>'plaintext', 'hex'), 'UTF8') = plaintext}),
	400, 'Containarium reads every value with the new key alone');
$node->stop;

done_testing();
