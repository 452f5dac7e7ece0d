# Hostile callers of rotation: nobody takes all background workers of the server, and
# pg_stat_activity shows whose a worker is.
use strict;
use warnings FATAL => 'all';

use DbcryptTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('workers', keys => [ key_hex(1) ], conf => "autovacuum = off\nmax_worker_processes = 16\nmax_parallel_workers = 16\n");
$node->safe_psql('postgres', q{
	CREATE ROLE owner LOGIN;
	CREATE ROLE team;
	GRANT team TO owner;
	GRANT CREATE ON SCHEMA public TO owner, team;
	GRANT EXECUTE ON ALL ROUTINES IN SCHEMA public TO owner, team});
my @owner = (extra_params => [ '-U', 'owner' ]);
$node->safe_psql('postgres', q{
	CREATE TABLE a (s text);
	CREATE TABLE b (s text);
	SET ROLE team;
	CREATE TABLE c (s text)}, @owner);
$node->safe_psql('postgres', q{
	INSERT INTO a SELECT dbcrypt_encrypt(repeat('x', 900)) FROM generate_series(1, 400);
	INSERT INTO b SELECT s FROM a;
	INSERT INTO c SELECT s FROM a});
write_key_file(key_file($node), key_hex(2), key_hex(1));
$node->safe_psql('postgres', 'SELECT dbcrypt_register_keys()');
my $workers = q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'dbcrypt rotation worker'};

# A rotation of a table in a session whose rows another one holds: it stays where it is.
sub rotate_held
{
	my ($table, $before, $workers) = @_;
	my $holder = new_session($node);
	$holder->query_safe("BEGIN; SELECT count(*) FROM (SELECT FROM $table FOR UPDATE) r");
	my $session = $node->background_psql('postgres', on_error_stop => 0, @owner);
	start_sql($session, "$before CALL dbcrypt_rotate_online('$table', 's', batch_blocks => 1, workers => $workers)");
	return ($holder, $session);
}

# However much they raise what is theirs to raise.
my $raise = 'SET max_parallel_workers = 1024;';
my ($holder, $session) = rotate_held('a', $raise, 64);
ok($node->poll_query_until('postgres', "SELECT ($workers) >= 4"), 'as many workers as dbcrypt.max_workers');
my ($holder2, $session2) = rotate_held('b', $raise, 64);
ok($node->poll_query_until('postgres', q{SELECT count(*) >= 2 FROM dbcrypt_progress}), 'another rotation');
is($node->safe_psql('postgres', $workers), 4, '... gets none more');
is($node->safe_psql('postgres', q{SELECT DISTINCT usename FROM pg_stat_activity WHERE backend_type = 'dbcrypt rotation worker'}),
	'owner', "they are the caller's");
$holder->query_safe('ROLLBACK');
$holder2->query_safe('ROLLBACK');
my ($out, $err) = finish_sql($session);
like($err, qr/NOTICE:  5 of 64 workers started\nDETAIL:.*\nHINT:  Raise dbcrypt\.max_workers or max_worker_processes/, 'a notice says so');
($out, $err) = finish_sql($session2);
like($err, qr/NOTICE:  1 of 64 workers started/, '... to both');
$_->quit foreach $holder, $holder2, $session, $session2;
is($node->safe_psql('postgres', q{SELECT sum("values") FROM (SELECT (dbcrypt_verify(t, 's')).* FROM unnest('{a,b}'::regclass[]) t) v WHERE state = 'primary'}),
	800, 'both end well');

like(psql_error($node, 'SET dbcrypt.max_workers = 64', @owner), qr/cannot be changed now/, 'the setting is not theirs');
like(psql_error($node, 'ALTER ROLE owner SET dbcrypt.max_workers = 64', @owner), qr/cannot be changed now/, '... nor their sessions\'');

# A role that cannot log in; fewer workers, and none.
$node->safe_psql('postgres', q{ALTER SYSTEM SET dbcrypt.max_workers = 1; SELECT pg_reload_conf()});
$node->poll_query_until('postgres', q{SHOW dbcrypt.max_workers}, '1');
($holder, $session) = rotate_held('c', 'SET ROLE team;', 4);
ok($node->poll_query_until('postgres', "SELECT ($workers) = 1"), 'one worker');
is($node->safe_psql('postgres', q{SELECT usename FROM pg_stat_activity WHERE backend_type = 'dbcrypt rotation worker'}), 'team', '... of the role that calls');
$holder->query_safe('ROLLBACK');
($out, $err) = finish_sql($session);
like($err, qr/NOTICE:  2 of 4 workers started/, '... and a notice');
$_->quit foreach $holder, $session;
$node->stop;
done_testing();
