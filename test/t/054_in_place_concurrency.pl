# Rotation in place beside everything else that an application and its DBA do:
# nothing is lost, nothing is torn, nothing stays under the old key.
use strict;
use warnings FATAL => 'all';

use DbcryptTest;
use InPlaceTest;
use IPC::Run ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep);

my $rows = 20_000;
my $seconds = soak() ? 120 : 6;
my $node = new_node('in_place_concurrency',
	extra => ['--data-checksums'],
	conf => "max_prepared_transactions = 10\nmax_worker_processes = 12\nautovacuum_naptime = 1s\n");
make_table($node, 't', $rows);
$node->safe_psql('postgres', q{
	CREATE TABLE expected (id int PRIMARY KEY, plaintext text);
	CREATE FUNCTION touched() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN NEW.n = NEW.n + 1; RETURN NEW; END$$;
	CREATE TRIGGER touched BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION touched();
	CREATE SEQUENCE fresh START 1000000;
	ALTER TABLE t SET (fillfactor = 90);
});

# Writers. Every plaintext stays 'value ID', whatever happens to its row.
my %scripts = (
	hot => '\set id random(1, 20000)
UPDATE t SET n = n + 1 WHERE id = :id;
',
	cold => '\set id random(1, 20000)
UPDATE t SET category = category + 1 WHERE id = :id;
',
	rewrite => q{\set id random(1, 20000)
UPDATE t SET c = dbcrypt_encrypt(dbcrypt_decrypt(c)) WHERE id = :id;
},
	insert => q{SELECT nextval('fresh') AS id \gset
INSERT INTO t SELECT :id, 1, dbcrypt_encrypt('value ' || :id);
DELETE FROM t WHERE id = :id - 50;
},
	locked => q{\set id random(1, 20000)
BEGIN;
SELECT dbcrypt_decrypt(c) = 'value ' || id FROM t WHERE id = :id FOR UPDATE;
SAVEPOINT s;
UPDATE t SET n = n + 1, category = 3 WHERE id = :id;
ROLLBACK TO s;
UPDATE t SET n = n + 2 WHERE id = :id;
END;
},
	aborted => q{\set id random(1, 20000)
BEGIN;
UPDATE t SET category = category + 1 WHERE id BETWEEN :id AND :id + 5;
ROLLBACK;
},
	check => q{\set id random(1, 19000)
SELECT 1 / (count(*) - count(CASE WHEN dbcrypt_decrypt(c) <> 'value ' || id THEN 1 END))::int FROM t WHERE id BETWEEN :id AND :id + 500;
},
	held => q{\set id random(1, 19000)
BEGIN ISOLATION LEVEL REPEATABLE READ;
DECLARE k CURSOR FOR SELECT dbcrypt_decrypt(c) FROM t WHERE id > :id;
FETCH 5 FROM k;
\sleep 30 ms
FETCH 50 FROM k;
END;
},
);

my $dir = PostgreSQL::Test::Utils::tempdir;
my @options = map { append_to_file("$dir/$_.sql", $scripts{$_}); ('-f', "$dir/$_.sql") } sort keys %scripts;
my ($out, $err) = ('', '');
local $ENV{PGOPTIONS} = '-c lock_timeout=60s';
my $clients = IPC::Run::start(
	[
		$node->installed_command('pgbench'), '-n', '-c', '8', '-j', '2', '-T', $seconds,
		'--max-tries=100', @options, '-h', $node->host, '-p', $node->port, 'postgres'
	],
	'<', \undef, '>', \$out, '2>', \$err);

# Rotations back and forth, and maintenance between and beside them.
my $round = 0;
my @maintenance = (
	'VACUUM t', 'VACUUM (FREEZE) t', 'REINDEX TABLE t', 'REINDEX TABLE CONCURRENTLY t',
	'DROP INDEX IF EXISTS other; CREATE INDEX other ON t (n)', 'ALTER TABLE t SET (fillfactor = 80)',
	'ANALYZE t', 'CLUSTER t USING t_pkey', 'ALTER TABLE t ADD COLUMN IF NOT EXISTS later int DEFAULT 5');
my @keys = (key_hex(1), key_hex(2));
my $deadlocks = 0;
while (is_running({ handle => $clients }))
{
	my $run = start_rotation($node, 't',
		'pin_timeout => 300, batch_blocks => 16, workers => ' . (1 + $round % 3));
	foreach my $n (0, 1)
	{
		my $command = $maintenance[ (2 * $round + $n) % @maintenance ];
		my ($rc, undef, $error);
		# Clients that lock rows and then update them meet such commands in deadlocks
		# without us, too.
		do
		{
			($rc, undef, $error) = $node->psql('postgres', $command);
		} while ($error =~ /ERROR:  deadlock detected/ && $error !~ /dbcrypt/);
		is($rc, 0, "round $round: $command") or diag $error;
	}
	my ($rc, undef, $error) = finish_rotation($run);
	is($rc, 0, "round $round: rotated") or diag $error;
	$round++;
	@keys = reverse @keys;
	write_key_file(key_file($node), @keys);
}
$clients->finish;
unlike($err, qr/ERROR|FATAL|abort/, 'no client met an error') or diag $err;
cmp_ok($round, '>', 1, 'rotations ran');
my ($done) = $out =~ /number of transactions actually processed: (\d+)/;
note "$round rotations, $done transactions of 8 clients";

