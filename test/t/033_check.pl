# dbcrypt_check in the states that SQL alone cannot make, and the workers that
# run it at start and after a reload.
use strict;
use warnings FATAL => 'all';

use DbcryptTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $key1 = key_id(key_hex(1));
my $key2 = key_id(key_hex(2));
my $findings = q{SELECT severity, subject, finding FROM dbcrypt_check()};

# Waits for a line in a node's log from an offset on; returns the new text.
sub wait_for_line
{
	my ($node, $regexp, $offset) = @_;
	$node->wait_for_log($regexp, $offset);
	return substr(slurp_file($node->logfile), $offset);
}

sub log_end
{
	my ($node) = @_;
	return -s $node->logfile;
}

# Waits until the launcher has nothing left to do: with debug1 it says so.
# Every start and reload below is followed by one, so that no pass is mistaken
# for the next.
sub wait_for_pass
{
	my ($node, $offset) = @_;
	return wait_for_line($node, qr/dbcrypt: checked every database/, $offset);
}

# What the server logs from a reload, or a restart, to the end of its checks.
sub reload_log
{
	my ($node) = @_;
	my $offset = log_end($node);
	$node->reload;
	return wait_for_pass($node, $offset);
}

sub restart_log
{
	my ($node) = @_;
	my $offset = log_end($node);
	$node->restart;
	return wait_for_pass($node, $offset);
}

my $node = new_node('check', allows_streaming => 1, conf => "log_min_messages = debug1\n");

wait_for_pass($node, 0);

# ---- all is well, and says nothing ----
$node->safe_psql('postgres', q{
	CREATE TABLE people (id int, secret text);
	INSERT INTO people SELECT i, dbcrypt_encrypt('x') FROM generate_series(1, 10) i;
	SELECT dbcrypt_register_column('people', 'secret');
	CREATE DATABASE without;
});
is($node->safe_psql('postgres', $findings), '', 'all is well');
my $log = reload_log($node);
unlike($log, qr/dbcrypt: database/, 'no finding is logged');

