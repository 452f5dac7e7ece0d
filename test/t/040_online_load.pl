# Online rotation under load: eight clients update, insert and delete in the table
# while it is rotated again and again between two keys. Every change is also kept in
# a journal in plain, by which each row's value is proved at the end.
use strict;
use warnings FATAL => 'all';

use DbcryptTest;
use IPC::Run;
use PostgreSQL::Test::Utils;
use Test::More;

my $clients = 8;
my $rows = soak() ? 500_000 : 20_000;
my $seconds = soak() ? 600 : 12;

my ($k1, $k2) = map { key_hex($_) } 1 .. 2;
my $node = new_node('online_load', conf => "synchronous_commit = off\n");

$node->safe_psql('postgres', qq{
-- No primary key; one index that updates change and one that they do not.
CREATE TABLE accounts (id bigint, v text, filler text DEFAULT repeat('x', 50), shadow bigint);
CREATE TABLE journal (id bigint, op text, amount bigint);
CREATE SEQUENCE ids START @{[ $rows + 1 ]};
INSERT INTO accounts (id, v, shadow) SELECT i, dbcrypt_encrypt('0', i::text), 0 FROM generate_series(1, $rows) i;
CREATE INDEX ON accounts (id);
CREATE INDEX ON accounts (shadow);
SELECT dbcrypt_register_column('accounts', 'v', 'id');
});
$node->safe_psql('postgres', 'VACUUM ANALYZE');

my $dir = PostgreSQL::Test::Utils::tempdir;
my %script = (
	# Decrypts, adds, encrypts: two rows in one transaction, always in the same order.
	update => q{
\set a random(1, :rows)
\set b random(1, :rows)
\set one least(:a, :b)
\set two greatest(:a, :b)
\set amount random(1, 1000)
BEGIN;
SELECT count(*) AS found, coalesce(max(n), 0)::bigint + :amount AS sum FROM (SELECT dbcrypt_decrypt(v, id::text)::bigint AS n FROM accounts WHERE id = :one FOR UPDATE) AS x \gset
\if :found
UPDATE accounts SET v = dbcrypt_encrypt((:sum)::text, id::text), shadow = shadow + :amount WHERE id = :one;
INSERT INTO journal VALUES (:one, 'u', :amount);
\endif
SELECT count(*) AS found, coalesce(max(n), 0)::bigint + :amount AS sum FROM (SELECT dbcrypt_decrypt(v, id::text)::bigint AS n FROM accounts WHERE id = :two FOR UPDATE) AS x \gset
\if :found
UPDATE accounts SET v = dbcrypt_encrypt((:sum)::text, id::text), shadow = shadow + :amount WHERE id = :two;
INSERT INTO journal VALUES (:two, 'u', :amount);
\endif
END;
},
	# Updates another column alone: the value moves as it is.
	touch => q{
\set a random(1, :rows)
UPDATE accounts SET filler = repeat('y', (10 + random() * 100)::int) WHERE id = :a;
},
	replace => q{
\set a random(1, :rows)
BEGIN;
WITH gone AS (DELETE FROM accounts WHERE id = :a RETURNING id) INSERT INTO journal SELECT id, 'd', 0 FROM gone;
WITH new AS (SELECT nextval('ids') AS id), made AS (INSERT INTO accounts (id, v, shadow) SELECT id, dbcrypt_encrypt('7', id::text), 7 FROM new RETURNING id) INSERT INTO journal SELECT id, 'i', 7 FROM made;
END;
});
foreach my $name (keys %script)
{
	append_to_file("$dir/$name.sql", $script{$name});
}

# Starts the clients for so many seconds; logs go to files of this prefix.
sub start_clients
{
	my ($prefix, $for, $out) = @_;
	return IPC::Run::start(
		[ 'pgbench', '-h', $node->host, '-p', $node->port, '-n', '-M', 'prepared', '-c', $clients, '-j', 2,
			'-T', $for, '-D', "rows=$rows", '-l', '--log-prefix', "$dir/$prefix",
			map({ ('-f', "$dir/$_->[0].sql\@$_->[1]") } [ update => 8 ], [ touch => 4 ], [ replace => 1 ]), 'postgres' ],
		'>', $out, '2>&1');
}

