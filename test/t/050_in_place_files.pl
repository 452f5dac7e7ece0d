# Rotation in place, as files and WAL show it: nothing grows, nothing old is left,
# checksums hold, and recovery needs none of our code.
use strict;
use warnings FATAL => 'all';

use DbcryptTest;
use InPlaceTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my %servers = (
	checksums => { extra => ['--data-checksums'], conf => '' },
	compressed => { extra => [], conf => "wal_compression = on\n" },
	torn => { extra => ['--data-checksums'], conf => "full_page_writes = off\n" },
	minimal => { extra => [], conf => "wal_level = minimal\nmax_wal_senders = 0\n" },
);

foreach my $name (sort keys %servers)
{
	my $node = new_node("in_place_$name",
		extra => $servers{$name}{extra},
		conf => "autovacuum = off\n" . $servers{$name}{conf});
	my $prefix = $node->safe_psql('postgres',
		old_keys() . "SELECT left(dbcrypt_encrypt('x'), 16)");

	make_table($node, 't', 5000);
	$node->safe_psql('postgres', 'ALTER TABLE t ADD b bytea');
	make_table($node, 'u', 500, kind => 'UNLOGGED');
	# Versions pruned before leave their bytes in a page's free space, until the
	# page is written.
	$node->safe_psql('postgres', 'DELETE FROM t WHERE id BETWEEN 4000 AND 4010; VACUUM t;');
	$node->safe_psql('postgres', 'CHECKPOINT');
	my %path = map { $_ => $node->data_dir . '/' . $node->safe_psql('postgres', "SELECT pg_relation_filepath('$_')") } qw(t u);
	my %before = map { $_ => sizes($node, $_) } qw(t u);
	my $lsn = $node->safe_psql('postgres', 'SELECT pg_current_wal_lsn()');
	cmp_ok(index(slurp_file($path{t}), $prefix), '>', 0, "$name: the old key is in the file");

	is($node->safe_psql('postgres', "CALL dbcrypt_rotate_in_place('u', 'c')") =~ /^(\d+)\|0\|/ && $1 > 500,
		1, "$name: an unlogged table, dead versions and all");
	my ($file) = $path{u} =~ m{/(\d+)$};
	unlike(
		run_waldump($node, $lsn),
		qr{rel \d+/\d+/$file\b},
		"$name: which logs nothing");
	is($node->safe_psql('postgres', "CALL dbcrypt_rotate_in_place('t', 'c')") =~ /^(\d+)\|0\|/ && $1 > 5000,
		1, "$name: a table");
	is(sizes($node, $_), $before{$_}, "$name: neither heap nor indexes of $_ grew") for qw(t u);
	is(stored_ids($node, $_), $new_id, "$name: every version in $_ is under the new key") for qw(t u);
	check_table($node, 't', $name, id => $new_id);
	check_table($node, 'u', "$name, unlogged", id => $new_id);
	$node->safe_psql('postgres', 'CHECKPOINT');
	is(index(slurp_file($path{$_}), $prefix), -1, "$name: no byte of the old key is in the file of $_") for qw(t u);

	# Recovery by a server that has never heard of dbcrypt.
	$node->safe_psql('postgres', old_keys() . "UPDATE t SET c = dbcrypt_reencrypt(c)");
	$node->safe_psql('postgres', "CALL dbcrypt_rotate_in_place('t', 'c', workers => 2)");
	is(stored_ids($node, 't'), $new_id, "$name: once more, with a worker");
	$node->stop('immediate');
	$node->append_conf('postgresql.conf', "shared_preload_libraries = ''");
	$node->start;
	check_table($node, 't', "$name, after a crash", id => $new_id);
	is(stored_ids($node, 't'), $new_id, "$name: a call that has returned survives a crash");
	$node->stop;
	if (grep { /checksums/ } @{ $servers{$name}{extra} })
	{
		command_ok([ 'pg_checksums', '--check', '-D', $node->data_dir ], "$name: checksums hold");
	}
}

# The heap records since an LSN.
sub run_waldump
{
	my ($node, $lsn) = @_;
	my $end = $node->safe_psql('postgres', 'SELECT pg_current_wal_flush_lsn()');
	my ($out, $err) = run_command([ 'pg_waldump', '-p', $node->data_dir . '/pg_wal', '-s', $lsn, '-e', $end, '-r', 'Heap2' ]);
	return $out;
}

done_testing();
