# The guides of docs/, run as they are written: each SQL and shell block, and each
# state of the key file, in their order. A page with blocks that no test runs fails.
use strict;
use warnings FATAL => 'all';

use DbcryptTest;
use FindBin;
use IPC::Run ();
use PageTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $root = "$FindBin::RealBin/../..";
plan skip_all => 'the pages are not here' unless -d "$root/docs";

my %key = map { ($_ => secret_key("guides $_")) } qw(OLD NEW NEWEST);
my $passphrase = 'a passphrase of before';
my $dir = PostgreSQL::Test::Utils::tempdir();
symlink "$root/runbook", "$dir/runbook" or die $!;

my $node = new_node('guides', start => 0, conf => "wal_level = logical\nmax_prepared_transactions = 0\n");
write_key_file(key_file($node), $key{OLD});
$node->start;
$node->safe_psql('postgres', 'CREATE ROLE rotator; CREATE ROLE support; CREATE ROLE app');

# A file that a page names by a word of capitals.
sub secret_file
{
	my ($name, $text) = @_;
	my $path = $node->basedir . "/$name";
	append_to_file($path, "$text\n");
	return $path;
}
my %file = (PASSPHRASE => secret_file('passphrase', $passphrase), OLDKEY => secret_file('oldkey', $key{OLD}));

# Tables as a page finds them. Each page has a database of its own, with dbcrypt in a
# schema of its own and the key OLD registered.
my $tokens = q{
	CREATE TABLE oauth_tokens (user_id bigint PRIMARY KEY, access_token text, refresh_token text);
	INSERT INTO oauth_tokens SELECT i, 'ghp_' || i, 'ghr_' || i FROM generate_series(1, 500) i;
	SELECT dbcrypt_encrypt_column('oauth_tokens', 'access_token', 'user_id'),
		dbcrypt_encrypt_column('oauth_tokens', 'refresh_token', 'user_id');};
