# dbcrypt.key_command and dbcrypt.keys, with and without preloading: where keys
# are taken from, and from where they are refused.
use strict;
use warnings FATAL => 'all';

use DbcryptTest;
use PostgreSQL::Test::Utils;
use Test::More;

my ($k1, $k2) = map { key_hex($_) } 1 .. 2;
my $literal = secret_key('literal');

sub ring
{
	my ($node) = @_;
	return $node->safe_psql('postgres',
		"SELECT string_agg(key_id, ' ') FROM dbcrypt_loaded_keys()");
}

sub ids
{
	return join ' ', map { key_id($_) } @_;
}

### dbcrypt.key_command

my $node = new_node('key_command', keys => []);
my $command = $node->basedir . '/command';

# Makes this the shell command's script; 'reload' decides who runs it.
sub set_command
{
	my ($script) = @_;
	write_key_file($command, $script);
	return;
}

set_command("echo ran >> '$command.runs'; echo '# from a command'; echo $k1; echo $k2");
$node->append_conf('postgresql.conf', "dbcrypt.key_command = 'sh $command'");
$node->reload;
my $session = new_session($node);
wait_for_setting($session, 'dbcrypt.key_command', "sh $command");
is((run_sql($session, "SELECT string_agg(key_id, ' ') FROM dbcrypt_loaded_keys()"))[0],
	ids($k1, $k2), 'keys of a command');
run_sql($session, 'SELECT dbcrypt_register_keys()');
unlink "$command.runs";
run_sql($session, "SELECT dbcrypt_encrypt(i::text) FROM generate_series(1, 100) i") for 1 .. 3;
ok(!-e "$command.runs", 'the command is not run again for the next statements');

set_command("echo $k2");
is((run_sql($session, 'SELECT dbcrypt_key_id(dbcrypt_encrypt($$x$$))'))[0],
	key_id($k1), 'a session keeps what the command printed');
is(ring($node), ids($k2), 'a new session runs the command');
$node->append_conf('postgresql.conf', "dbcrypt.key_command = 'sh $command '");
$node->reload;
wait_for_setting($session, 'dbcrypt.key_command', "sh $command ");
is((run_sql($session, 'SELECT dbcrypt_key_id(dbcrypt_encrypt($$x$$))'))[0],
	key_id($k2), 'a changed command is run after a reload');
set_command("echo $k1");
$node->append_conf('postgresql.conf', "work_mem = '5MB'");
$node->reload;
wait_for_setting($session, 'work_mem', '5MB');
is((run_sql($session, 'SELECT dbcrypt_key_id(dbcrypt_encrypt($$x$$))'))[0],
	key_id($k1), 'an unchanged command is run again after a reload');

foreach my $case (
	[ "echo $literal; exit 3", qr/dbcrypt.key_command failed\nDETAIL:  child process exited with exit code 3/, 'a command that fails' ],
	[ "echo $literal; kill -9 \$\$", qr/dbcrypt.key_command failed\nDETAIL:  child process (?:was terminated by signal 9|exited with exit code 137)/, 'a command that is killed' ],
	[ 'head -c 70000 /dev/zero', qr/dbcrypt.key_command printed more than 64 kB/, 'a command that prints too much' ],
	[ 'head -c 7000000 /dev/zero 2>/dev/null; true', qr/dbcrypt.key_command printed more than 64 kB/, 'a command that prints far too much' ],
	[ ':', qr/dbcrypt.key_command printed no key/, 'a command that prints nothing' ],
	[ "echo $literal; echo ${literal}0", qr/invalid key in dbcrypt.key_command\nDETAIL:  Line 2 of what it printed is neither/, 'a command that prints no key' ],
	)
{
	my ($script, $error, $name) = @$case;
	set_command($script);
	like(psql_error($node, 'SELECT dbcrypt_encrypt($$x$$)'), $error, $name);
}
set_command('sleep 600');
like(psql_error($node, q{SET statement_timeout = '100ms'; SELECT dbcrypt_encrypt('x')}),
	qr/ERROR:  canceling statement due to statement timeout/, 'a command that hangs can be cancelled');

# What ignores signals, and what outlives its shell, is ended all the same.
my $pids = $node->basedir . '/pids';
my $stubborn = qq{trap '' INT TERM HUP; echo \$\$ >>'$pids'; while :; do sleep 1; done};
sub all_ended
{
	my ($name) = @_;
	my @left = split /\n/, slurp_file($pids);
	for (1 .. 10 * $PostgreSQL::Test::Utils::timeout_default)
	{
		@left = grep { `ps -o stat= -p $_` =~ /^[^Z]/ } @left;
		last unless @left;
		select undef, undef, undef, 0.1;
	}
	is_deeply(\@left, [], $name);
	unlink $pids;
	return;
}
set_command($stubborn);
like(psql_error($node, q{SET statement_timeout = '500ms'; SELECT dbcrypt_encrypt('x')}),
	qr/ERROR:  canceling statement due to statement timeout/, 'a command that ignores signals can be cancelled');
