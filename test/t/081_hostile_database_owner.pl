# Hostile owners of a database: nothing that ALTER DATABASE offers them silences or
# steers what dbcrypt's workers do there as superuser.
use strict;
use warnings FATAL => 'all';

use DbcryptTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('database_owner', conf => "log_min_messages = debug1\nautovacuum = off\n");
$node->safe_psql('postgres', q{CREATE ROLE dbo LOGIN; CREATE ROLE powerless; GRANT powerless TO dbo; CREATE DATABASE theirs OWNER dbo});
$node->safe_psql('theirs', q{
	CREATE EXTENSION dbcrypt;
	SELECT dbcrypt_register_keys();
	CREATE TABLE people (id int, secret text);
	INSERT INTO people VALUES (1, 'plaintext');
	SELECT dbcrypt_register_column('people', 'secret')});
my $found = qr/WARNING:  dbcrypt: database "theirs", column public\.people\.secret: .*not encrypted/;

# What the server logs from a reload to the end of its checks.
sub reload_log
{
	my $offset = -s $node->logfile;
	$node->reload;
	$node->wait_for_log(qr/dbcrypt: checked every database/, $offset);
	return substr(slurp_file($node->logfile), $offset);
}

my @dbo = (extra_params => [ '-U', 'dbo' ]);
$node->wait_for_log(qr/dbcrypt: checked every database/);
like(reload_log(), $found, 'the finding');

my $version = $node->safe_psql('postgres', 'SHOW server_version_num');
my @settings = (
	q{role = 'powerless'}, q{session_authorization = 'powerless'}, q{search_path = 'nowhere'}, 'exit_on_error = on',
	'default_transaction_read_only = on', 'default_transaction_isolation = serializable', 'default_transaction_deferrable = on',
	'statement_timeout = 1', 'lock_timeout = 1', 'idle_in_transaction_session_timeout = 1', 'row_security = off',
	'standard_conforming_strings = off', 'transform_null_equals = on', 'quote_all_identifiers = on', q{client_encoding = 'SQL_ASCII'},
	q{local_preload_libraries = 'nowhere'}, q{default_tablespace = 'nowhere'}, 'gin_fuzzy_search_limit = 1', q{DateStyle = 'SQL, DMY'},
	q{client_min_messages = error}, 'temp_buffers = 100', 'work_mem = 64', 'max_parallel_workers = 0', 'enable_seqscan = off');
push @settings, 'transaction_timeout = 1' if $version >= 170000;
push @settings, q{restrict_nonsystem_relation_kind = 'view, foreign-table'} if $version >= 170000;
foreach my $setting (@settings)
{
	my ($rc, $out, $err) = $node->psql('postgres', "ALTER DATABASE theirs SET $setting", @dbo);
	next if $err =~ /^psql:.*ERROR:|unrecognized|cannot be changed|cannot be set/ && $rc != 0;
	like(reload_log(), $found, "with $setting");
	$node->safe_psql('postgres', 'ALTER DATABASE theirs RESET ALL');
}
my %refused = ('session_preload_libraries' => q{'nowhere'}, log_min_messages => 'panic', 'dbcrypt.key_file' => q{'/nowhere'},
	'dbcrypt.max_workers' => 0, post_auth_delay => 100, ignore_system_indexes => 'on');
foreach my $name (sort keys %refused)
{
	like(psql_error($node, "ALTER DATABASE theirs SET $name = $refused{$name}", @dbo), qr/ERROR:/, "$name is not theirs to set");
}

# All at once, and what else an owner may alter.
foreach my $setting (@settings)
{
	$node->psql('postgres', "ALTER DATABASE theirs SET $setting", @dbo);
}
like(reload_log(), $found, 'with all of them');
$node->safe_psql('postgres', 'ALTER DATABASE theirs CONNECTION LIMIT 0', @dbo);
like(reload_log(), $found, 'without connections');
$node->safe_psql('postgres', 'ALTER DATABASE theirs ALLOW_CONNECTIONS false', @dbo);
like(reload_log(), $found, 'where nobody may connect');
$node->safe_psql('postgres', 'ALTER DATABASE theirs ALLOW_CONNECTIONS true', @dbo);
$node->safe_psql('postgres', 'ALTER DATABASE theirs CONNECTION LIMIT -1', @dbo);
$node->safe_psql('postgres', 'ALTER DATABASE theirs RESET ALL');

# The workers of a rotation, VACUUM among them.
$node->safe_psql('theirs', q{
	TRUNCATE people;
	INSERT INTO people SELECT i, dbcrypt_encrypt('x') FROM generate_series(1, 20000) i;
	CREATE INDEX ON people (secret)});
write_key_file(key_file($node), key_hex(2), key_hex(1));
$node->safe_psql('postgres', q{ALTER DATABASE theirs SET role = 'powerless'; ALTER DATABASE theirs SET exit_on_error = on; ALTER DATABASE theirs SET search_path = 'nowhere'});
my ($rc, $out, $err) = $node->psql('theirs', q{RESET role; SET search_path = public; SET role = none; SET exit_on_error = off;
	CALL dbcrypt_rotate_online('people', 'secret', batch_blocks => 8, vacuum_every => 4, workers => 2)});
is($out, '20000|20000|0|0|0', 'a rotation with workers');
unlike($err, qr/WARNING|ERROR/, '... and nothing fails');
$node->safe_psql('postgres', 'ALTER DATABASE theirs RESET ALL');
$node->poll_query_until('theirs', q{SELECT vacuum_count > 0 FROM pg_stat_user_tables WHERE relname = 'people'});
cmp_ok($node->safe_psql('theirs', q{SELECT vacuum_count FROM pg_stat_user_tables WHERE relname = 'people'}), '>', 0,
	'... VACUUM between batches has the rights to');
$node->stop;
done_testing();
