# A database that hangs holds up neither the health check nor dbcrypt_databases(): both
# say that it was passed over, and go on.
use strict;
use warnings FATAL => 'all';

use DbcryptTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('hanging', conf => "autovacuum = off\nlog_min_messages = debug1\n");
my $id = key_id(key_hex(2));
$node->safe_psql('postgres', "CREATE DATABASE $_") foreach 'a_hanging', 'b_searched';
foreach my $database ('a_hanging', 'b_searched')
{
	$node->safe_psql($database, q{
		CREATE EXTENSION dbcrypt;
		SELECT dbcrypt_register_keys();
		CREATE TABLE people (id int, secret text);
		INSERT INTO people VALUES (1, 'plaintext');
		SELECT dbcrypt_register_column('people', 'secret')});
}
my $asked = "SELECT database || ': ' || state FROM dbcrypt_databases('$id') WHERE database ~ '^[ab]_'";
my $searched = "b_searched: not in use";

# What the databases answer. A search that hangs fails the test, long before
# dbcrypt.check_timeout, an hour, would end it.
sub asked
{
	return $node->safe_psql('postgres', $asked, timeout => $PostgreSQL::Test::Utils::timeout_default);
}

sub reload_log
{
	my $offset = -s $node->logfile;
	$node->reload;
	$node->wait_for_log(qr/dbcrypt: checked every database/, $offset);
	return substr(slurp_file($node->logfile), $offset);
}

$node->wait_for_log(qr/dbcrypt: checked every database/);
is($node->safe_psql('postgres', $asked), "a_hanging: not in use\n$searched", 'before');

# A lock that a connection waits for, one that the check waits for, and one of a table.
my $holder = new_session($node, 'a_hanging');
foreach my $table ('pg_catalog.pg_class', 'pg_catalog.pg_extension', 'public.people')
{
	run_sql($holder, "BEGIN; LOCK TABLE $table IN ACCESS EXCLUSIVE MODE");
	is(asked(), "a_hanging: could not be asked\n$searched", "a lock on $table: it could not be asked");
	my $log = reload_log();
	like($log, $table =~ /people/ ? qr/WARNING|LOG:  dbcrypt: database "a_hanging", table public\.people/
		: qr/WARNING:  dbcrypt: database "a_hanging" could not be checked/, '... nor checked');
	like($log, qr/WARNING:  dbcrypt: database "b_searched", column public\.people\.secret: .*not encrypted/, '... and the next one is');
	run_sql($holder, 'ROLLBACK');
}

# Code of a table's owner that never ends; it is run where values are opened.
my $sleeping = q{SELECT count(*) FROM pg_stat_activity WHERE datname = 'a_hanging' AND wait_event = 'PgSleep'};
$node->safe_psql('a_hanging', q{
	SELECT dbcrypt_unregister_column('people', 'secret');
	CREATE FUNCTION hangs() RETURNS boolean LANGUAGE plpgsql STABLE AS 'BEGIN PERFORM pg_sleep(86400); RETURN true; END';
	CREATE TABLE adopted (s text);
	SELECT dbcrypt_adopt('adopted', 's', 'lockbox', '{"where": "public.hangs()"}');
	INSERT INTO adopted VALUES ('x')});
my $session = new_session($node);
start_sql($session, $asked);
$node->poll_query_until('postgres', "SELECT ($sleeping) = 1") or die 'nothing hangs';
my $asking = $node->safe_psql('postgres', q{SELECT pid FROM pg_stat_activity WHERE query LIKE '%dbcrypt_databases%' AND pid <> pg_backend_pid() AND state = 'active'});
$node->safe_psql('postgres', "SELECT pg_cancel_backend($asking)");
like((finish_sql($session))[1], qr/canceling statement due to user request/, 'it can be cancelled');
ok($node->poll_query_until('postgres', "SELECT ($sleeping) = 0"), '... which ends its worker');
start_sql($session, $asked);
$node->poll_query_until('postgres', "SELECT ($sleeping) = 1") or die 'nothing hangs';
$node->safe_psql('postgres', "SELECT pg_terminate_backend($asking)");
ok($node->poll_query_until('postgres', "SELECT ($sleeping) = 0"), 'and so does the end of the session');
eval { $session->quit };

$node->append_conf('postgresql.conf', "dbcrypt.check_timeout = '2s'");
my $log = reload_log();
like($log, qr/WARNING:  dbcrypt: database "a_hanging" could not be checked\n.*DETAIL:  The check took longer than dbcrypt\.check_timeout, 2000 ms/,
	'dbcrypt.check_timeout ends the check');
like($log, qr/WARNING:  dbcrypt: database "b_searched", column public\.people\.secret: .*not encrypted/, '... and the next one is checked');
is(asked(), "a_hanging: could not be asked\n$searched", '... and the search');
ok($node->poll_query_until('postgres', "SELECT ($sleeping) = 0"), 'no worker is left');
like(psql_error($node, 'SET dbcrypt.check_timeout = 0'), qr/cannot be changed now/, 'the setting is the configuration\'s');
$holder->quit;
$node->stop;
done_testing();
