# What the tests of rotation in place share: tables under the old key, a rotation
# in the background, and what must hold of a table afterwards.
package InPlaceTest;

use strict;
use warnings FATAL => 'all';

use DbcryptTest;
use Exporter 'import';
use IPC::Run ();
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep);

our @EXPORT = qw($old_id $new_id old_keys make_table start_rotation lasting endless hold_page
  finish_rotation wait_for_rotation is_running check_table start_readers finish_readers sizes stored_ids);

our $new_id = key_id(key_hex(1));
our $old_id = key_id(key_hex(2));

# A setting that makes key 2, the old one, primary in a session.
sub old_keys
{
	return sprintf "SET dbcrypt.keys = '%s,%s';", key_hex(2), key_hex(1);
}

# A table of rows whose c is 'value ID' under the old key, with an index beside
# the primary key, and dead and aborted versions at its end.
sub make_table
{
	my ($node, $table, $rows, %opts) = @_;
	my $kind = $opts{kind} // '';
	$node->safe_psql('postgres', 'SET client_min_messages = error; CREATE EXTENSION IF NOT EXISTS amcheck; CREATE EXTENSION IF NOT EXISTS pageinspect');
	$node->safe_psql('postgres', old_keys() . qq{
		CREATE $kind TABLE $table (id int PRIMARY KEY, category int, c text, n int DEFAULT 0)
			WITH (autovacuum_enabled = off);
		INSERT INTO $table SELECT i, i % 100, dbcrypt_encrypt('value ' || i) FROM generate_series(1, $rows) i;
		CREATE INDEX ON $table (category);
	});
	$node->safe_psql('postgres', "VACUUM $table") unless $opts{no_vacuum};
	$node->safe_psql('postgres', old_keys() . qq{
		INSERT INTO $table SELECT i, 0, dbcrypt_encrypt('value ' || i) FROM generate_series($rows + 1, $rows + 30) i;
		DELETE FROM $table WHERE id > $rows + 20;
		UPDATE $table SET category = category + 1 WHERE id = 1;
		UPDATE $table SET n = n WHERE id = 2;
		BEGIN;
		UPDATE $table SET category = category + 1 WHERE id BETWEEN 3 AND 8;
		INSERT INTO $table SELECT i, 0, dbcrypt_encrypt('value ' || i) FROM generate_series($rows + 31, $rows + 40) i;
		ROLLBACK;
	});
	return;
}

# Arguments that make a rotation last about so many seconds, however fast the
# machine is: it logs an image of each page, and a limit holds its WAL back.
sub lasting
{
	my ($node, $table, $seconds) = @_;
	my $size = $node->safe_psql('postgres', "SELECT pg_relation_size('$table')");
	return sprintf "batch_blocks => 2, max_wal_rate => '%d kB'", $size / 1024 / $seconds;
}

# Arguments that make a rotation of which something shall be seen, or that shall be
# ended half way, last longer than any test waits for it.
sub endless
{
	my ($node, $table) = @_;
	return lasting($node, $table, 2 * $PostgreSQL::Test::Utils::timeout_default);
}

# A session that keeps the first page of a table pinned: a rotation of it does all
# the others and is not over before this session has ended.
sub hold_page
{
	my ($node, $table) = @_;
	my $holder = new_session($node);
	$holder->query_safe("BEGIN; DECLARE held CURSOR FOR SELECT c FROM $table");
	$holder->query_safe('FETCH 1 FROM held');
	return $holder;
}

# A rotation in the background.
sub start_rotation
{
	my ($node, $table, $arguments) = @_;
	my %run = (out => '', err => '');
	$arguments = defined $arguments ? ", $arguments" : '';
	$run{handle} = IPC::Run::start(
		[
			$node->installed_command('psql'), '-XAtq', '-v', 'ON_ERROR_STOP=1',
			'-d', $node->connstr('postgres'), '-c',
			"CALL dbcrypt_rotate_in_place('$table', 'c'$arguments)"
		],
		'<', \undef, '>', \$run{out}, '2>', \$run{err});
	return \%run;
}

# Ends it: (exit code, output, error output).
sub finish_rotation
{
	my ($run) = @_;
	my $ok = $run->{handle}->finish;
	return ($ok ? 0 : 1, $run->{out}, $run->{err});
}

