# A random walk over everything that a DBA does to encrypted columns, beside writers:
# keys come and go, columns are rotated in every way, decrypted, renamed, swapped, copied,
# dumped and restored, repacked, partitions are exchanged, transactions are prepared,
# processes are killed. After each step every value is that of the writers' hashes, and
# none is under a revoked key. DBCRYPT_SEED repeats a walk's choices, DBCRYPT_STEPS sets
# its length.
use strict;
use warnings FATAL => 'all';

use DbcryptTest;
use IPC::Run ();
use List::Util qw(shuffle);
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);
use WalkTest;

plan skip_all => 'needs /proc' unless -d "/proc/$$";

my $seed = $ENV{DBCRYPT_SEED} // (soak() ? int(time() * 1000) % 2**31 : 11);
my $steps = $ENV{DBCRYPT_STEPS} // 20;
my $until = soak() ? time() + 1800 : 0;
srand $seed;
note "DBCRYPT_SEED=$seed";
diag "DBCRYPT_SEED=$seed" if soak();

my $keys = 1; # made so far
my @file = (1); # their numbers in the key file, the primary one first
my $copies = 0;
my $renames = 0;
my $deed = '';
my %object; # OIDs of large objects that hold a value
my $prepared = 0; # whether a transaction is

my $node = new_node('random_walk',
	keys => [ map { secret_key("walk $_") } @file ],
	conf => "max_worker_processes = 12\nmax_prepared_transactions = 2\ndeadlock_timeout = 200ms\nstatement_timeout = 180s\nrestart_after_crash = on\n");
walk_setup($node, soak() ? 300 : 60);
my $repack = find_pg_repack();
note 'pg_repack is not installed' unless defined $repack;

# The program pg_repack, with its extension in the database; undef where it is not installed.
sub find_pg_repack
{
	my $pg_config = $ENV{PG_CONFIG} // 'pg_config';
	# The child process of a program that cannot be run would stop our servers as it dies.
	return if $pg_config =~ m{/} && !-x $pg_config;
	my $bindir = `$pg_config --bindir`;
	chomp $bindir;
	return unless -x "$bindir/pg_repack"
	  && $node->safe_psql('postgres', q{SELECT count(*) FROM pg_available_extensions WHERE name = 'pg_repack'});
	$node->safe_psql('postgres', 'CREATE EXTENSION pg_repack');
	return "$bindir/pg_repack";
}

sub id_of { return key_id(secret_key("walk $_[0]")); }
sub one_of { return $_[ int rand @_ ]; }
sub registered { return grep { $table{$_}{registered} } sort keys %table; }

# What is wrong with a step: its number, what it did and what came of it.
sub broken
{
	my ($what) = @_;
	fail($deed);
	diag "$deed: $what (DBCRYPT_SEED=$seed)";
	return;
}

# What statements that run beside others may always meet.
my $conflict = qr/deadlock detected|could not serialize|canceling statement due to lock timeout/;

# Runs statements, again while they meet one of these errors; the output, or undef after
# any other error, which is one of the test's.
sub sql
{
	my ($sql, $again) = @_;
	my ($rc, $out, $err);
	for my $try (1 .. 30)
	{
		($rc, $out, $err) = $node->psql('postgres', $sql);
		return $out if $rc == 0;
		last unless $err =~ /ERROR:  $conflict/ || $again && $err =~ $again;
		sleep 0.2;
	}
	broken("$sql\n$err");
	return;
}

# The keys' numbers in a state that dbcrypt_keys gives.
sub keys_where
{
	my ($condition) = @_;
	my %found = map { $_ => 1 } split /\n/, sql("SELECT key_id FROM dbcrypt_keys WHERE $condition");
	return grep { $found{ id_of($_) } } 1 .. $keys;
}

sub write_file
{
	my @new = @_;
	@file = @new;
	write_key_file(key_file($node), map { secret_key("walk $_") } @file);
	return;
}

# Where a writer's transaction began under the former primary key, a rotation may meet
# its values late, and says so.
my $late = qr/is still being written under another key|transactions? .* go(?:es)? on|is retired/;

# A rotation in one of the three ways.
sub rotation
{
	my ($role) = @_;
	my $what = "'${\qualified($role)}', '$table{$role}{column}'";
	my $online = one_of('', ', workers => 2', ', batch_blocks => 2', ', busy_share => 0.5');
	my $in_place = one_of('', ', workers => 2', ', batch_blocks => 2', ', pin_timeout => 100');
	return one_of("SELECT dbcrypt_rotate($what)", "CALL dbcrypt_rotate_online($what$online)",
		"CALL dbcrypt_rotate_in_place($what$in_place)");
}

