# The limits of an online rotation: WAL rate, share of time, replica lag; VACUUM
# between batches; background workers, their errors, and the lack of them.
use strict;
use warnings FATAL => 'all';

use DbcryptTest;
use PostgreSQL::Test::Utils;
use Test::More;

my ($k1, $k2) = map { secret_key($_) } 'one', 'two';
my $node = new_node('online_limits',
	keys => [ $k1, $k2 ],
	allows_streaming => 1,
	preload => 0,
	conf => "autovacuum = off\nmax_worker_processes = 4\nmax_wal_size = 1GB\nsession_preload_libraries = ''\n");
my @keys = ($k1, $k2);

sub switch_keys
{
	@keys = reverse @keys;
	write_key_file(key_file($node), @keys);
	return;
}

sub all_rotated
{
	my ($table, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is($node->safe_psql('postgres', "SELECT count(*) FROM $table WHERE dbcrypt_key_id(v) <> '@{[ key_id($keys[0]) ]}'"),
		'0', "$name: all values are under the new key");
	return;
}

# Brings all values under the key that the next rotation turns away from.
sub settle
{
	my ($table) = @_;
	$table //= 'small';
	$node->safe_psql('postgres', "CALL dbcrypt_rotate_online('$table', 'v')");
	return;
}

# Starts a rotation in a session of its own.
sub start_rotation
{
	my ($options) = @_;
	my $session = new_session($node);
	switch_keys();
	start_sql($session, "CALL dbcrypt_rotate_online($options)");
	return $session;
}

# Waits for its end; what it said.
sub end_rotation
{
	my ($session) = @_;
	my (undef, $err) = finish_sql($session);
	$session->quit;
	return without_progress($err);
}

# Without the lines that a rotation prints every few seconds: on a busy machine a
# short one does, too.
sub without_progress
{
	my ($err) = @_;
	return $err =~ s/^(?:psql:\S+ )?NOTICE:  column "\w+" of table "\w+": \d+%, \d+ rows per second, \d+ s left\n?//mgr;
}

# Locks a row of the first block and one of the last: two processes come to wait.
sub hold_two_rows
{
	my ($session) = @_;
	settle();
	$session->query_safe('BEGIN');
	$session->query_safe('SELECT id FROM small WHERE id IN ((SELECT id FROM small ORDER BY ctid LIMIT 1), (SELECT id FROM small ORDER BY ctid DESC LIMIT 1)) FOR UPDATE');
	return;
}

sub poll_ok
{
	my ($query, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	ok($node->poll_query_until('postgres', $query), $name) or die "waited in vain\n";
	return;
}

my $caller = q{(SELECT pid FROM pg_stat_activity WHERE query LIKE 'CALL dbcrypt%' AND state = 'active')};
my $workers = q{SELECT (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'dbcrypt rotation worker')};

$node->safe_psql('postgres', q{
CREATE TABLE small (id int, v text);
INSERT INTO small SELECT i, dbcrypt_encrypt('token ' || i) FROM generate_series(1, 3000) i;
CREATE INDEX ON small (v);
CREATE TABLE large (id int PRIMARY KEY, v text);
INSERT INTO large SELECT i, dbcrypt_encrypt('token ' || i) FROM generate_series(1, 60000) i;
CREATE INDEX ON large (v);
});
$node->safe_psql('postgres', 'VACUUM ANALYZE');

### waits, that end when the statement is cancelled; and hold back nobody's VACUUM meanwhile

foreach my $limit (q{max_wal_rate => '1kB'}, q{busy_share => 0.000001})
{
	settle();
	my $session = start_rotation("'small', 'v', batch_blocks => 4, $limit");
	poll_ok(q{SELECT count(*) = 1 FROM dbcrypt_progress WHERE phase = 'waiting' AND rotated BETWEEN 1 AND 2000 AND blocks_done BETWEEN 1 AND blocks_total - 1}, "$limit makes it wait");
	poll_ok("SELECT backend_xmin IS NULL AND backend_xid IS NULL FROM pg_stat_activity WHERE pid = $caller", '... without a snapshot');
	is($node->safe_psql('postgres', "SELECT count(*) FROM pg_locks WHERE pid = $caller AND relation = 'small'::regclass"), '0', '... or a lock');
	$node->safe_psql('postgres', "SELECT pg_cancel_backend($caller)");
	like(end_rotation($session), qr/ERROR:  canceling statement due to user request/, '... and can be cancelled');
	is($node->safe_psql('postgres', 'SELECT count(*) FROM dbcrypt_progress'), '0', '... and is gone from dbcrypt_progress');
}
switch_keys();
$node->safe_psql('postgres', q{CALL dbcrypt_rotate_online('small', 'v', max_wal_rate => '100MB', busy_share => 0.9)});
all_rotated('small', 'limits that are high');

### lines to the caller

{
	settle();
	my $session = start_rotation(q{'small', 'v', batch_blocks => 4, max_wal_rate => '100kB'});
	pump_until($session->{run}, $session->{timeout}, \$session->{stderr}, qr/NOTICE.*\n/);
	like($session->{stderr}, qr/NOTICE:  column "v" of table "small": \d+%, \d+ rows per second, \d+ s left/, 'a line every few seconds');
	poll_ok(q{SELECT count(*) = 1 FROM dbcrypt_progress WHERE "table" = 'small'::regclass AND "column" = 'v' AND database = 'postgres' AND blocks_total > blocks_done AND estimated_end > clock_timestamp() AND started < clock_timestamp()}, 'dbcrypt_progress has a row with sane numbers');
	$node->safe_psql('postgres', "SELECT pg_cancel_backend($caller)");
	end_rotation($session);
	switch_keys();
	$node->safe_psql('postgres', q{CALL dbcrypt_rotate_online('small', 'v')});
}

### a standby that lags

$node->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('online_standby');
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->start;
$node->wait_for_catchup($standby);
$standby->safe_psql('postgres', 'SELECT pg_wal_replay_pause()');
$standby->poll_query_until('postgres', q{SELECT pg_get_wal_replay_pause_state() = 'paused'});
{
	settle();
	my $session = start_rotation(q{'small', 'v', batch_blocks => 4, max_lag => '64kB'});
	poll_ok(q{SELECT count(*) = 1 FROM dbcrypt_progress WHERE phase = 'waiting' AND blocks_done < blocks_total}, 'max_lag waits for a paused standby');
	$standby->safe_psql('postgres', 'SELECT pg_wal_replay_resume()');
	unlike(end_rotation($session), qr/ERROR/, '... and goes on when it replays');
	all_rotated('small', 'max_lag');
	$node->wait_for_catchup($standby);
	like(psql_error($standby, q{CALL dbcrypt_rotate_online('small', 'v')}), qr/ERROR:  cannot execute dbcrypt_rotate_online during recovery/, 'a standby refuses');
}
$standby->stop;

### VACUUM between batches keeps the table from doubling

{
	my $size = q{SELECT pg_relation_size('large')};
	my $before = $node->safe_psql('postgres', $size);
	switch_keys();
	my ($rc, $out, $err) = $node->psql('postgres', q{CALL dbcrypt_rotate_online('large', 'v', batch_blocks => 32, vacuum_every => 4)});
	is(without_progress($err), '', 'VACUUM finds a worker');
	all_rotated('large', 'with VACUUM');
	my $with = $node->safe_psql('postgres', $size);
	cmp_ok($with, '<', 1.5 * $before, 'the table has not doubled');
	cmp_ok($node->safe_psql('postgres', q{SELECT vacuum_count FROM pg_stat_user_tables WHERE relname = 'large'}), '>', 1, '... because it was vacuumed');
	$node->safe_psql('postgres', 'VACUUM FULL large');
	switch_keys();
	$node->safe_psql('postgres', q{CALL dbcrypt_rotate_online('large', 'v', batch_blocks => 32, vacuum_every => 0)});
	cmp_ok($node->safe_psql('postgres', $size), '>', 1.9 * $before, 'without, it has');
	$node->safe_psql('postgres', 'VACUUM FULL large');

	# Someone else's maintenance is not waited for.
	my $holder = new_session($node);
	$holder->query_safe('BEGIN');
	$holder->query_safe('LOCK TABLE large IN SHARE UPDATE EXCLUSIVE MODE');
	switch_keys();
	$node->safe_psql('postgres', q{CALL dbcrypt_rotate_online('large', 'v', vacuum_every => 1)});
	all_rotated('large', 'beside maintenance of someone else');
	$holder->quit;
}

### workers, in a server that has not preloaded dbcrypt; keys that only the session has

{
	my $holder = new_session($node);
	hold_two_rows($holder);
	my $session = start_rotation(q{'small', 'v', batch_blocks => 1, workers => 2});
	poll_ok("$workers = 1", 'workers => 2 runs a worker');
	poll_ok(q{SELECT count(*) = 2 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND (pid IN (SELECT pid FROM dbcrypt_progress) OR backend_type = 'dbcrypt rotation worker')}, '... that rotates: both wait for a row');
	$holder->query_safe('ROLLBACK');
	$holder->quit;
	is(end_rotation($session), '', '... and both end without a word');
	all_rotated('small', 'with a worker');

	settle('large');
	my $keys = "SET dbcrypt.key_file = ''; SET dbcrypt.keys = '" . join(',', reverse @keys) . "'";
	is($node->safe_psql('postgres', "$keys; CALL dbcrypt_rotate_online('large', 'v', batch_blocks => 1, workers => 4)"),
		'60000|60000|0|0|0', 'workers have the keys, the role and the settings of the session');
	switch_keys();
	all_rotated('large', 'keys of the session');
}

# Cancelled while it waits for a row, the caller's session is as after any error.
{
	my $holder = new_session($node);
	hold_two_rows($holder);
	my $session = start_rotation(q{'small', 'v'});
	poll_ok("SELECT wait_event_type = 'Lock' FROM pg_stat_activity WHERE pid = $caller", 'waits for a row');
	$node->safe_psql('postgres', "SELECT pg_cancel_backend($caller)");
	like((finish_sql($session))[1], qr/ERROR:  canceling statement due to user request/, '... and is cancelled');
	is((run_sql($session, q{SELECT count(*) FROM pg_locks WHERE relation = 'small'::regclass AND pid = pg_backend_pid()}))[0],
		'0', '... and holds no lock and no transaction afterwards');
	$session->quit;
	$holder->quit;
}

# Cancelled or terminated, the caller takes its workers with it.
foreach my $how ('pg_cancel_backend', 'pg_terminate_backend')
{
	settle();
	my $session = start_rotation(q{'small', 'v', batch_blocks => 1, workers => 3, busy_share => 0.00001});
	poll_ok("$workers = 2", 'two workers');
	$node->safe_psql('postgres', "SELECT $how($caller)");
	poll_ok("$workers = 0", "$how of the caller ends them");
	eval { $session->quit };
	switch_keys();
	$node->safe_psql('postgres', q{CALL dbcrypt_rotate_online('small', 'v')});
	all_rotated('small', "after $how");
}

# A worker that is cancelled stops the rotation; one that is terminated does not.
foreach my $case ([ 'pg_cancel_backend', qr/ERROR:  canceling statement due to user request\n(?:DETAIL:  Table public.small, row .*\n)?CONTEXT:  background worker of the rotation/ ],
	[ 'pg_terminate_backend', qr/\A(?:.*NOTICE:.*\n)*\z/ ])
{
	my ($how, $expected) = @$case;
	my $holder = new_session($node);
	hold_two_rows($holder);
	my $session = start_rotation(q{'small', 'v', batch_blocks => 1, workers => 2});
	poll_ok(q{SELECT count(*) = 2 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND (pid IN (SELECT pid FROM dbcrypt_progress) OR backend_type = 'dbcrypt rotation worker')}, 'both wait for a row');
	$node->safe_psql('postgres', "SELECT $how(pid) FROM pg_stat_activity WHERE backend_type = 'dbcrypt rotation worker'");
	poll_ok("$workers = 0", "$how ends a worker");
	$holder->query_safe('ROLLBACK');
	$holder->quit;
	like(end_rotation($session), $expected, '... and the caller sees it');
	$node->safe_psql('postgres', q{CALL dbcrypt_rotate_online('small', 'v')});
	all_rotated('small', "after $how of a worker");
}

# An error of one is the error of all, row included, whatever they wait for.
{
	my $holder = new_session($node);
	settle();
	my $last = $node->safe_psql('postgres', 'SELECT id FROM small ORDER BY ctid DESC LIMIT 1');
	$node->safe_psql('postgres', "ALTER TABLE small ADD CHECK (id <> $last OR dbcrypt_key_id(v) <> '@{[ key_id($keys[1]) ]}')");
	$holder->query_safe('BEGIN');
	$holder->query_safe('SELECT id FROM small ORDER BY ctid LIMIT 1 FOR UPDATE');
	my $session = start_rotation(q{'small', 'v', batch_blocks => 1, workers => 2});
	like(end_rotation($session), qr/ERROR:  the new row violates constraint "small_check"\nDETAIL:  Table public.small, row \(\d+,\d+\)/, 'an error beside a process that waits');
	poll_ok("$workers = 0", '... and all workers end');
	$holder->quit;
	$node->safe_psql('postgres', 'ALTER TABLE small DROP CONSTRAINT small_check');
	settle();
	all_rotated('small', 'after an error');
}

### no workers to be had

$node->append_conf('postgresql.conf', 'max_worker_processes = 0');
$node->restart;
{
	settle('large');
	switch_keys();
	my ($rc, $out, $err) = $node->psql('postgres', q{CALL dbcrypt_rotate_online('large', 'v', workers => 3, batch_blocks => 8, vacuum_every => 1)});
	is($rc, 0, 'without background workers the rotation goes on');
	like($err, qr/NOTICE:  1 of 3 workers started\nDETAIL:  The server has no more background workers to give.\nHINT:  Raise dbcrypt\.max_workers or max_worker_processes\./, '... and says so');
	is(scalar(() = $err =~ /NOTICE:  no background worker is free for VACUUM: going on without/g), 1, '... and once that there is no VACUUM');
	all_rotated('large', 'no workers');
}
$node->stop;
my $log = slurp_file($node->logfile);
unlike($log, qr/TRAP|PANIC|segfault|signal 1[01]|lost connection/, 'nothing broke');
unlike($log, qr/\Q$k1\E.*\Q$k2\E.*rotation worker/, 'no key of a worker is in the log');
done_testing();
