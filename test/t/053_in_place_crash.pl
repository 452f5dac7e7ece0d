# Rotation in place, interrupted: the server, the backend or a worker killed, the
# call cancelled, the disk of the WAL full. Every value decrypts, and one more call
# finishes.
use strict;
use warnings FATAL => 'all';

use DbcryptTest;
use InPlaceTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep);

my $rows = 20_000;
my $kills = soak() ? 30 : 6;
my $interruptions = soak() ? 20 : 4;
my $node = new_node('in_place_crash',
	extra => ['--data-checksums'],
	conf => "autovacuum = off\nrestart_after_crash = on\nwal_buffers = 64kB\n");
make_table($node, 't', $rows);
my $count = $node->safe_psql('postgres', 'SELECT count(*) FROM t');
my @keys = (key_hex(1), key_hex(2));

# The other key becomes primary: there is everything to do again.
sub swap_keys
{
	@keys = reverse @keys;
	write_key_file(key_file($node), @keys);
	return;
}

# One more call finishes.
sub finishes
{
	my ($what) = @_;
	$node->safe_psql('postgres', "CALL dbcrypt_rotate_in_place('t', 'c')");
	check_table($node, 't', "$what, and called again", id => key_id($keys[0]), rows => $count);
	is(stored_ids($node, 't'), key_id($keys[0]), "$what, and called again: every version");
	return;
}

# kill -9 of everything at random moments, with other writes on the way.
foreach my $n (1 .. $kills)
{
	if ($n > 1)
	{
		# The held page, too, must be under the key that the next rotation replaces.
		$node->safe_psql('postgres', "CALL dbcrypt_rotate_in_place('t', 'c')");
		swap_keys();
	}
	my $holder = hold_page($node, 't');
	my $run = start_rotation($node, 't', lasting($node, 't', 1.2) . ', pin_timeout => 1000000, workers => ' . (1 + $n % 2));
	$node->safe_psql('postgres', "UPDATE t SET n = n + 1 WHERE id % 97 = $n");
	wait_for_rotation($node, 0, $run) or die 'the rotation has ended';
	sleep(rand(1));
	$node->safe_psql('postgres', 'CHECKPOINT') if $n % 3 == 0;
	kill_server($node);
	isnt((finish_rotation($run))[0], 0, "kill $n: in a rotation");
	eval { $holder->quit };
	$node->start;
	is($node->safe_psql('postgres', "SELECT count(*), bool_and(dbcrypt_decrypt(c) = 'value ' || id) FROM t"),
		"$count|t", "kill $n: every value decrypts");
	is($node->safe_psql('postgres', "SELECT count(*) FROM verify_heapam('t')"), 0, "kill $n: the heap is sound");
}
finishes('kill -9');

# The call is cancelled, its backend terminated, its worker terminated.
foreach my $way ('cancel', 'terminate', 'terminate worker')
{
	foreach my $n (1 .. $interruptions)
	{
		swap_keys();
		my $holder = hold_page($node, 't');
		my $worker = $way eq 'terminate worker';
		my $run = start_rotation($node, 't', lasting($node, 't', $worker ? 4 : 1.5) . ', pin_timeout => 1000000, workers => 2');
		if ($worker)
		{
			# As soon as it is there: with its part done it goes by itself.
			my $deadline = time + $PostgreSQL::Test::Utils::timeout_default;
			my $pid;
			until ($pid = server_process($node, qr/dbcrypt rotation worker/))
			{
				die 'no worker was seen' if time > $deadline || !is_running($run);
				sleep(0.01);
			}
			is(kill('TERM', $pid), 1, "$way $n: meets it");
			$node->poll_query_until('postgres',
				"SELECT count(*) = 0 FROM pg_stat_activity WHERE pid = $pid")
			  or die 'the worker stays';
			$holder->quit;
		}
		else
		{
			wait_for_rotation($node, 0.02 + rand(0.2), $run) or die 'the rotation has ended';
			my $function = $way eq 'cancel' ? 'pg_cancel_backend' : 'pg_terminate_backend';
			is($node->safe_psql('postgres', "SELECT count($function(pid)) FROM dbcrypt_progress"),
				1, "$way $n: meets it");
		}
		my ($rc, undef, $err) = finish_rotation($run);
		if ($worker)
		{
			is($rc, 0, "$way $n: the call goes on and does the worker's part") or diag $err;
			is(stored_ids($node, 't'), key_id($keys[0]), "$way $n: to the end");
		}
		else
		{
			$holder->quit;
			isnt($rc, 0, "$way $n: the call fails");
			like($err, qr/canceling statement|terminating connection/, "$way $n: and says why");
		}
		$node->poll_query_until('postgres',
			"SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE backend_type = 'dbcrypt rotation worker')");
		is($node->safe_psql('postgres',
				"SELECT count(*) FROM pg_locks WHERE relation = 't'::regclass AND pid <> pg_backend_pid()"),
			0, "$way $n: no lock is left");
		finishes("$way $n");
	}
}

# WAL that cannot be written, as on a full disk: the backend may write to no file
# any more, and the server ends as it does then.
SKIP:
{
	skip 'needs prlimit', 1 if system('command -v prlimit >/dev/null') != 0;
	swap_keys();
	my $run = start_rotation($node, 't', lasting($node, 't', 20));
	wait_for_rotation($node, 0.02, $run) or die 'the rotation has ended';
	my $pid = $node->safe_psql('postgres', 'SELECT pid FROM dbcrypt_progress');
	my $offset = -s $node->logfile;
	system_or_bail('prlimit', '--fsize=1:1', "--pid=$pid");
	my ($rc) = finish_rotation($run);
	isnt($rc, 0, 'no space for WAL: the server ends');
	wait_for_crash($node, $offset);
	check_table($node, 't', 'no space for WAL', rows => $count);
	finishes('no space for WAL');
}

$node->stop;
command_ok([ 'pg_checksums', '--check', '-D', $node->data_dir ], 'checksums hold');
done_testing();