my %page = (
	reference => '',
	rotation => "$tokens
		CREATE TABLE people (id int PRIMARY KEY, secret text);
		INSERT INTO people SELECT i, 'secret ' || i FROM generate_series(1, 500) i;
		CREATE FUNCTION record_audit() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
		SELECT pg_create_logical_replication_slot('cdc', 'test_decoding');",
	security => $tokens,
	operations => "$tokens
		CREATE TABLE customers (id bigint PRIMARY KEY, iban text);
		INSERT INTO customers SELECT i, 'DE' || i FROM generate_series(1, 500) i;
		CREATE TABLE former_customers (iban text); SELECT dbcrypt_register_column('former_customers', 'iban');",
	pgcrypto => "CREATE EXTENSION pgcrypto;
		SET log_statement = none;
		CREATE TABLE customers (id int PRIMARY KEY, iban bytea);
		INSERT INTO customers SELECT i, pgp_sym_encrypt('DE' || i, '$passphrase') FROM generate_series(1, 20) i;
		CREATE TABLE tokens (id int PRIMARY KEY, token bytea, iv bytea);
		INSERT INTO tokens SELECT i, NULL, gen_random_bytes(16) FROM generate_series(1, 500) i;
		UPDATE tokens SET token = encrypt_iv(convert_to('täken ' || id, 'UTF8'), '\\x$key{OLD}', iv, 'aes');");
my %database = (operations => 'guide');

sub run_shell
{
	my ($database, $command) = @_;
	my ($out, $err);
	local @ENV{qw(PGHOST PGPORT PGDATABASE)} = ($node->host, $node->port, $database);
	my $ok = IPC::Run::run([ 'sh', '-ec', "cd $dir && $command" ], '<', \"yes\n", '>', \$out, '2>', \$err);
	return ($ok, "$out$err");
}

# What a provisioning tool may not change by a second run.
sub provisioned
{
	my ($database) = @_;
	return $node->safe_psql($database, q{SELECT format('%s', c) FROM dbcrypt_columns c UNION ALL
		SELECT format('%s %s', oid::regclass, relfilenode) FROM pg_class WHERE relnamespace = 'public'::regnamespace
		UNION ALL SELECT format('%s %s', tgrelid::regclass, tgname) FROM pg_trigger ORDER BY 1});
}

for my $name (sort keys %page)
{
	my $database = $database{$name} // $name;
	my %count;
	my $last_sql;
	write_key_file(key_file($node), $key{OLD});
	$node->safe_psql('postgres', "CREATE DATABASE $database");
	$node->safe_psql('postgres', "ALTER DATABASE $database SET search_path = public, dbcrypt");
	$node->safe_psql($database, 'CREATE SCHEMA dbcrypt; CREATE EXTENSION dbcrypt SCHEMA dbcrypt; SELECT dbcrypt_register_keys()');
	$node->safe_psql($database, $page{$name});
	for my $block (blocks(slurp_file("$root/docs/$name.md")))
	{
		my ($language, $text) = @$block;
		$text =~ s/\b(OLD|NEW|NEWEST)\b/$key{$1}/g;
		$text =~ s/\b(PASSPHRASE|OLDKEY)\b/$file{$1}/g;
		my $n = ++$count{$language};
		if ($language eq 'keys') { write_key_file(key_file($node), split /\n/, $text) }
		elsif ($language eq 'sql')
		{
			my ($rc, $out, $err) = $node->psql($database, $text);
			is($rc, 0, "$name: SQL block $n") or diag $err;
			$last_sql = $text;
		}
		elsif ($language eq 'sh')
		{
			my ($ok, $said) = run_shell($database, $text);
			ok($ok, "$name: shell block $n") or diag $said;
		}
		elsif ($language eq 'yaml')
		{
			my ($command) = $text =~ /command: (.*)/;
			append_to_file("$dir/dbcrypt.sql", $last_sql);
			my $before = provisioned($database);
			for my $time (1 .. 2)
			{
				my ($ok, $said) = run_shell($database, $command);
				ok($ok, "$name: the provisioning tool's command, run $time") or diag $said;
				is(provisioned($database), $before, '... changes nothing');
			}
		}
		else { is($language, 'text', "$name: a block that is not run") }
	}
	cmp_ok($count{sql} // 0, '>=', 2, "$name: has SQL");
	is($node->safe_psql($database, 'SELECT "table", "column", state, "values" FROM dbcrypt_verify_all() ORDER BY 1, 2'),
		"oauth_tokens|access_token|old|500\noauth_tokens|refresh_token|old|500\npeople|secret|primary|500",
		'rotation: every value is known') if $name eq 'rotation';
}

# What the blocks have led to.
write_key_file(key_file($node), $key{NEW});
is($node->safe_psql('pgcrypto', "SELECT count(*) FROM customers WHERE dbcrypt_decrypt(iban, id::text) = 'DE' || id"), 20,
	'pgcrypto: every value of pgp_sym_encrypt is as it was');
is($node->safe_psql('pgcrypto', "SELECT count(*) FROM tokens WHERE dbcrypt_decrypt(token, id::text) = 'täken ' || id"), 500,
	'pgcrypto: every value of encrypt_iv is as it was');
$node->stop;
is_deeply([ grep_files($node->data_dir, 'täken 499') ], [], 'pgcrypto: plaintext is in no file');
is_deeply([ map { grep_files($_, $passphrase) } $node->logfile ], [], 'pgcrypto: the passphrase is not in the log');

# Every page with blocks is run: here, or in 065_pages.pl, 068_orms.pl.
my %elsewhere = map { ($_ => 1) } qw(coder containarium gitlab lockbox tooljet lightrun orms);
for my $path (glob "$root/docs/*.md")
{
	my ($name) = $path =~ m{([^/]+)\.md$};
	next if $page{$name} || defined $page{$name} || $elsewhere{$name};
	my @unrun = grep { $_->[0] ne 'text' } blocks(slurp_file($path));
	is(scalar @unrun, 0, "no block of docs/$name.md is left to run");
}
done_testing();
