# An online rotation that is cancelled, or whose server, backend or worker is killed
# with -9, at random moments: every value decrypts afterwards, and one more call
# finishes the work.
use strict;
use warnings FATAL => 'all';

use DbcryptTest;
use IPC::Run;
use List::Util qw(min);
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

plan skip_all => 'needs /proc' unless -d "/proc/$$";

my $hits = soak() ? 40 : 10; # so many times each way must interrupt a rotation
my $rows = soak() ? 100_000 : 8_000;
my $seed = $ENV{DBCRYPT_SEED} // int(time() * 1000) % 2**31;
srand $seed;
note "DBCRYPT_SEED=$seed";

my ($k1, $k2) = map { secret_key($_) } 'one', 'two';
my $node = new_node('online_kill',
	keys => [ $k1, $k2 ],
	conf => "restart_after_crash = on\nmax_wal_size = 64MB\nmin_wal_size = 32MB\nautovacuum = off\nshared_buffers = 16MB\n");
$node->safe_psql('postgres', qq{
CREATE TABLE tokens (id int, v text, other int);
INSERT INTO tokens SELECT i, dbcrypt_encrypt('token ' || i, i::text), i % 100 FROM generate_series(1, $rows) i;
CREATE INDEX ON tokens (other);
SELECT dbcrypt_register_column('tokens', 'v', 'id');
});

my @keys = ($k1, $k2);

# Starts a rotation to the key that is not primary; the pid of its backend.
sub start_rotation
{
	my ($options, $out) = @_;
	@keys = reverse @keys;
	write_key_file(key_file($node), @keys);
	# Not through standard input: a server started meanwhile would hold that open.
	my $run = IPC::Run::start(
		[ 'psql', '-XAtq', '-d', $node->connstr('postgres'), '-c', 'SELECT pg_backend_pid()',
			'-c', "CALL dbcrypt_rotate_online('tokens', 'v', batch_blocks => 4 $options)" ],
		'<', '/dev/null', '>', $out, '2>&1');
	$run->pump until $$out =~ /^(\d+)\n/ || !$run->pumpable;
	die "no rotation: $$out" unless $$out =~ /^(\d+)\n/;
	return ($run, $1);
}

# A process of the server is killed with -9, and the server starts again.
sub crash
{
	my ($pid) = @_;
	kill_process($node, $pid) if defined $pid;
	return;
}

# Waits for the worker of a rotation, whose start takes time, and a moment more; undef
# if the rotation ends without one.
sub worker_of
{
	my ($run) = @_;
	my $pid;
	until ($pid = server_process($node, qr/dbcrypt rotation worker/))
	{
		eval { $run->pump_nb };
		return unless $run->pumpable;
		sleep 0.005;
	}
	sleep rand(0.05);
	return $pid;
}

# Ways to end a rotation, given the process of its backend and its psql, with nothing to wait for
# before they strike. SIGINT is what pg_cancel_backend() sends.
my %way = (
	'statement cancel' => [ '', sub { kill 'INT', $_[0] } ],
	'cancel with a worker' => [ ', workers => 2', sub { kill 'INT', $_[0] } ],
	'kill -9 of the backend' => [ '', sub { crash($_[0]) } ],
	'kill -9 of a worker' => [ ', workers => 2, busy_share => 0.2', sub { crash(worker_of($_[1])) } ],
	'kill -9 of the server' => [ '', sub { kill_server($node); $node->start } ]);

# The moments fall into the time that a rotation takes. A machine that is busy at
# times makes some of them miss: each miss makes that time shorter, and there is
# another try until there are enough.
my $started = time;
(start_rotation('', \my $whole))[0]->finish;
my $duration = time - $started;

foreach my $name (sort keys %way)
{
	my ($options, $end) = @{ $way{$name} };
	my ($tries, $interrupted, $lost, $unfinished) = (0, 0, 0, 0);
	my $window = $duration;

	while ($interrupted < $hits && $tries++ < 10 * $hits)
	{
		my $out = '';
		my ($run, $pid) = start_rotation($options, \$out);
		sleep rand($window) if $name ne 'kill -9 of a worker';
		$end->($pid, $run);
		$run->finish;
		my $hit = $out =~ /canceling|terminat|server closed|crash/;
		$interrupted++ if $hit;
		$window = $hit ? min($duration, 1.2 * $window) : 0.8 * $window;
		my $good = $node->safe_psql('postgres',
			q{SELECT count(*), count(DISTINCT id) FROM tokens WHERE dbcrypt_decrypt(v, id::text) = 'token ' || id});
		$lost++ if $good ne "$rows|$rows" || $node->safe_psql('postgres', 'SELECT count(*) FROM tokens') != $rows;
		my ($rc, undef, $err) = $node->psql('postgres', "CALL dbcrypt_rotate_online('tokens', 'v')");
		diag $err if $rc != 0;
		$unfinished++ if $rc != 0 || $node->safe_psql('postgres',
			"SELECT count(*) FROM tokens WHERE dbcrypt_key_id(v) <> '@{[ key_id($keys[0]) ]}'") != 0;
	}
	is($interrupted, $hits, "$name: $hits rotations were interrupted, in $tries tries");
	is($lost, 0, '... and every value decrypted after each');
	is($unfinished, 0, '... and one more call finished');
}

is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'dbcrypt rotation%'}),
	'0', 'no worker is left behind');
$node->safe_psql('postgres', 'CREATE EXTENSION amcheck');
is($node->safe_psql('postgres', q{SELECT count(*) FROM verify_heapam('tokens')}), '0', 'the table is sound');
is($node->safe_psql('postgres', q{SELECT count(bt_index_check(indexrelid, true)) FROM pg_index WHERE indrelid = 'tokens'::regclass}),
	'1', 'and its index');
$node->stop;
no_key_in_files_ok($node->data_dir, $_, 'the data directory and its log') foreach $k1, $k2;
done_testing();