# Whether a command in the background still runs; reads what it has printed.
sub is_running
{
	my ($run) = @_;
	return 0 unless $run->{handle}->pumpable;
	eval { $run->{handle}->pump_nb };
	return $run->{handle}->pumpable;
}

# Waits until a rotation has come through this share of its blocks, or rows where it
# passes again; false if it has ended before.
sub wait_for_rotation
{
	my ($node, $share, $run) = @_;
	my $query = 'SELECT count(*) FROM dbcrypt_progress p JOIN pg_class c ON c.oid = p."table" WHERE blocks_total > 0 '
	  . "AND (blocks_done >= $share * blocks_total OR rotated >= $share * greatest(reltuples, 0))";
	while (is_running($run))
	{
		return 1 if $node->safe_psql('postgres', $query) > 0;
		sleep(0.01);
	}
	return 0;
}

# Heap and index sizes.
sub sizes
{
	my ($node, $table) = @_;
	return $node->safe_psql('postgres',
		"SELECT pg_relation_size('$table'), pg_indexes_size('$table')");
}

# Key ids of all stored versions, dead ones included.
sub stored_ids
{
	my ($node, $table) = @_;
	return $node->safe_psql('postgres', qq{
		SELECT string_agg(DISTINCT id, ',') FROM (
			SELECT dbcrypt_key_id(convert_from(substr(t_attrs[3], CASE WHEN get_byte(t_attrs[3], 0) & 1 = 1 THEN 2 ELSE 5 END), 'UTF8')) AS id
			  FROM generate_series(0, pg_relation_size('$table') / 8192 - 1) block,
				   heap_page_item_attrs(get_raw_page('$table', block::int), '$table') WHERE t_attrs[3] IS NOT NULL) x});
}

# Every row is there and decrypts to its plaintext, and heap and indexes are sound.
# Options: id => a key id that all values must be under; rows => how many.
sub check_table
{
	my ($node, $table, $what, %opts) = @_;
	my $good = $node->safe_psql('postgres',
		"SELECT count(*), bool_and(dbcrypt_decrypt(c) = 'value ' || id) FROM $table");
	my $rows = $opts{rows} // (split /\|/, $good)[0];
	is($good, "$rows|t", "$what: every value decrypts to its plaintext");
	is($node->safe_psql('postgres', "SELECT string_agg(DISTINCT dbcrypt_key_id(c), ',') FROM $table"),
		$opts{id}, "$what: under the right key")
	  if $opts{id};
	return if $node->safe_psql('postgres', 'SELECT pg_is_in_recovery()') eq 't';
	is($node->safe_psql('postgres', "SELECT count(*) FROM verify_heapam('$table')"),
		0, "$what: the heap is sound");
	is( $node->safe_psql('postgres',
			"SELECT count(bt_index_check(indexrelid, true)::text) > 0 FROM pg_index WHERE indrelid = '$table'::regclass"),
		't', "$what: the indexes are sound");
	return;
}

# Readers with pgbench; each query decrypts 200 values. They end by themselves.
sub start_readers
{
	my ($node, $table, $rows, $seconds) = @_;
	my $script = PostgreSQL::Test::Utils::tempdir . "/read_$table.sql";
	append_to_file($script, qq{\\set low random(1, $rows - 200)
SELECT count(dbcrypt_decrypt(c)) FROM $table WHERE id BETWEEN :low AND :low + 199;
}) unless -e $script;
	my %run = (out => '', err => '', name => $node->name);
	$run{handle} = IPC::Run::start(
		[
			$node->installed_command('pgbench'), '-n', '-c', '2', '-T', $seconds, '-f', $script,
			'-h', $node->host, '-p', $node->port, 'postgres'
		],
		'<', \undef, '>', \$run{out}, '2>', \$run{err});
	return \%run;
}

# Waits for them: none has failed. Returns the number of decryptions.
sub finish_readers
{
	my ($run, $what) = @_;
	my $ok = $run->{handle}->finish;
	ok($ok && $run->{err} !~ /error|abort/i,
		"$what: no read failed") or diag $run->{err};
	my ($n) = $run->{out} =~ /number of transactions actually processed: (\d+)/;
	return 200 * ($n // 0);
}

1;
