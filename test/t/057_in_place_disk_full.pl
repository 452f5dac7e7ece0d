# The disk of the WAL is full in the middle of a rotation in place: the server ends
# as PostgreSQL does then; with room again every value is readable, and one more
# call finishes. The disk is a small one in the server's own mount namespace.
use strict;
use warnings FATAL => 'all';

use DbcryptTest;
use InPlaceTest;
use IPC::Run ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep);

my @namespace = qw(unshare --user --map-root-user --mount);
my $refused = '';
my ($uid, $gid) = ($>, (split / /, $))[0]);
my @as_user = ('unshare', '--user', "--map-user=$uid", "--map-group=$gid");
eval { IPC::Run::run([ @namespace, 'sh', '-ec', "mount -t tmpfs none /mnt; @as_user true" ], '>&', \$refused) }
  or plan skip_all => "no mount namespace here: $refused$@";

my $spare = 3; # MB that the rotation may fill, and what its segment has left: it writes 7 MB
my $node = new_node('in_place_disk_full',
	extra => [ '--wal-segsize=1', '--data-checksums' ],
	conf => "autovacuum = off\nrestart_after_crash = off\ncheckpoint_timeout = 1d\nmax_wal_size = 1GB\n"
	  . "min_wal_size = 2MB\nwal_recycle = off\n");
make_table($node, 't', 60_000);
my $count = $node->safe_psql('postgres', 'SELECT count(*) FROM t');
$node->safe_psql('postgres', 'CHECKPOINT');
$node->stop;

# pg_wal becomes a disk of its own for as long as the server runs, and is put back.
my $wal = $node->data_dir . '/pg_wal';
my $small = $node->basedir . '/small';
mkdir $small or die;
my $used = (split /\s/, `du -sm $wal`)[0];
my $log = '';
my $server = IPC::Run::start(
	[
		@namespace, 'sh', '-ec', qq{
			mount -t tmpfs -o size=@{[ $used + $spare ]}m none $small
			cp -a $wal/. $small
			mount --bind $small $wal
			@as_user postgres -D @{[ $node->data_dir ]} || true
			umount $wal
			rm -rf $wal/*
			cp -a $small/. $wal}
	],
	'<', \undef, '>&', \$log);
my $deadline = time + $PostgreSQL::Test::Utils::timeout_default;
until (eval { $node->poll_query_until('postgres', 'SELECT true') })
{
	$server->pump_nb;
	die "no server: $log" if time > $deadline || !$server->pumpable;
}
my ($rc, undef, $err) = $node->psql('postgres', "CALL dbcrypt_rotate_in_place('t', 'c')");
isnt($rc, 0, 'the call fails');
# A server that goes on would be waited for until somebody ends it.
kill QUIT => (split /\n/, slurp_file($node->data_dir . '/postmaster.pid'))[0] if $rc == 0;
$server->finish;
like($log, qr/PANIC:  could not write to file "pg_wal.*No space left on device/, 'the server ends, for want of space');
unlike($log, qr/value 1/, 'no plaintext in the log');

$node->start;
is($node->safe_psql('postgres', 'SELECT count(DISTINCT dbcrypt_key_id(c)) FROM t'), 2, 'half rotated');
check_table($node, 't', 'with room again', rows => $count);
$node->safe_psql('postgres', "CALL dbcrypt_rotate_in_place('t', 'c')");
check_table($node, 't', 'and called again', id => $new_id, rows => $count);
is(stored_ids($node, 't'), $new_id, 'every version');
$node->stop;
command_ok([ 'pg_checksums', '--check', '-D', $node->data_dir ], 'checksums hold');
done_testing();