all_ended('... and is ended');
my $victim = new_session($node);
my $victim_pid = $victim->query_safe('SELECT pg_backend_pid()');
start_sql($victim, q{SELECT dbcrypt_encrypt('x')});
select undef, undef, undef, 0.1 until -s $pids;
$node->safe_psql('postgres', "SELECT pg_terminate_backend($victim_pid)");
is($node->poll_query_until('postgres', "SELECT count(*) FROM pg_stat_activity WHERE pid = $victim_pid", '0'),
	1, 'a session in such a command can be terminated');
all_ended('... which ends the command');
eval { $victim->quit };
set_command("($stubborn) & echo $k1; sleep 1");
is(ring($node), ids($k1), 'a child that holds the pipe is not waited for');
all_ended('... and is ended');
$node->append_conf('postgresql.conf', "dbcrypt.key_command_timeout = '300ms'");
$node->reload;
$node->poll_query_until('postgres', 'SHOW dbcrypt.key_command_timeout', '300ms');
set_command($stubborn);
like(psql_error($node, q{SELECT dbcrypt_encrypt('x')}),
	qr/ERROR:  dbcrypt.key_command took longer than 300 ms\nHINT:  See dbcrypt.key_command_timeout/, 'a command has a time limit');
all_ended('... at which it is ended');
$node->append_conf('postgresql.conf', "dbcrypt.key_command_timeout = '30s'");

# The command may hold a password: no error shows it, nor does the log.
foreach my $case ([ 'exit 3', 'fails' ], [ ':', 'prints nothing' ], [ 'echo nonsense', 'prints no key' ])
{
	my ($script, $name) = @$case;
	$node->append_conf('postgresql.conf', "dbcrypt.key_command = 'TOKEN=s3cr3t_$name; $script'" =~ s/ (?=nothing|no key;)/_/gr);
	$node->reload;
	$node->poll_query_until('postgres', "SELECT current_setting('dbcrypt.key_command') LIKE '%$script'", 't');
	my $err = psql_error($node, q{\set VERBOSITY verbose
SELECT dbcrypt_encrypt('x')});
	like($err, qr/dbcrypt.key_command/, "a command that $name: an error");
	unlike($err, qr/s3cr3t/, '... without the command');
}
$node->append_conf('postgresql.conf', "dbcrypt.key_command = 'sh $command'");
$node->reload;
$node->poll_query_until('postgres', 'SHOW dbcrypt.key_command', "sh $command");
my $log = slurp_file($node->logfile);
unlike($log, qr/s3cr3t/, 'no password of a command is in the log');
unlike($log, qr/$literal/i, 'what a command printed is not in the log');

write_key_file(key_file($node), $k2);
set_command("echo $k1; echo $k2");
$node->append_conf('postgresql.conf', "dbcrypt.key_file = '" . key_file($node) . "'");
$node->append_conf('postgresql.conf', "dbcrypt.keys = '$literal'");
$node->reload;
$session->quit;
is($node->poll_query_until('postgres', 'SHOW dbcrypt.keys', key_id($literal)),
	1, 'with preloading a literal key of the configuration file is used, and shown as its id');
is(ring($node), ids($literal, $k2, $k1),
	'the ring is dbcrypt.keys, dbcrypt.key_file, dbcrypt.key_command, without duplicates');

foreach my $statement ("ALTER SYSTEM SET dbcrypt.keys = '$literal'",
	"ALTER ROLE CURRENT_USER SET dbcrypt.keys = '$literal'",
	"ALTER ROLE ALL SET dbcrypt.keys = '$literal'",
	"ALTER DATABASE postgres SET dbcrypt.keys = '$literal'",
	"CREATE FUNCTION f() RETURNS int LANGUAGE sql SET dbcrypt.keys = '$literal' AS 'SELECT 1'")
{
	my $err = psql_error($node, $statement);
	(my $name = $statement) =~ s/'$literal'.*//;
	like($err, qr/^psql:<stdin>:1: ERROR: /, "$name is refused");
	unlike($err, qr/$literal/i, '... and the value is not echoed');
}
foreach my $bad (substr($literal, 1), "${literal}0", "$literal,", "$literal $k1", 'x' x 64)
{
	unlike(psql_error($node, "SET dbcrypt.keys = '$bad'"), qr/\Q$bad\E|$literal/i, 'a bad value is not echoed');
}
like(psql_error($node, "SET dbcrypt.keys = '$literal,x'"),
	qr/ERROR:  invalid key in dbcrypt.keys\nDETAIL:  Key 2 is neither/, '... but numbered');
