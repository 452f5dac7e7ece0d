# A rewrite of more partitions than the server has room for locks is refused before it
# begins, by its dry run too, and names the setting that it needs.
use strict;
use warnings FATAL => 'all';

use DbcryptTest;
use Test::More;

my $node = new_node('main', conf => q{
max_connections = 5
max_worker_processes = 2
max_wal_senders = 0
autovacuum = off
autovacuum_max_workers = 1
max_locks_per_transaction = 10
});
my $partitions = 40;
$node->safe_psql('postgres', 'CREATE TABLE t (id int PRIMARY KEY, c text) PARTITION BY LIST (id)');
$node->safe_psql('postgres', "CREATE TABLE t_$_ PARTITION OF t FOR VALUES IN ($_); INSERT INTO t VALUES ($_, 'secret')")
  foreach 1 .. $partitions;

my $refused = qr/takes more locks than the server has room for.*HINT:  Set max_locks_per_transaction to (\d+) or more/s;
like(psql_error($node, q{SELECT dbcrypt_encrypt_column('t', 'c', dry_run => true)}), $refused, 'the dry run says so');
my $error = psql_error($node, q{SELECT dbcrypt_encrypt_column('t', 'c')});
like($error, $refused, 'the rewrite is refused');
my ($needed) = $error =~ $refused;
is($node->safe_psql('postgres', q{SELECT count(*) FROM t WHERE c = 'secret'}), $partitions, 'and has changed nothing');
is(psql_error($node, q{SELECT dbcrypt_encrypt_column('t_1', 'c')}), '', 'one partition alone is no problem');

$node->append_conf('postgresql.conf', "max_locks_per_transaction = $needed");
$node->restart;
is( $node->safe_psql('postgres', q{
	BEGIN;
	SELECT encrypted, already FROM dbcrypt_encrypt_column('t', 'c');
	SELECT count(*) > current_setting('max_locks_per_transaction')::int FROM pg_locks WHERE pid = pg_backend_pid();
	COMMIT}), ($partitions - 1) . "|1\nt", 'with that setting it goes through');

$node->append_conf('postgresql.conf', 'max_locks_per_transaction = 10');
$node->restart;
is($node->safe_psql('postgres', q{SELECT encrypted, already FROM dbcrypt_encrypt_column('t', 'c')}),
	"0|$partitions", 'nor is it refused where nothing is left to do');

$node->stop;
done_testing();