# 95th percentile of the transactions' time, in ms, and their number.
sub latency
{
	my ($prefix) = @_;
	my @times = sort { $a <=> $b } map { (split / /)[2] } map { split /\n/, slurp_file($_) } glob "$dir/$prefix.*";
	return (sprintf('%.1f', $times[ int(0.95 * $#times) ] / 1000), scalar @times);
}

# Makes a key the primary one. Its file is read when a statement starts: those that
# run already may use the key before, so this waits for their transactions to end.
sub make_primary
{
	my ($first, $second) = @_;
	write_key_file(key_file($node), $first, $second);
	my $now = $node->safe_psql('postgres', 'SELECT clock_timestamp()');
	$node->poll_query_until('postgres',
		"SELECT count(*) = 0 FROM pg_stat_activity WHERE application_name = 'pgbench' AND xact_start <= '$now'")
	  or die "transactions do not end";
	return;
}

sub clean_run
{
	my ($out, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	like($out, qr/number of failed transactions: 0 /, "no transaction failed $name");
	unlike($out, qr/ERROR|FATAL|aborted|deadlock/, "no client had an error $name") or diag $out;
	return;
}

my $out = '';
my $run = start_clients('alone', soak() ? 60 : 4, \$out);
ok($run->finish, 'clients without a rotation');
clean_run($out, 'without a rotation');

# At least twice to each key, and as long as the clients go on.
$out = '';
$run = start_clients('rotated', $seconds, \$out);
my ($rotations, $passes, $stale, $rotated) = (0, 0, 0, 0);
my @options = ('', ', workers => 2', ', batch_blocks => 8, vacuum_every => 8', ', busy_share => 0.5');
my @failures;
do
{
	my ($first, $second) = $rotations % 2 ? ($k1, $k2) : ($k2, $k1);
	make_primary($first, $second);
	my ($rc, $result, $err) = $node->psql('postgres',
		"CALL dbcrypt_rotate_online('accounts', 'v'" . $options[ $rotations % @options ] . ')');
	push @failures, $err if $rc != 0;
	$rotated += (split /\|/, $result)[1] if $rc == 0;
	$passes += () = $err =~ /passing again/g;
	$stale += $node->safe_psql('postgres',
		"SELECT count(*) FROM accounts WHERE dbcrypt_key_id(v) <> '@{[ key_id($first) ]}'");
	$rotations++;
	$run->pump_nb;
} while ($rotations < 4 || $run->pumpable);
$run->finish;
clean_run($out, 'during rotations');
is_deeply(\@failures, [], "$rotations rotations finished beside the clients");
is($stale, 0, 'and none left a value under the other key');

is( $node->safe_psql('postgres', q{
	WITH sums AS (SELECT id, sum(amount) AS sum, bool_or(op = 'd') AS gone, bool_or(op = 'i') AS new FROM journal GROUP BY id)
	SELECT count(*) FILTER (WHERE dbcrypt_decrypt(a.v, a.id::text)::bigint IS DISTINCT FROM coalesce(s.sum, 0)),
		count(*) FILTER (WHERE a.shadow IS DISTINCT FROM coalesce(s.sum, 0)),
		count(*) FILTER (WHERE s.gone),
		count(*) - count(DISTINCT a.id)
	FROM accounts a LEFT JOIN sums s USING (id)}),
	'0|0|0|0', 'no update, insert or delete was lost: every sum is that of the journal');
is( $node->safe_psql('postgres', "SELECT count(*) - $rows - (SELECT count(*) FILTER (WHERE op = 'i') - count(*) FILTER (WHERE op = 'd') FROM journal) FROM accounts"),
	'0', 'no row was lost');
ok($rotated > 0, "$rotated values were rotated, in $passes further passes where rows had moved");

my ($alone, $n_alone) = latency('alone');
my ($during, $n_during) = latency('rotated');
diag "95th percentile of client latency: $alone ms without rotation ($n_alone transactions), "
  . "$during ms during $rotations rotations of $rows rows ($n_during transactions)";

$node->safe_psql('postgres', 'CREATE EXTENSION amcheck');
is($node->safe_psql('postgres', q{SELECT count(bt_index_check(indexrelid, true)) FROM pg_index WHERE indrelid = 'accounts'::regclass}),
	2, 'the indexes agree with the table');
$node->stop;
done_testing();