my $auto = $node->data_dir . '/postgresql.auto.conf';
unlike(slurp_file($auto), qr/dbcrypt/, 'ALTER SYSTEM wrote nothing');
is( $node->safe_psql('postgres', "SELECT count(*) FROM pg_settings WHERE name = 'dbcrypt.keys' AND setting ~* '$literal'"),
	'0', 'pg_settings does not show the key');
is($node->safe_psql('postgres', 'SHOW ALL') =~ /$literal/i ? 1 : 0, 0, 'nor does SHOW ALL');
$node->safe_psql('postgres', 'CREATE ROLE other LOGIN');
like(psql_error($node, "SET dbcrypt.keys = '$literal'", extra_params => [ '-U', 'other' ]),
	qr/permission denied to set parameter "dbcrypt.keys"/, 'SET needs the privilege');
is(($node->psql('postgres', 'SHOW dbcrypt.keys', extra_params => [ '-U', 'other' ]))[1],
	key_id($literal), 'every role sees key ids');
like(psql_error($node, 'SHOW dbcrypt.key_command', extra_params => [ '-U', 'other' ]),
	qr/must be superuser or|permission denied/, 'but not the command');

$node->append_conf('postgresql.conf', "dbcrypt.keys = '$literal,broken$literal'");
$node->reload;
$node->wait_for_log(qr/invalid key in dbcrypt.keys/);
is($node->safe_psql('postgres', 'SHOW dbcrypt.keys'),
	key_id($literal), 'a reload with a broken key keeps the old ones');
$node->stop;
unlike(slurp_file($node->logfile), qr/$literal/i, 'no literal key is in the log');

### without preloading

my $late = new_node('late', preload => 0);
is(ring($late), ids($k1, $k2), 'dbcrypt.key_file works without preloading');
$late->safe_psql('postgres', 'CREATE ROLE other LOGIN');
my $token = $late->safe_psql('postgres', 'SELECT dbcrypt_encrypt($$x$$)');
is( $late->safe_psql('postgres', "SET dbcrypt.keys = '$literal'; SELECT string_agg(key_id, ' ') FROM dbcrypt_loaded_keys()"),
	ids($literal, $k1, $k2), 'so does SET before the library is loaded');

my $open = new_session($late);
run_sql($open, "SELECT dbcrypt_decrypt('$token')");
$late->append_conf('postgresql.conf', "dbcrypt.keys = '$literal'\nwork_mem = '6MB'");
$late->reload;
wait_for_setting($open, 'work_mem', '6MB');
is((run_sql($open, 'SHOW dbcrypt.keys'))[0], '', 'a literal key from a reload is refused');
is((run_sql($open, "SELECT string_agg(key_id, ' ') FROM dbcrypt_loaded_keys()"))[0],
	ids($k1, $k2), '... and not used');
$open->quit;

my $reason = qr/WARNING:  dbcrypt.keys in the server's configuration needs shared_preload_libraries = 'dbcrypt'\nDETAIL:  Without it every role can read the keys with SHOW/;
foreach my $how ('reload', 'restart')
{
	$late->restart if $how eq 'restart';
	my ($rc, $out, $err) = $late->psql('postgres',
		"SELECT string_agg(key_id, ' ') FROM dbcrypt_loaded_keys(); SHOW dbcrypt.keys");
	like($err, $reason, "a literal key without preloading is refused with the reason ($how)");
	unlike($err, qr/$literal/i, '... and not echoed');
	is($out, ids($k1, $k2) . "\n", '... and not used');
}

# A setting of a role or database made while nothing was loaded to refuse it.
$late->adjust_conf('postgresql.conf', 'dbcrypt.keys', undef);
$late->restart;
$late->safe_psql('postgres', "ALTER DATABASE postgres SET dbcrypt.keys = '$literal'");
my ($rc, $out, $err) =
  $late->psql('postgres', "SELECT string_agg(key_id, ' ') FROM dbcrypt_loaded_keys()");
is($out, ids($k1, $k2), "a database's literal key is not used");
like($err, qr/WARNING:  dbcrypt.keys cannot be set for a role, a database or a function/,
	'... with the reason');
unlike($err, qr/$literal/i, '... and not echoed');

$late->stop;
done_testing();
