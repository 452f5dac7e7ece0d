# A transaction that has inserted a value under the old key, which cannot be
# rotated in place, and does not end: the call says whose it is, and ends.
use strict;
use warnings FATAL => 'all';

use DbcryptTest;
use InPlaceTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('in_place_open', conf => "autovacuum = off\nmax_prepared_transactions = 2\n");
make_table($node, 't', 500);
my $call = "CALL dbcrypt_rotate_in_place('t', 'c', pin_timeout => 0)";
my $long = "INSERT INTO t SELECT 1000000 + i, 0, dbcrypt_encrypt(repeat('long', 2000)) FROM generate_series(1, 3) i";
my $refusal = qr/ERROR:  55006: an open transaction has inserted values under another key into column "c" of table "t"/;

# In the main transaction, and in a subtransaction.
foreach my $savepoint ('', 'SAVEPOINT s;')
{
	my $session = new_session($node);
	run_sql($session, old_keys());
	my ($pid) = run_sql($session, 'SELECT pg_backend_pid()');
	run_sql($session, "BEGIN; $savepoint $long");
	my $error = psql_error($node, "\\set VERBOSITY verbose\n$call");
	like($error, qr/$refusal\nDETAIL:  Its process is $pid\.\n/, "an open transaction: the call names its process $savepoint");
	my $passes = () = $error =~ /passing again/g;
	is($passes, 1, 'it is looked for twice');
	run_sql($session, 'ROLLBACK');
	$session->quit;
}

$node->safe_psql('postgres', old_keys() . "BEGIN; $long; PREPARE TRANSACTION 'p'");
like(psql_error($node, "\\set VERBOSITY verbose\n$call"), qr/$refusal\nDETAIL:  It is a prepared transaction\.\n/, 'a prepared transaction');
$node->safe_psql('postgres', "COMMIT PREPARED 'p'");

# One that inserts the same under the new key is no reason to wait.
my $session = new_session($node);
run_sql($session, "BEGIN; INSERT INTO t SELECT 2000000, 0, dbcrypt_encrypt(repeat('long', 2000))");
is($node->psql('postgres', $call), 0, 'an open transaction under the new key does not matter');
run_sql($session, 'ROLLBACK');
$session->quit;
is($node->safe_psql('postgres', "SELECT DISTINCT dbcrypt_key_id(c) FROM t"), $new_id, 'in the end all values are under the new key');
$node->stop;
done_testing();
