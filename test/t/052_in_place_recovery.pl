# Rotation in place and recovery: a base backup taken meanwhile, a point in time in
# the middle, pg_rewind across it.
use strict;
use warnings FATAL => 'all';

use DbcryptTest;
use InPlaceTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $rows = 10_000;
my $node = new_node('in_place_archive',
	allows_streaming => 1,
	has_archiving => 1,
	conf => "autovacuum = off\nwal_log_hints = on\nwal_keep_size = 500MB\n");
make_table($node, 't', $rows);
$node->backup('before');

# A base backup while pages change under it, and a point half way.
my $holder = hold_page($node, 't');
my $run = start_rotation($node, 't', lasting($node, 't', 2) . ', pin_timeout => 1000000');
wait_for_rotation($node, 0.3, $run) or die 'the rotation has ended';
my $middle = $node->safe_psql('postgres', 'SELECT pg_current_wal_insert_lsn()');
$node->backup('during');
$holder->quit;
my ($rc, undef, $err) = finish_rotation($run);
is($rc, 0, 'rotated') or diag $err;
check_table($node, 't', 'the source', id => $new_id);
my $count = $node->safe_psql('postgres', 'SELECT count(*) FROM t');
$node->safe_psql('postgres', 'SELECT pg_switch_wal()');

sub restore
{
	my ($name, $backup, $target) = @_;
	my $restored = PostgreSQL::Test::Cluster->new($name);
	$restored->init_from_backup($node, $backup, has_restoring => 1, standby => 0);
	$restored->append_conf('postgresql.conf',
		"dbcrypt.key_file = '" . key_file($node) . "'\nwal_log_hints = on\n"
		  . ($target ? "recovery_target_lsn = '$target'\nrecovery_target_action = promote\n" : ''));
	$restored->start;
	$restored->poll_query_until('postgres', 'SELECT NOT pg_is_in_recovery()');
	return $restored;
}

my $whole = restore('in_place_whole', 'during');
check_table($whole, 't', 'a backup taken meanwhile', id => $new_id, rows => $count);
is(stored_ids($whole, 't'), $new_id, 'a backup taken meanwhile: every version');
$whole->stop;

my $half = restore('in_place_half', 'before', $middle);
check_table($half, 't', 'the middle', rows => $count);
is($half->safe_psql('postgres', 'SELECT count(DISTINCT dbcrypt_key_id(c)) FROM t'),
	2, 'the middle: under both keys');
$half->safe_psql('postgres', "CALL dbcrypt_rotate_in_place('t', 'c')");
check_table($half, 't', 'the middle, and called again', id => $new_id);
$half->stop;

# pg_rewind: two servers part in the middle of a rotation, and both rotate on.
my $standby = PostgreSQL::Test::Cluster->new('in_place_rewound_to');
write_key_file(key_file($node), key_hex(2), key_hex(1));
$node->backup('rewind');
$standby->init_from_backup($node, 'rewind', has_streaming => 1);
$standby->start;
$holder = hold_page($node, 't');
$run = start_rotation($node, 't', lasting($node, 't', 2) . ', pin_timeout => 1000000');
wait_for_rotation($node, 0.3, $run) or die 'the rotation has ended';
$standby->promote;
$holder->quit;
$standby->safe_psql('postgres', "CALL dbcrypt_rotate_in_place('t', 'c')");
$standby->safe_psql('postgres', 'UPDATE t SET n = 7 WHERE id % 50 = 0; CHECKPOINT;');
finish_rotation($run);
check_table($node, 't', 'before the rewind', id => $old_id);
$node->stop;
my $port = $standby->connstr('postgres');
command_ok([ 'pg_rewind', '--source-server', $port, '--target-pgdata', $node->data_dir, '--no-sync' ],
	'pg_rewind');
append_to_file($node->data_dir . '/postgresql.conf',
	"\nport = " . $node->port . "\nunix_socket_directories = '" . $node->host . "'\n"
	  . "dbcrypt.key_file = '" . key_file($node) . "'\nprimary_conninfo = '" . $standby->connstr . "'\n");
append_to_file($node->data_dir . '/standby.signal', '');
$node->start;
$standby->wait_for_catchup($node->name, 'replay', $standby->lsn('insert'));
check_table($node, 't', 'rewound', id => $old_id, rows => $count);
is( $node->safe_psql('postgres', 'SELECT md5(string_agg(t::text, $$,$$ ORDER BY id)) FROM t'),
	$standby->safe_psql('postgres', 'SELECT md5(string_agg(t::text, $$,$$ ORDER BY id)) FROM t'),
	'rewound: the same as the other, byte for byte');
$node->stop;
$standby->stop;

done_testing();
