# Rotation in place with a standby: readers on both sides see no torn value, long
# readers conflict as with VACUUM, and a standby promoted half way is whole.
use strict;
use warnings FATAL => 'all';

use DbcryptTest;
use InPlaceTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $rows = soak() ? 400_000 : 20_000;
my $seconds = soak() ? 180 : 10;
my $primary = new_node('in_place_primary',
	allows_streaming => 1,
	conf => "autovacuum = off\nmax_wal_size = 4GB\nsynchronous_commit = remote_apply\n");
make_table($primary, 't', $rows);
$primary->backup('base');

sub new_standby
{
	my ($name) = @_;
	my $standby = PostgreSQL::Test::Cluster->new($name);
	$standby->init_from_backup($primary, 'base', has_streaming => 1);
	$standby->append_conf('postgresql.conf',
		"dbcrypt.key_file = '" . key_file($primary) . "'\nmax_standby_streaming_delay = 300s\n");
	$standby->start;
	return $standby;
}

my $standby = new_standby('in_place_standby');
$primary->append_conf('postgresql.conf', "synchronous_standby_names = '*'");
$primary->reload;

# Readers on both sides, while the keys change places round after round.
my @keys = (key_hex(1), key_hex(2));
my @readers = map { start_readers($_, 't', $rows, $seconds) } ($primary, $standby);
my $round = 0;
while (grep { is_running($_) } @readers)
{
	write_key_file(key_file($primary), @keys);
	$primary->safe_psql('postgres',
		"CALL dbcrypt_rotate_in_place('t', 'c', workers => " . (1 + $round % 2) . ')');

	# remote_apply: the standby has it when the call returns.
	is($standby->safe_psql('postgres', "SELECT string_agg(DISTINCT dbcrypt_key_id(c), ',') FROM t"),
		key_id($keys[0]), "round $round: a synchronous standby has it all when the call returns")
	  if $round++ % 8 == 0;
	@keys = reverse @keys;
}
my $reads = 0;
$reads += finish_readers($_, $_->{name}) foreach @readers;
cmp_ok($round, '>', 3, 'the keys changed places');
note "$reads decryptions during $round rotations";
write_key_file(key_file($primary), key_hex(1), key_hex(2));
$primary->safe_psql('postgres', "CALL dbcrypt_rotate_in_place('t', 'c')");
check_table($standby, 't', 'standby', id => $new_id);
check_table($primary, 't', 'primary');
cmp_ok($reads, '>', 10_000, 'readers read');

# A cursor on the standby holds a page pinned: replay waits for it, then cancels it.
$primary->append_conf('postgresql.conf', "synchronous_standby_names = ''");
$primary->reload;
$standby->append_conf('postgresql.conf', 'max_standby_streaming_delay = 500ms');
$standby->reload;
my $session = new_session($standby);
run_sql($session, 'BEGIN');
run_sql($session, 'DECLARE held CURSOR FOR SELECT dbcrypt_decrypt(c) FROM t');
my ($fetched) = run_sql($session, 'FETCH 3 FROM held');
like($fetched, qr/^value \d+\nvalue \d+\nvalue \d+$/, 'a cursor on the standby');
write_key_file(key_file($primary), key_hex(2), key_hex(1));
$primary->safe_psql('postgres', "CALL dbcrypt_rotate_in_place('t', 'c')");
write_key_file(key_file($primary), key_hex(1), key_hex(2));
$primary->safe_psql('postgres', "CALL dbcrypt_rotate_in_place('t', 'c')");
$primary->wait_for_catchup($standby);
my $more = eval { (run_sql($session, 'FETCH 3 FROM held'))[0] } // '';
is($more, '', 'is cancelled when replay cannot wait longer');
is($standby->safe_psql('postgres', "SELECT confl_bufferpin > 0 FROM pg_stat_database_conflicts WHERE datname = 'postgres'"),
	't', 'as a buffer pin conflict');
eval { $session->quit };

# Promotion half way: both keys, every value, and one more call finishes.
write_key_file(key_file($primary), key_hex(2), key_hex(1));
my $slow = start_rotation($primary, 't', endless($primary, 't'));
wait_for_rotation($primary, 0.01, $slow) or die 'the rotation has ended';
$standby->promote;
$primary->stop('immediate');
my ($rc) = finish_rotation($slow);
isnt($rc, 0, 'the primary died half way');
my $half = $standby->safe_psql('postgres', 'SELECT count(DISTINCT dbcrypt_key_id(c)) FROM t');
is($half, 2, 'the standby is half rotated');
check_table($standby, 't', 'promoted half way');
$standby->safe_psql('postgres', "CALL dbcrypt_rotate_in_place('t', 'c')");
check_table($standby, 't', 'promoted, and called again', id => $old_id);
is(stored_ids($standby, 't'), $old_id, 'promoted: every version');
$standby->stop;

done_testing();
