# pg_repack copies a table by a trigger and puts the copy in its place: while it does,
# every way to rotate refuses, and afterwards every way rotates. Whichever begins first,
# no value comes back under the old key.
use strict;
use warnings FATAL => 'all';

use DbcryptTest;
use IPC::Run ();
use PostgreSQL::Test::Utils;
use Test::More;

my $bindir = `pg_config --bindir`;
$bindir = `$ENV{PG_CONFIG} --bindir` if $ENV{PG_CONFIG} && -x $ENV{PG_CONFIG};
chomp $bindir;
my $program = "$bindir/pg_repack";
plan skip_all => 'pg_repack is not installed' unless -x $program;

my $new_id = key_id(key_hex(1));
my $node = new_node('pg_repack', conf => "autovacuum = off\n");
plan skip_all => 'the server does not have the extension pg_repack'
  unless $node->safe_psql('postgres', q{SELECT count(*) FROM pg_available_extensions WHERE name = 'pg_repack'});
$node->safe_psql('postgres', 'CREATE EXTENSION pg_repack');

my %ways = (
	transaction => q{SELECT dbcrypt_rotate('%s', 'c')},
	online => q{CALL dbcrypt_rotate_online('%s', 'c')},
	in_place => q{CALL dbcrypt_rotate_in_place('%s', 'c')});

# A table of values under the old key.
sub make
{
	my ($table) = @_;
	$node->safe_psql('postgres', sprintf(q{SET dbcrypt.keys = '%s,%s';}, key_hex(2), key_hex(1)) . qq{
		CREATE TABLE $table (id int PRIMARY KEY, c text);
		INSERT INTO $table SELECT i, dbcrypt_encrypt('value ' || i) FROM generate_series(1, 2000) i;});
	return;
}

# Starts pg_repack on a table. It shall wait as long as it must, and end nobody.
sub start_repack
{
	my ($table) = @_;
	my %run = (output => '');
	$run{handle} = IPC::Run::start(
		[
			$program, '--no-kill-backend', '--wait-timeout', 100 * $PostgreSQL::Test::Utils::timeout_default,
			'-h', $node->host, '-p', $node->port, '-d', 'postgres', '-t', "public.$table"
		],
		'<', \undef, '>', \$run{output}, '2>&1');
	return \%run;
}

sub finish_repack
{
	my ($run, $what) = @_;
	ok($run->{handle}->finish, "$what: pg_repack ends well") or diag $run->{output};
	return;
}

# Every row is there, opens, and is under the new key.
sub check
{
	my ($table, $what) = @_;
	is($node->safe_psql('postgres', qq{
			SELECT count(*), count(*) FILTER (WHERE dbcrypt_decrypt(c) = 'value ' || id), string_agg(DISTINCT dbcrypt_key_id(c), ' ') FROM $table}),
		"2000|2000|$new_id", "$what: every value is under the new key");
	return;
}

my $has_trigger = q{SELECT EXISTS (SELECT FROM pg_trigger WHERE tgrelid = '%s'::regclass AND tgname = 'repack_trigger')};

# A transaction that pg_repack waits for before the swap; its trigger is there then.
sub older_transaction
{
	my $older = new_session($node);
	$older->query_safe('BEGIN; SELECT pg_current_xact_id()');
	return $older;
}

# Before the swap, and after it.
foreach my $way (sort keys %ways)
{
	make("t_$way");
	my $older = older_transaction();
	my $run = start_repack("t_$way");
	$node->poll_query_until('postgres', sprintf($has_trigger, "t_$way")) or die $run->{output};
	like(psql_error($node, sprintf($ways{$way}, "t_$way")),
		qr/ERROR:  trigger "repack_trigger" of table "t_$way" may copy rows\n.*HINT:  Wait until pg_repack has finished with the table, or drop the trigger if a crash has left it behind\./s,
		"$way: refused before the swap");
	$older->quit;
	finish_repack($run, $way);
	is($node->safe_psql('postgres', sprintf($has_trigger, "t_$way")), 'f', "$way: the trigger is gone");
	my ($rc, undef, $err) = $node->psql('postgres', sprintf($ways{$way}, "t_$way"));
	is($rc, 0, "$way: done after the swap") or diag $err;
	check("t_$way", $way);
}

