# An online rotation that is cancelled, or whose server, backend or worker is killed
# with -9, at random moments: every value decrypts afterwards, and one more call
# finishes the work.
use strict;
use warnings FATAL => 'all';

use DbcryptTest;
use IPC::Run;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

my $rounds = 20;
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
	return ($run, $1);
}

# Runs a statement, again while there is no server: a server whose backend was killed
# takes connections until it notices. (exit code, output, error output).
sub steady_psql
{
	my ($sql) = @_;
	for (1 .. 20 * $PostgreSQL::Test::Utils::timeout_default)
	{
		# Not through standard input: a psql that is refused is gone before it reads it.
		my ($out, $err) = ('', '');
		IPC::Run::run([ 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('postgres'), '-c', $sql ],
			'<', '/dev/null', '>', \$out, '2>', \$err);
		my $rc = $? >> 8;
		chomp $out;
		return ($rc, $out, $err) if $rc != 2;
		sleep 0.05;
	}
	die 'the server does not come back';
}

# What a query gives then.
sub value_of
{
	my ($sql) = @_;
	my ($rc, $out, $err) = steady_psql($sql);
	die $err if $rc != 0;
	return $out;
}

# Which process a way to end a rotation meets; undef if there is none (any more).
sub worker_pid
{
	my $pid = $node->safe_psql('postgres', q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'dbcrypt rotation worker' LIMIT 1});
	return $pid || undef;
}

my %way = (
	'statement cancel' => [ '', sub { $node->safe_psql('postgres', "SELECT pg_cancel_backend($_[0])") } ],
	'cancel with a worker' => [ ', workers => 2', sub { $node->safe_psql('postgres', "SELECT pg_cancel_backend($_[0])") } ],
	'kill -9 of the backend' => [ '', sub { kill 'KILL', $_[0] } ],
	'kill -9 of a worker' => [ ', workers => 2', sub { my $pid = worker_pid(); kill 'KILL', $pid if $pid; } ],
	'kill -9 of the server' => [ '', sub { kill_server($node); $node->start } ]);

# How long a rotation takes, so that most moments fall into one.
my $started = time;
(start_rotation('', \my $whole))[0]->finish;
my $duration = time - $started;

foreach my $name (sort keys %way)
{
	my ($options, $end) = @{ $way{$name} };
	my ($interrupted, $lost, $unfinished) = (0, 0, 0);

	for (1 .. $rounds)
	{
		my $out = '';
		my ($run, $pid) = start_rotation($options, \$out);
		sleep rand($duration);
		$end->($pid);
		$run->finish;
		$interrupted++ if $out =~ /canceling|terminat|server closed|crash/;
		my $good = value_of(
			q{SELECT count(*) FROM tokens WHERE dbcrypt_decrypt(v, id::text) = 'token ' || id});
		$lost++ if $good != $rows || value_of('SELECT count(DISTINCT id) FROM tokens') != $rows;
		my ($rc, undef, $err) = steady_psql("CALL dbcrypt_rotate_online('tokens', 'v')");
		diag $err if $rc != 0;
		$unfinished++ if $rc != 0 || value_of(
			"SELECT count(*) FROM tokens WHERE dbcrypt_key_id(v) <> '@{[ key_id($keys[0]) ]}'") != 0;
	}
	ok($interrupted > 0, "$name: $interrupted of $rounds rotations were interrupted");
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