# A prepared transaction's versions are rotated with all others; nobody waits for it.
$node->safe_psql('postgres', "BEGIN; UPDATE t SET category = 77 WHERE id = 20001; PREPARE TRANSACTION 'p';");
$node->safe_psql('postgres', "CALL dbcrypt_rotate_in_place('t', 'c')");
$node->safe_psql('postgres', "COMMIT PREPARED 'p'");
check_table($node, 't', 'in the end', id => key_id($keys[0]));
is($node->safe_psql('postgres', 'SELECT count(*) FROM t WHERE id <= 20020'), 20020, 'no row is lost');
is(stored_ids($node, 't'), key_id($keys[0]), 'every version is under the new key');

# A cursor in another session: its page is waited for, then its rows are updated.
@keys = reverse @keys;
write_key_file(key_file($node), @keys);
my $session = new_session($node);
run_sql($session, 'BEGIN');
run_sql($session, 'DECLARE k CURSOR FOR SELECT id, dbcrypt_decrypt(c) FROM t');
run_sql($session, 'FETCH 2 FROM k');
my ($pid) = run_sql($session, 'SELECT pg_backend_pid()');
my $run = start_rotation($node, 't', 'pin_timeout => 200');
my ($rc, $counts, $notices) = finish_rotation($run);
is($rc, 0, 'a cursor elsewhere does not stop it') or diag $notices;
like($notices, qr/NOTICE:  page \d+ of table "t" stays pinned: its rows are updated instead\nDETAIL:  Processes that use the table: .*\b$pid\b/,
	'it says which page, and who uses the table');
my ($in_place, $updated, undef, undef, undef, $waited) = split /\|/, $counts;
# From 17 on a scan pins pages ahead of it, too.
ok($in_place > 10_000 && $updated > 0 && $updated < 500 && $waited > 0 && $waited < 5, 'no more than its pages were updated') or diag $counts;
like((run_sql($session, 'FETCH 100 FROM k'))[0], qr/^(\d+\|value \d+\n?){100}$/, 'the cursor goes on');
run_sql($session, 'COMMIT');
$session->quit;
check_table($node, 't', 'after a cursor', id => key_id($keys[0]));

# A writer that goes on is waited for, no longer than allowed.
@keys = reverse @keys;
write_key_file(key_file($node), @keys);
$session = new_session($node);
run_sql($session, 'BEGIN');
run_sql($session, 'UPDATE t SET category = 5 WHERE id = 20');
$run = start_rotation($node, 't', 'pin_timeout => 100');
($rc, $counts, $notices) = finish_rotation($run);
is($rc, 0, 'a writer that goes on does not stop it');
like($notices, qr/NOTICE:  transactions that wrote to the table during the rotation go on/, 'it says so');
run_sql($session, 'COMMIT');
$session->quit;
check_table($node, 't', 'after a long writer', id => key_id($keys[0]));

# Two rotations of one table: one after the other.
@keys = reverse @keys;
write_key_file(key_file($node), @keys);
my @runs = map { start_rotation($node, 't', 'batch_blocks => 8') } 1 .. 3;
is((finish_rotation($_))[0], 0, 'two at a time') foreach @runs;
check_table($node, 't', 'after two at a time', id => key_id($keys[0]));

# An index on the column meanwhile: it waits for the end, so that it holds the new
# values; or it was first, and the rotation refuses. Never a stale entry.
foreach my $command ('CREATE INDEX CONCURRENTLY on_c ON t (c)', 'CREATE INDEX on_c ON t (c)')
{
	@keys = reverse @keys;
	write_key_file(key_file($node), @keys);
	my $holder = hold_page($node, 't');
	$run = start_rotation($node, 't', 'pin_timeout => 1000000, workers => 2');
	wait_for_rotation($node, 0, $run) or die 'the rotation has ended';
	my $indexer = new_session($node);
	start_sql($indexer, $command);
	ok( $node->poll_query_until('postgres',
			q{SELECT count(*) = 1 FROM pg_locks WHERE NOT granted AND relation = 't'::regclass AND mode LIKE 'Share%'}),
		"$command: waits");
	$holder->quit;
	my ($rotation_rc, undef, $rotation_error) = finish_rotation($run);
	is($rotation_rc, 0, "$command: for the rotation") or diag $rotation_error;
	is((finish_sql($indexer))[1], '', "$command: and is done then");
	$indexer->quit;
	check_table($node, 't', $command, id => key_id($keys[0]));
	($rc, undef, my $error) = $node->psql('postgres', "CALL dbcrypt_rotate_in_place('t', 'c')");
	like($error, qr/ERROR:  cannot rotate column "c" of table "t" in place\nDETAIL:  Index "on_c" reads the column/,
		"$command: then it is refused");
	$node->safe_psql('postgres', 'DROP INDEX on_c');
}

$node->stop;
command_ok([ 'pg_checksums', '--check', '-D', $node->data_dir ], 'checksums hold');
done_testing();