# A rotation that has begun: pg_repack waits for it and copies what it left.
make('begun');
my $rotation = new_session($node);
$rotation->query_safe(q{BEGIN; SELECT dbcrypt_rotate('begun', 'c')});
my $run = start_repack('begun');
$node->poll_query_until('postgres', q{SELECT EXISTS (SELECT FROM pg_locks WHERE relation = 'begun'::regclass AND NOT granted)})
  or die $run->{output};
$rotation->query_safe('COMMIT');
$rotation->quit;
finish_repack($run, 'begun');
check('begun', 'begun');

# One in place that has begun: it keeps pg_repack waiting from its first batch to its end.
make('held');
my %in_place = (out => '', err => '');
$in_place{handle} = IPC::Run::start(
	[
		$node->installed_command('psql'), '-XAtq', '-d', $node->connstr('postgres'), '-c',
		q{CALL dbcrypt_rotate_in_place('held', 'c', batch_blocks => 1, max_wal_rate => '100 kB')}
	],
	'<', \undef, '>', \$in_place{out}, '2>', \$in_place{err});
$node->poll_query_until('postgres', q{SELECT coalesce(max(rotated), 0) > 0 FROM dbcrypt_progress}) or die $in_place{err};
$run = start_repack('held');
$node->poll_query_until('postgres', q{SELECT EXISTS (SELECT FROM pg_locks WHERE relation = 'held'::regclass AND NOT granted)})
  or die $run->{output};
ok($in_place{handle}->finish, 'in place, begun: done') or diag $in_place{err};
finish_repack($run, 'in place, begun');
check('held', 'in place, begun');

# An online rotation between two batches: the next one refuses.
make('batches');
my $older = older_transaction();
my %online = (out => '', err => '');
$online{handle} = IPC::Run::start(
	[
		$node->installed_command('psql'), '-XAtq', '-d', $node->connstr('postgres'), '-c',
		q{CALL dbcrypt_rotate_online('batches', 'c', batch_blocks => 1, max_wal_rate => '20 kB')}
	],
	'<', \undef, '>', \$online{out}, '2>', \$online{err});
$node->poll_query_until('postgres', q{SELECT coalesce(max(rotated), 0) > 0 FROM dbcrypt_progress}) or die $online{err};
$run = start_repack('batches');
$online{handle}->finish;
like($online{err}, qr/trigger "repack_trigger" of table "batches" may copy rows/, 'between two batches: refused');
is($node->safe_psql('postgres', 'SELECT count(DISTINCT dbcrypt_key_id(c)) FROM batches'), 2, 'between two batches: at once');
$older->quit;
finish_repack($run, 'between two batches');
$node->safe_psql('postgres', sprintf($ways{online}, 'batches'));
check('batches', 'between two batches, and again');

# What a crash leaves behind is named, until it is dropped.
make('crashed');
$node->safe_psql('postgres', q{
	CREATE TRIGGER repack_trigger AFTER INSERT OR DELETE OR UPDATE ON crashed FOR EACH ROW EXECUTE FUNCTION repack.repack_trigger('id');
	ALTER TABLE crashed ENABLE ALWAYS TRIGGER repack_trigger});
like(psql_error($node, sprintf($ways{in_place}, 'crashed')), qr/drop the trigger if a crash has left it behind/, 'left behind: refused');
$node->safe_psql('postgres', 'DROP TRIGGER repack_trigger ON crashed');
$node->safe_psql('postgres', sprintf($ways{in_place}, 'crashed'));
check('crashed', 'left behind, and dropped');

$node->stop;
done_testing();
