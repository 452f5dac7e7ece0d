# Revocation reaches every open session at its next statement, whatever it is in
# the middle of, and its parallel workers.
use strict;
use warnings FATAL => 'all';

use DbcryptTest;
use PostgreSQL::Test::Utils;
use Test::More;

my ($k1, $k2) = map { key_hex($_) } 1 .. 2;
my $parallel = q{
parallel_setup_cost = 0
parallel_tuple_cost = 0
min_parallel_table_scan_size = 0
parallel_leader_participation = off
max_parallel_workers_per_gather = 2
};

foreach my $preload (1, 0)
{
	my $how = $preload ? 'preloaded' : 'not preloaded';
	my $node = new_node("revocation_$preload", keys => [ $k2, $k1 ], preload => $preload, conf => $parallel);
	my $id = key_id($k2);
	$node->safe_psql('postgres', q{
CREATE TABLE forgotten AS SELECT i AS id, dbcrypt_encrypt('x') AS token FROM generate_series(1, 5000) i;
ANALYZE forgotten});
	write_key_file(key_file($node), $k1, $k2);

	# By hand: the functions refuse while values and open transactions are in the way.
	my $revoke = "UPDATE dbcrypt_keys SET revoked_at = now() WHERE key_id = '$id'";
	my $reinstate = "SELECT dbcrypt_reinstate_key('$id')";
	my $read = 'SELECT dbcrypt_decrypt(token) FROM forgotten WHERE id = 1';
	my $workers = 'SELECT count(dbcrypt_decrypt(token)) FROM forgotten';
	like($node->safe_psql('postgres', "EXPLAIN $workers"), qr/Workers Planned: \d/, "$how: a parallel plan");

	my %session = map { $_ => new_session($node) } qw(idle transaction repeatable prepared plpgsql parallel literal);
	my %statement = map { $_ => $read } keys %session;
	$session{transaction}->query_safe('BEGIN');
	$session{repeatable}->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ');
	$session{prepared}->query_safe("SET plan_cache_mode = force_generic_plan");
	$session{prepared}->query_safe("PREPARE p AS $read");
	$statement{prepared} = 'EXECUTE p';
	$session{plpgsql}->query_safe(qq{CREATE FUNCTION f() RETURNS text LANGUAGE plpgsql AS \$\$BEGIN RETURN ($read); END\$\$});
	$statement{plpgsql} = 'SELECT f()';
	$statement{$_} = $workers foreach qw(parallel literal);
	$session{literal}->query_safe("SET dbcrypt.keys = '$k1,$k2'");
	$session{literal}->query_safe("SET dbcrypt.key_file = ''");

	my %works = map { $_ => 'x' } keys %session;
	$works{$_} = '5000' foreach qw(parallel literal);
	my $all_work = sub {
		my ($when) = @_;
		is((run_sql($session{$_}, $statement{$_}))[0], $works{$_}, "$how, $when: $_") foreach sort keys %session;
	};
	my $none_works = sub {
		foreach my $name (sort keys %session)
		{
			$session{$name}->query_safe('SAVEPOINT s') if $name =~ /transaction|repeatable/;
			like((run_sql($session{$name}, $statement{$name}))[1],
				qr/ERROR:  encryption key $id is revoked/, "$how, revoked: $name");
			$session{$name}->query_safe('ROLLBACK TO s') if $name =~ /transaction|repeatable/;
		}
	};

	$all_work->('before');
	my $revoker = new_session($node);
	$revoker->query_safe("BEGIN; $revoke");
	$all_work->('while a revocation is uncommitted');
	$revoker->query_safe('ROLLBACK');
	$all_work->('after a revocation that was rolled back');
	$revoker->query_safe("BEGIN; $revoke");
	$revoker->query_safe('COMMIT');
	$none_works->();
	$revoker->query_safe($reinstate);
	$all_work->('after the reinstatement');

	# The primary key of others is revoked while they encrypt with it.
	write_key_file("${\key_file($node)}.other", $k2, $k1);
	$session{idle}->query_safe("SET dbcrypt.key_file = '${\key_file($node)}.other'");
	is((run_sql($session{idle}, q{SELECT dbcrypt_key_id(dbcrypt_encrypt('x'))}))[0], $id, "$how: another primary key");
	$revoker->query_safe($revoke);
	like((run_sql($session{idle}, q{SELECT dbcrypt_encrypt('x')}))[1],
		qr/ERROR:  encryption key $id is revoked/, '... does not encrypt once it is revoked');

	# Whoever writes the table by hand is heard as well.
	$revoker->query_safe('UPDATE dbcrypt_keys SET revoked_at = NULL');
	is((run_sql($session{prepared}, 'EXECUTE p'))[0], 'x', "$how: an UPDATE of dbcrypt_keys is noticed");
	$revoker->query_safe('TRUNCATE dbcrypt_keys');
	like((run_sql($session{prepared}, q{SELECT dbcrypt_encrypt('x')}))[1],
		qr/is not registered/, "$how: so is a TRUNCATE");

	$_->quit foreach values %session, $revoker;
	$node->stop;
}
done_testing();