# ---- every session that starts learns at once that a key is missing ----
write_key_file(key_file($node), key_hex(2));
$log = reload_log($node);
my $missing = qr/WARNING:  dbcrypt: database "postgres", column public\.people\.secret: values under key $key1, which is not loaded: 10, first in public\.people \(0,1\)/;
like($log, $missing, 'after a reload');
$log = restart_log($node);
like($log, $missing, 'at start');
like($log, qr/HINT:  Add the key to dbcrypt\.key_file, below the primary key\./, 'with its hint');
unlike($log, qr/dbcrypt: database "(?!postgres)/, 'no other database');

# ---- on a standby too ----
$node->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('check_standby');
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->start;
wait_for_pass($standby, 0);
like(slurp_file($standby->logfile), $missing, 'on a standby');
is($standby->safe_psql('postgres', $findings),
	$node->safe_psql('postgres', $findings), 'the same findings as on the primary server');
$standby->stop;

# ---- severities ----
write_key_file(key_file($node), key_hex(2), key_hex(1));
$log = reload_log($node);
like($log, qr/LOG:  dbcrypt: database "postgres", .*values under old key $key1: 10/, 'a notice');
write_key_file(key_file($node), key_hex(1), key_hex(2));

# ---- a key file that others can read, and one that is gone ----
chmod 0644, key_file($node) or die;
is($node->safe_psql('postgres', $findings),
	'error|key ring|key file "' . key_file($node) . '" has group or world access: '
	  . 'File must have permissions u=rw (0600) or less if owned by the database user, '
	  . 'or permissions u=rw,g=r (0640) or less if owned by root.',
	'key file readable by others');
like(reload_log($node), qr/WARNING:  dbcrypt: database "postgres", key ring: key file .* has group or world access/,
	'and in the log');
chmod 0600, key_file($node) or die;

# ---- nothing that is locked is waited for ----
# Findings while another session holds AccessExclusiveLock on a table. Without
# the time limit a check that waits would hang the test.
sub findings_beside_lock
{
	my ($table) = @_;
	my $holder = $node->background_psql('postgres', on_error_stop => 1);
	$holder->query_safe("BEGIN; LOCK TABLE $table");
	my $found = $node->safe_psql('postgres', "SET statement_timeout = '60s'; $findings");
	$holder->query_safe('COMMIT');
	$holder->quit;
	return $found;
}

is(findings_beside_lock('people'), 'notice|column public.people.secret|was locked and not looked at', 'a locked table');
is(findings_beside_lock('dbcrypt_keys'), 'notice|table dbcrypt_keys|was locked and not looked at', 'dbcrypt_keys locked');
is(findings_beside_lock('dbcrypt_columns'), 'notice|table dbcrypt_columns|was locked and not looked at',
	'dbcrypt_columns locked');
is(findings_beside_lock('dbcrypt_keys, dbcrypt_columns'),
	"notice|table dbcrypt_keys|was locked and not looked at\nnotice|table dbcrypt_columns|was locked and not looked at",
	'both locked');
my $toast = $node->safe_psql('postgres', q{
	CREATE TABLE long (s text);
	ALTER TABLE long ALTER s SET STORAGE EXTERNAL;
	INSERT INTO long VALUES (dbcrypt_encrypt(repeat('x', 10000)));
	SELECT dbcrypt_register_column('long', 's');
	SELECT reltoastrelid::regclass FROM pg_class WHERE oid = 'long'::regclass}) =~ s/^\s+//r;
my $reindexer = $node->background_psql('postgres', on_error_stop => 1);
$reindexer->query_safe("BEGIN; REINDEX INDEX ${toast}_index");
is($node->safe_psql('postgres', "SET statement_timeout = '60s'; $findings"),
	'notice|column public.long.s|was locked and not looked at', 'the index of a TOAST table locked');
$reindexer->query_safe('ROLLBACK');
$reindexer->quit;
$node->safe_psql('postgres', 'DROP TABLE long');
$node->safe_psql('postgres', q{
	CREATE TABLE switches (is_on boolean);
	INSERT INTO switches VALUES (true);
	CREATE FUNCTION is_on() RETURNS boolean LANGUAGE plpgsql STABLE AS 'BEGIN RETURN (SELECT s.is_on FROM public.switches s); END';
	CREATE TABLE adopted (s text);
	SELECT dbcrypt_adopt('adopted', 's', 'lockbox', '{"where": "public.is_on()"}');
	INSERT INTO adopted VALUES ('¡');
	SELECT dbcrypt_encrypt_column('adopted', 's')});
is($node->safe_psql('postgres', $findings), '', 'an expression that reads another table');
is(findings_beside_lock('switches'), 'notice|column public.adopted.s|was locked and not looked at',
	'... and that table is locked');
$node->safe_psql('postgres', q{SELECT dbcrypt_unregister_column('adopted', 's'); DROP TABLE adopted, switches; DROP FUNCTION is_on});

# ---- for pg_monitor, who sees no value ----
$node->safe_psql('postgres', q{
	CREATE ROLE monitor LOGIN IN ROLE pg_monitor;
	CREATE TABLE notes (note text, s text);
	SELECT dbcrypt_adopt('notes', 's', 'lockbox', '{"where": "note::int > 0"}');
	INSERT INTO notes VALUES ('confidential', 'x');
	CREATE TABLE clear AS SELECT 'confidential' AS s;
	SELECT dbcrypt_register_column('clear', 's')});
my @monitor = (extra_params => [ '-U', 'monitor' ]);
my $superuser_finding = 'error|column public.notes.s|its values could not be looked at: invalid input syntax for type integer: "confidential"';
my $plaintext = 'warning|column public.clear.s|values that are not encrypted: 1, first in public.clear (0,1)';
is($node->safe_psql('postgres', $findings), "$superuser_finding\n$plaintext", 'an error that quotes a row');
is( $node->safe_psql('postgres', $findings, @monitor),
	"error|column public.notes.s|its values could not be looked at: SQLSTATE 22P02\n$plaintext",
	'... is not quoted to pg_monitor');
like(psql_error($node, 'SELECT * FROM notes', @monitor), qr/permission denied/, '... who may not read the table');
$node->safe_psql('postgres', q{SELECT dbcrypt_unregister_column('notes', 's'), dbcrypt_unregister_column('clear', 's');
	DROP TABLE notes, clear});
like($node->safe_psql('postgres', "SET dbcrypt.key_file = ''; $findings"),
	qr/^error\|key ring\|no encryption keys/, 'a superuser sees the same ...');
$node->safe_psql('postgres', 'ALTER ROLE monitor SET dbcrypt.key_file = \'\'');
like($node->safe_psql('postgres', $findings, @monitor), qr/^error\|key ring\|no encryption keys/, '... as pg_monitor');
$node->safe_psql('postgres', 'DROP ROLE monitor');

# ---- literal keys ----
my $literal = key_hex(9);
append_to_file($node->data_dir . '/postgresql.conf', "DBcrypt.Keys = '$literal'\n");
$log = reload_log($node);
like($log, qr/configuration: a literal key is in file ".*postgresql\.conf", line \d+$/m,
	'a literal key in the configuration file');
$log = $node->safe_psql('postgres', $findings);
like($log, qr/^warning\|configuration\|a literal key is in file/m, 'in SQL too');
unlike($log . slurp_file($node->logfile), qr/$literal/, 'which is not printed');
$node->adjust_conf('postgresql.conf', 'DBcrypt.Keys', undef);

# Settings that were made while the library was not there.
$node->adjust_conf('postgresql.conf', 'shared_preload_libraries', "''");
$node->restart;
$node->safe_psql('without', "
	CREATE ROLE keyed; ALTER ROLE keyed SET dbcrypt.keys = '$literal';
	ALTER DATABASE without SET dbcrypt.keys = '$literal';
	ALTER ROLE keyed IN DATABASE without SET dbcrypt.keys = '$literal';");
append_to_file($node->data_dir . '/postgresql.conf', "dbcrypt.keys = '$literal'\n");
$node->reload;
my ($rc, $out, $err) = $node->psql('postgres', $findings);
like($out, qr/^error\|configuration\|a literal key is in file .* and dbcrypt is not preloaded/m,
	'a literal key without preloading');
like($out, qr/^error\|role keyed\|a literal key is set for it/m, 'a key set for a role');
like($out, qr/^error\|database without\|a literal key is set for it/m, 'a key set for a database');
like($out, qr/^error\|role keyed in database without\|/m, 'a key set for a role in a database');
unlike($out . $err, qr/$literal/, 'none is printed');
$node->adjust_conf('postgresql.conf', 'dbcrypt.keys', undef);
$node->safe_psql('without', 'DROP ROLE keyed; ALTER DATABASE without RESET ALL');
$node->adjust_conf('postgresql.conf', 'shared_preload_libraries', "'dbcrypt'");

# ---- the workers give way, and end with the server ----
$node->append_conf('postgresql.conf', "max_worker_processes = 2\n");
my $offset = log_end($node);
$node->restart;	   # the launcher and the logical replication launcher take both
$log = wait_for_line($node, qr/no background worker is free/, $offset);
like($log, qr/WARNING:  dbcrypt: no background worker is free to check database "\w+"\n.*HINT:  Raise max_worker_processes/,
	'no worker to be had');
$node->append_conf('postgresql.conf', "max_worker_processes = 8\n");
restart_log($node);

$node->safe_psql('postgres', 'CREATE DATABASE doomed');
# The worker of this database calls a function that never ends.
$node->safe_psql('doomed', q{
	CREATE EXTENSION dbcrypt;
	CREATE OR REPLACE FUNCTION dbcrypt_check(OUT severity text, OUT subject text, OUT finding text, OUT hint text)
	RETURNS SETOF record LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(3600); END $$});
$offset = log_end($node);
$node->reload;
$node->poll_query_until('postgres',
	"SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'dbcrypt check' AND wait_event = 'PgSleep'")
  or die 'no worker';
$node->safe_psql('postgres', 'CREATE DATABASE copied TEMPLATE doomed');
pass('CREATE DATABASE ... TEMPLATE does not wait for a worker');
$node->safe_psql('postgres', 'DROP DATABASE copied');
$node->poll_query_until('postgres',
	"SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'dbcrypt check' AND wait_event = 'PgSleep'")
  or die 'the check is not tried again';
pass('the check is tried again');
$node->safe_psql('postgres', 'DROP DATABASE doomed');
pass('DROP DATABASE does not wait for a worker');
$log = wait_for_pass($node, $offset);
like($log, qr/LOG:  dbcrypt: the check of database "doomed" gives way/, 'and the log says why');

# ---- a stop is clean ----
$offset = log_end($node);
$node->stop;
# A psql that has just ended may have left its backend, which has an application name.
unlike(substr(slurp_file($node->logfile), $offset), qr/exit code 1.*dbcrypt|dbcrypt.*exit code 1|PANIC|\] FATAL/,
	'a clean end');
done_testing();
