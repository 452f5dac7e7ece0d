# What rotation in place refuses because of replication, and that it looks again
# at every batch.
use strict;
use warnings FATAL => 'all';

use DbcryptTest;
use InPlaceTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('in_place_refusals', allows_streaming => 'logical', conf => "autovacuum = off\n");
make_table($node, 't', 20_000);
make_table($node, 'other', 100);

# Asserts that a rotation is refused with this detail, and by what SQLSTATE.
sub refused
{
	my ($table, $sqlstate, $detail, $what) = @_;
	my ($rc, undef, $err) = $node->psql('postgres',
		"\\set VERBOSITY verbose\nCALL dbcrypt_rotate_in_place('$table', 'c');");
	like($err, qr/ERROR:  $sqlstate: cannot rotate column "c" of table "$table" in place\nDETAIL:  $detail\nHINT:  Use dbcrypt_rotate_online\(\) or dbcrypt_rotate\(\)\./, $what);
	return;
}

$node->safe_psql('postgres', 'ALTER TABLE t REPLICA IDENTITY FULL');
refused('t', '55000', 'The column is part of the table\'s replica identity, which is FULL\.', 'REPLICA IDENTITY FULL');
$node->safe_psql('postgres', 'ALTER TABLE t REPLICA IDENTITY DEFAULT');

$node->safe_psql('postgres', "SELECT pg_create_logical_replication_slot('s', 'test_decoding')");
refused($_, '55000', 'Replication slot "s" decodes the changes of this database, .*', "a logical slot, $_") for qw(t other);
$node->safe_psql('postgres', "CREATE DATABASE elsewhere");
is($node->safe_psql('elsewhere', qq{
		CREATE EXTENSION dbcrypt; CREATE TABLE t (c text);
		CALL dbcrypt_rotate_in_place('t', 'c');}),
	'0|0|0|0|0|0|0', 'a slot of another database does not matter');
$node->safe_psql('postgres', "SELECT pg_drop_replication_slot('s'); SELECT pg_create_physical_replication_slot('p')");

foreach my $publication ('FOR ALL TABLES', 'FOR TABLES IN SCHEMA public', 'FOR TABLE t (id)')
{
	$node->safe_psql('postgres', "CREATE PUBLICATION p $publication");
	refused('t', '55000', 'The table is published, and subscribers would not hear of the change\.', $publication);
	$node->safe_psql('postgres', 'DROP PUBLICATION p');
}

# Published half way: the call ends there; both keys, every value.
my $run = start_rotation($node, 't', endless($node, 't'));
wait_for_rotation($node, 0.01, $run) or die 'the rotation has ended';
$node->safe_psql('postgres', 'CREATE PUBLICATION p FOR ALL TABLES');
my ($rc, undef, $err) = finish_rotation($run);
isnt($rc, 0, 'published half way: refused');
like($err, qr/The table is published/, 'published half way: and says why');
check_table($node, 't', 'published half way');
is($node->safe_psql('postgres', 'SELECT count(DISTINCT dbcrypt_key_id(c)) FROM t'), 2, 'published half way: under both keys');

$node->safe_psql('postgres', 'DROP PUBLICATION p');

# So does a logical slot that appears half way, as pg_squeeze makes one.
write_key_file(key_file($node), key_hex(2), key_hex(1));
$run = start_rotation($node, 't', endless($node, 't'));
wait_for_rotation($node, 0.01, $run) or die 'the rotation has ended';
$node->safe_psql('postgres', "SELECT pg_create_logical_replication_slot('late', 'test_decoding')");
($rc, undef, $err) = finish_rotation($run);
isnt($rc, 0, 'a slot half way: refused');
like($err, qr/Replication slot "late" decodes the changes of this database/, 'a slot half way: and says why');
check_table($node, 't', 'a slot half way');
$node->safe_psql('postgres', "SELECT pg_drop_replication_slot('late')");
write_key_file(key_file($node), key_hex(1), key_hex(2));
$node->safe_psql('postgres', 'CREATE PUBLICATION p FOR ALL TABLES');

# The hint is right.
$node->safe_psql('postgres', "CALL dbcrypt_rotate_online('t', 'c')");
check_table($node, 't', 'the way that can', id => $new_id);
$node->safe_psql('postgres', 'DROP PUBLICATION p');

# A standby refuses.
$node->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('in_place_refusals_standby');
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->start;
($rc, undef, $err) = $standby->psql('postgres', "CALL dbcrypt_rotate_in_place('t', 'c')");
like($err, qr/ERROR:  cannot execute dbcrypt_rotate_in_place during recovery/, 'a standby refuses');
$standby->stop;

# Another access method, were it heap in disguise, is heap; anything else is not.
$node->safe_psql('postgres', old_keys() . q{
	CREATE ACCESS METHOD heap_too TYPE TABLE HANDLER heap_tableam_handler;
	CREATE TABLE disguised (c text) USING heap_too;
	INSERT INTO disguised SELECT dbcrypt_encrypt('x') FROM generate_series(1, 5);});
is($node->safe_psql('postgres', "CALL dbcrypt_rotate_in_place('disguised', 'c')"), '5|0|0|0|1|0|0', 'heap under another name');

# A table of another session.
my $session = new_session($node);
run_sql($session, 'CREATE TEMP TABLE mine (c text)');
my ($name) = run_sql($session, q{SELECT format('%I.mine', nspname) FROM pg_namespace WHERE oid = pg_my_temp_schema()});
($rc, undef, $err) = $node->psql('postgres', "CALL dbcrypt_rotate_in_place('$name', 'c')");
like($err, qr/DETAIL:  It is a temporary table of another session\./, 'a temporary table of another session');
$session->quit;

# Revocation and a rotation of the same column, beside each other: no deadlock.
write_key_file(key_file($node), key_hex(2), key_hex(1));
$node->safe_psql('postgres', "CALL dbcrypt_rotate_in_place('other', 'c')");
my $holder = hold_page($node, 't');
$run = start_rotation($node, 't', 'pin_timeout => 1000000, workers => 2');
wait_for_rotation($node, 0.1, $run) or die 'the rotation has ended';
$node->safe_psql('postgres', 'DELETE FROM disguised');
my $revoker = new_session($node);
start_sql($revoker, "SELECT dbcrypt_revoke_key('$new_id')");
$node->poll_query_until('postgres',
	q{SELECT count(*) = 1 FROM pg_stat_activity WHERE query LIKE 'SELECT dbcrypt_revoke_key%' AND wait_event_type = 'Lock'})
  or die 'the revocation does not wait';
$holder->quit;
my ($rotation_rc, undef, $rotation_err) = finish_rotation($run);
(undef, $err) = finish_sql($revoker);
$revoker->quit;
is($rotation_rc, 0, 'a revocation waits for the rotation') or diag $rotation_err;
is($err, '', 'and then finds nothing under the old key');
check_table($node, 't', 'after the revocation', id => $old_id);

$node->stop;
done_testing();
