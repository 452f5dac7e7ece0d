# pg_upgrade with a rotation in place half done: every value is readable after it,
# the catalog has come along, and one more call finishes. From and to the same
# version of PostgreSQL, which is what a machine has.
use strict;
use warnings FATAL => 'all';

use DbcryptTest;
use InPlaceTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $old = new_node('in_place_upgrade_old', conf => "autovacuum = off\n");
make_table($old, 't', 5_000);
make_table($old, 'u', 200, kind => 'UNLOGGED');
$old->safe_psql('postgres', q{
	CREATE TABLE dropped (c text);
	SELECT dbcrypt_register_column('dropped', 'c'), dbcrypt_register_column('u', 'c');
	DROP TABLE dropped;
	ALTER TABLE t DROP COLUMN n, ADD COLUMN n int DEFAULT 0;});

my $run = start_rotation($old, 't', endless($old, 't'));
wait_for_rotation($old, 0.01, $run) or die 'the rotation has ended';
$old->safe_psql('postgres', "SELECT pg_cancel_backend(pid) FROM dbcrypt_progress");
isnt((finish_rotation($run))[0], 0, 'cancelled half way');
my $ids = 'SELECT dbcrypt_key_id(c), count(*) FROM t GROUP BY 1 ORDER BY 1';
my $half = $old->safe_psql('postgres', $ids);
like($half, qr/\n/, 'under both keys');
my $count = $old->safe_psql('postgres', 'SELECT count(*) FROM t');
my $catalog = 'SELECT key_id, revoked_at, canary FROM dbcrypt_keys ORDER BY 1; '
  . 'SELECT "schema", "table", "column", scheme, aad, options FROM dbcrypt_columns ORDER BY 1, 2, 3';
my $known = $old->safe_psql('postgres', $catalog);
$old->stop;

my $new = PostgreSQL::Test::Cluster->new('in_place_upgrade_new');
$new->init;
$new->append_conf('postgresql.conf', "shared_preload_libraries = 'dbcrypt'\n"
	  . "autovacuum = off\ndbcrypt.key_file = '" . key_file($old) . "'\n");
my $bin = $old->config_data('--bindir');
chdir $PostgreSQL::Test::Utils::tmp_check or die;
command_ok(
	[
		'pg_upgrade', '--old-datadir', $old->data_dir, '--new-datadir', $new->data_dir,
		'--old-bindir', $bin, '--new-bindir', $bin, '--socketdir', $new->host,
		'--old-port', $old->port, '--new-port', $new->port
	],
	'pg_upgrade');
$new->start;
is($new->safe_psql('postgres', $ids), $half, 'the values are as they were');
is($new->safe_psql('postgres', $catalog), $known, 'the catalog came along');
check_table($new, 't', 'upgraded', rows => $count);
is($new->safe_psql('postgres', "SELECT * FROM dbcrypt_check() WHERE severity = 'error'"), '', 'dbcrypt_check finds no error');

$new->safe_psql('postgres', "CALL dbcrypt_rotate_in_place('t', 'c'); CALL dbcrypt_rotate_in_place('u', 'c')");
check_table($new, 't', 'upgraded, and called again', id => $new_id, rows => $count);
is(stored_ids($new, 't'), $new_id, 'every version');
is($new->safe_psql('postgres', "SELECT DISTINCT state FROM dbcrypt_verify_all()"), 'primary', 'and dbcrypt knows the columns');
$new->safe_psql('postgres', "SELECT dbcrypt_revoke_key('$old_id')");
$new->stop;

done_testing();