# One during which something shall happen.
sub slow_rotation
{
	my ($role) = @_;
	my $way = one_of('online', 'in_place');
	return "CALL dbcrypt_rotate_$way('${\qualified($role)}', '$table{$role}{column}', batch_blocks => 1, busy_share => 0.02)";
}

# Starts statements in a session that can be ended; waits until they run.
sub start_apart
{
	my ($sql, $out) = @_;
	my $run = IPC::Run::start(
		[ 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('postgres'), '-c', 'SELECT pg_backend_pid()', '-c', $sql ],
		'<', '/dev/null', '>', $out, '2>&1');
	$run->pump until $$out =~ /^(\d+)\n/ || !$run->pumpable;
	my ($pid) = $$out =~ /^(\d+)\n/ or die "no session: $$out";
	sleep rand 0.3;
	return ($run, $pid);
}

# Renames and the like: writers do not use the table's name meanwhile.
sub renaming
{
	my ($role, $sql, %new) = @_;
	my $before = { %{ $table{$role} } };
	@{ $table{$role} }{ keys %new } = values %new;
	my $live = "UPDATE walk.live SET name = '${\qualified($role)}', col = '$table{$role}{column}' WHERE role = '$role';";
	$table{$role} = $before unless defined sql("BEGIN; $live\n$sql\nCOMMIT;");
	return;
}

# A key's values that the walk knows of and nobody changes: they must stop a revocation.
sub planted
{
	my ($key) = @_;
	foreach my $name (sort grep { !$copy{$_}{registered} } keys %copy)
	{
		return $name if sql("SELECT count(*) FROM $name WHERE dbcrypt_key_id($copy{$name}{value}) = '${\id_of($key)}'") > 0;
	}
	foreach my $object (sort keys %object)
	{
		return "large object $object" if sql("SELECT dbcrypt_key_id(substr(convert_from(lo_get($object), 'UTF8'), 4))") eq id_of($key);
	}
	return;
}

sub drop_copy
{
	my ($name) = @_;
	my $kind = $copy{$name}{view} ? 'MATERIALIZED VIEW' : 'TABLE';
	delete $copy{$name} if defined sql("DROP $kind $name; DELETE FROM walk.copied WHERE copy = '$name'");
	return;
}

sub drop_object
{
	my ($object) = @_;
	delete $object{$object} if defined sql("SELECT lo_unlink($object)");
	return;
}

# What follows a key that is no longer the primary one: revocation, with or without what
# makes it possible.
sub revoke
{
	my ($clean) = @_;
	my @old = grep { $_ != $file[0] } keys_where('revoked_at IS NULL');
	return 'no old key' unless @old;
	my @revoked = $clean ? @old : (one_of(@old));
	if ($clean)
	{
		drop_copy($_) foreach grep { !$copy{$_}{registered} } sort keys %copy;
		drop_object($_) foreach sort keys %object;
		encrypt($_) foreach grep { !$table{$_}{registered} } sort keys %table;
	}
	my $blocked = (grep { defined } map { planted($_) } @revoked)[0];
	my $list = join ', ', map { "'${\id_of($_)}'" } @revoked;
	for my $try (1 .. 20)
	{
		sql('DELETE FROM walk.leftovers; SELECT dbcrypt_rotate_all()') if $clean;
		my ($rc, $out, $err) = $node->psql('postgres', "CALL dbcrypt_revoke_keys(ARRAY[$list])");
		broken("@revoked revoked beside a prepared transaction") if $rc == 0 && $prepared;
		return "revoked @revoked" if $rc == 0 && !defined $blocked;
		broken("@revoked revoked although $blocked holds a value"), return 'wrong' if $rc == 0;
		broken($err) unless $err =~ /still in use|may be in use/ || $prepared && $err =~ /prepared transactions may hold/;
		return "refused for @revoked" unless $clean;
	}
	broken("@revoked cannot be revoked");
	return 'refused';
}

sub encrypt
{
	my ($role) = @_;
	my ($table, $column) = (qualified($role), $table{$role}{column});
	$table{$role}{registered} = 1
	  if defined sql("BEGIN; UPDATE walk.live SET name = name WHERE role = '$role';
		SELECT dbcrypt_encrypt_column('$table', '$column', 'id');\n" . trigger_sql($role) . 'COMMIT;');
	return;
}

my %deeds;
%deeds = (
	'new key' => sub {
		$keys++;
		write_file(@file, $keys);
		sql('SELECT dbcrypt_register_keys()');
		write_file($keys, grep { $_ != $keys } @file);
		return "primary $keys";
	},
	'other primary key' => sub {
		my @usable = keys_where('retired_at IS NULL AND revoked_at IS NULL');
		my $first = one_of(grep { my $key = $_; grep { $_ == $key } @file } @usable);
		write_file($first, grep { $_ != $first } @file);
		return "primary $first";
	},
	'key file without revoked keys' => sub {
		my %revoked = map { $_ => 1 } keys_where('revoked_at IS NOT NULL');
		write_file(grep { !$revoked{$_} } @file);
		return "@file";
	},
	'rotate' => sub { my $sql = rotation(one_of(registered()) // return 'none'); sql($sql, $late); return $sql; },
	'rotate all' => sub { sql('SELECT dbcrypt_rotate_all()'); },
	'verify' => sub {
		my $states = sql(q{SELECT DISTINCT state FROM dbcrypt_verify_all() WHERE state NOT IN ('primary', 'old')}) // '';
		broken("verified: $states") if $states ne '';
		return $states;
	},
	'decrypt or encrypt a column' => sub {
		my $role = one_of(sort keys %table);
		my ($table, $column) = (qualified($role), $table{$role}{column});
		return encrypt($role), "encrypt $role" unless $table{$role}{registered};
		my $ids = join ',', map { id_of($_) } @file;
		$table{$role}{registered} = 0
		  if defined sql("BEGIN; UPDATE walk.live SET name = name WHERE role = '$role';
			DROP TRIGGER zz_encrypt ON $table; SET LOCAL dbcrypt.decrypt_keys = '$ids';
			SELECT dbcrypt_decrypt_column('$table', '$column'); COMMIT;");
		return "decrypt $role";
	},
	'databases' => sub { sql("SELECT * FROM dbcrypt_databases('${\id_of($file[0])}')"); },
	'revoke' => sub { revoke(0); },
	'make revocable and revoke' => sub { revoke(1); },
	'reinstate' => sub {
		my $key = one_of(keys_where('retired_at IS NOT NULL')) // return 'none';
		write_file(@file, $key) unless grep { $_ == $key } @file;
		sql("SELECT dbcrypt_reinstate_key('${\id_of($key)}')");
		return $key;
	},
	'rename a table' => sub {
		my $role = one_of(sort keys %table);
		my $name = "t_$role" . ++$renames;
		renaming($role, "ALTER TABLE ${\qualified($role)} RENAME TO $name;", name => $name);
		return $name;
	},
	'rename a column' => sub {
		my $role = one_of(registered()) // return 'none';
		my ($table, $name) = (qualified($role), 'v' . ++$renames);
		renaming($role, "DROP TRIGGER zz_encrypt ON $table; ALTER TABLE $table RENAME $table{$role}{column} TO $name; "
			  . trigger_sql($role) =~ s/'$table{$role}{column}'/'$name'/r, column => $name);
		return "$table.$name";
	},
	'rename a schema' => sub {
		my $role = one_of(sort keys %table);
		my $schema = "s_$role" . ++$renames;
		my $old = $table{$role}{schema};
		renaming($role, "ALTER SCHEMA $old RENAME TO $schema;", schema => $schema);
		foreach my $name (grep { /^$old\./ } keys %copy)
		{
			my $new = $name =~ s/^$old\./$schema./r;
			sql("UPDATE walk.copied SET copy = '$new' WHERE copy = '$name'");
			$copy{$new} = delete $copy{$name};
		}
		return $schema;
	},
	'swap names' => sub {
		my $role = one_of(grep { !$table{$_}{partitioned} } registered()) // return 'none';
		my ($t, $old, $new) = ($table{$role}, qualified($role), "$table{$role}{schema}.new");
		my $gone = "$t->{name}_" . ++$copies;
		$copy{"$t->{schema}.$gone"} = { value => $t->{column}, registered => 1 };
		renaming($role, "LOCK TABLE $old; CREATE TABLE $new (LIKE $old INCLUDING ALL); INSERT INTO $new SELECT * FROM $old;
			ALTER TABLE $old RENAME TO $gone; ALTER TABLE $new RENAME TO $t->{name};
			DROP TRIGGER zz_encrypt ON $t->{schema}.$gone;" . trigger_sql($role) . remember_copy("$t->{schema}.$gone"));
		return $old;
	},
	'copy' => sub {
		my $role = one_of(sort keys %table);
		my $name = 'public.copy_' . ++$copies;
		my $json = $table{$role}{kind} eq 'text' && rand() < 0.3;
		$copy{$name} = { value => $json ? "(j->>'v')" : 'v', json => $json };
		my $values = $json ? "to_jsonb(t) - '$table{$role}{column}' || jsonb_build_object('v', $table{$role}{column}) AS j"
		  : "$table{$role}{column} AS v";
		sql("BEGIN; CREATE TABLE $name AS SELECT id, $values FROM ${\qualified($role)} t;" . remember_copy($name) . 'COMMIT;');
		return "$name of $role" . ($json ? ', JSON' : '');
	},
	'materialized view' => sub {
		my $name = one_of(grep { $copy{$_}{view} } sort keys %copy);
		my $sql = "REFRESH MATERIALIZED VIEW ${\($name // '')}; DELETE FROM walk.copied WHERE copy = '${\($name // '')}';";
		unless (defined $name && rand() < 0.7)
		{
			my $role = one_of(grep { $table{$_}{kind} eq 'text' } sort keys %table);
			$name = 'public.view_' . ++$copies;
			$sql = "CREATE MATERIALIZED VIEW $name AS SELECT * FROM walk.rows_of('$role');";
			$copy{$name} = { value => 'v', view => 1 };
		}
		sql("BEGIN; $sql" . remember_copy($name) . 'COMMIT;');
		return $sql;
	},
	'large object' => sub {
		drop_object((sort keys %object)[0]) if keys %object > 2;
		my $role = one_of(grep { $table{$_}{kind} eq 'text' } registered()) // return 'none';
		my $object = sql("SELECT lo_from_bytea(0, convert_to('lo ' || $table{$role}{column}, 'UTF8')) FROM ${\qualified($role)}
			WHERE dbcrypt_is_encrypted($table{$role}{column}) LIMIT 1");
		$object{$object} = 1 if defined $object && $object ne '';
		return $object;
	},
	'prepared transaction' => sub {
		my $role = one_of(grep { $table{$_}{kind} eq 'text' } registered()) // return 'none';
		my ($table, $column) = (qualified($role), $table{$role}{column});
		sql("BEGIN; INSERT INTO walk.leftovers SELECT id, md5(walk.plain($column, id)), $column FROM $table LIMIT 1; PREPARE TRANSACTION 'walk';") // return;
		$prepared = 1;
		my $beside = one_of('new key', 'other primary key', 'rotate', 'rotate all', 'revoke', 'revoke', 'verify');
		$deeds{'new key'}->() if $beside eq 'revoke';
		my $did = $deeds{$beside}->() // '';
		$prepared = 0;
		sql(one_of('COMMIT', 'ROLLBACK') . " PREPARED 'walk'");
		return "beside $beside: $did";
	},
	'detach and attach a partition' => sub {
		my ($role) = grep { $table{$_}{partitioned} } sort keys %table;
		my ($table, $column, $region) = (qualified($role), $table{$role}{column}, int rand 3);
		my ($part, $new) = ("$table{$role}{schema}.part_$region", "$table{$role}{schema}.new_part");
		my $attach = "ALTER TABLE $table ATTACH PARTITION $part FOR VALUES IN ($region);";
		my $unregister = $table{$role}{registered} ? "SELECT dbcrypt_unregister_column('$part', '$column');" : '';
		my $sql = one_of("$attach $unregister",
			$unregister ? "SELECT dbcrypt_rotate('$part', '$column'); $attach $unregister" : $attach,
			"CREATE TABLE $new (LIKE $part INCLUDING ALL); INSERT INTO $new SELECT * FROM $part; DROP TABLE $part;
			ALTER TABLE $new RENAME TO part_$region; $attach");
		renaming($role, "ALTER TABLE $table DETACH PARTITION $part; $sql");
		return $sql =~ s/\s+/ /gr;
	},
	'pg_repack' => sub {
		return 'not installed' unless defined $repack;
		my $role = one_of(grep { !$table{$_}{partitioned} } registered()) // return 'none';
		my ($sql, $out) = (rotation($role), '');
		my $run = IPC::Run::start(
			[
				$repack, '--no-kill-backend', '--wait-timeout', 3600, '-h', $node->host, '-p', $node->port, '-d', 'postgres',
				'-t', qualified($role)
			],
			'<', '/dev/null', '>', \$out, '2>&1');
		sleep rand 1;
		my (undef, undef, $err) = $node->psql('postgres', $sql);
		my ($error) = $err =~ /ERROR:  (.*)/;
		broken("$sql beside pg_repack: $err") if defined $error && $error !~ /$conflict|$late|"repack_trigger" .* may copy rows/;
		$run->finish or broken("pg_repack: $out");
		return "$sql beside it" . (defined $error ? ": $error" : '');
	},
	'register a copy' => sub {
		my $name = one_of(grep { !$copy{$_}{json} && !$copy{$_}{view} && !$copy{$_}{registered} } sort keys %copy) // return 'none';
		$copy{$name}{registered} = 1 if defined sql("SELECT dbcrypt_encrypt_column('$name', 'v', 'id')");
		return $name;
	},
	'drop a copy' => sub {
		my $name = one_of(sort keys %copy) // return 'none';
		drop_copy($name);
		return $name;
	},
	'dump and restore a table' => sub {
		my $role = one_of(grep { !$table{$_}{partitioned} } registered()) // return 'none';
		my ($name, $file) = (qualified($role), $node->basedir . '/dump.sql');
		unlink $file;
		my $database = $node->connstr('postgres') =~ s/'//gr;
		sql(qq{BEGIN; UPDATE walk.live SET name = name WHERE role = '$role';
\\! pg_dump -f $file -t $name -d "$database"
DROP TABLE $name;
\\i $file
SELECT public.dbcrypt_register_column('$name', '$table{$role}{column}', 'id');
COMMIT;});
		return $name;
	},
	'vacuum' => sub {
		my $sql = one_of('VACUUM FULL', 'VACUUM', 'VACUUM FREEZE', 'ANALYZE', 'REINDEX TABLE') . ' ' . qualified(one_of(sort keys %table));
		sql($sql);
		return $sql;
	},
	'cancel' => sub {
		my $out = '';
		$deeds{'new key'}->();
		my ($run, $pid) = start_apart(slow_rotation(one_of(registered()) // return 'none'), \$out);
		sql("SELECT pg_cancel_backend($pid)");
		$run->finish;
		return $out =~ /canceling/ ? 'canceled' : 'ended before';
	},
	'kill' => sub {
		my $out = '';
		$deeds{'new key'}->();
		my ($run, $pid) = start_apart(slow_rotation(one_of(registered()) // return 'none'), \$out);
		kill_process($node, $pid);
		$run->finish;
		stop_writers($node);
		start_writers($node, $seed);
		return 'killed';
	},
	'immediate restart' => sub {
		my $out = '';
		$deeds{'new key'}->();
		my ($run) = start_apart(slow_rotation(one_of(registered()) // return 'none'), \$out);
		$node->stop('immediate');
		$run->finish;
		$node->start;
		stop_writers($node);
		start_writers($node, $seed);
		return 'restarted';
	});

# What is done more often than once a round, and what may run beside a rotation.
my @more = ('new key', 'new key', 'other primary key', 'rotate', 'make revocable and revoke', 'beside a rotation', 'cancel');
my @beside = ('new key', 'other primary key', 'key file without revoked keys', 'rotate', 'rotate all', 'revoke',
	'reinstate', 'verify', 'rename a table', 'rename a column', 'rename a schema', 'swap names', 'copy', 'vacuum', 'materialized view',
	'detach and attach a partition', 'pg_repack');
$deeds{'beside a rotation'} = sub {
	$deeds{'new key'}->();
	my $sql = slow_rotation(one_of(registered()) // return 'none');
	my $out = '';
	my ($run) = start_apart($sql, \$out);
	my $name = one_of(@beside);
	my $did = $deeds{$name}->() // '';
	$run->finish;
	my ($error) = $out =~ /ERROR:  (.*)/;
	broken("$sql beside $name: $out") if defined $error && $error !~ /$conflict|$late|does not exist|"repack_trigger" .* may copy rows/;
	return "$sql beside $name: $did" . (defined $error ? ": $error" : '');
};

start_writers($node, $seed);
my ($step, $wrong, @deck) = (0, 0);
while ($step < $steps || time() < $until)
{
	@deck = shuffle((sort keys %deeds), @more) unless @deck;
	my $name = shift @deck;
	$step++;
	$deed = "step $step, $name";
	drop_copy((sort keys %copy)[0]) if keys %copy > 6;
	my $did = $deeds{$name}->() // '';
	note "$deed: $did";
	wait_for_writers($node);
	my @found = broken_invariants($node);
	ok(!@found, "$deed holds") or diag join "\n", "DBCRYPT_SEED=$seed", @found;
	last if !Test::More->builder->is_passing && ++$wrong >= 3;
}
stop_writers($node);
note $node->safe_psql('postgres', 'SELECT state, left(message, 60), count(*) FROM walk.errors GROUP BY 1, 2 ORDER BY 3 DESC LIMIT 20');
$node->stop;
done_testing();
