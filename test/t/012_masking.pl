# With preloading, a literal key that goes through SQL or a reload is found
# neither in the log, whatever its level and format, nor in pg_stat_activity, nor
# in pg_stat_statements, nor in any other file of the server.
use strict;
use warnings FATAL => 'all';

use DbcryptTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node(
	'masking',
	start => 0,
	conf => q{
shared_preload_libraries = 'pg_stat_statements, auto_explain, dbcrypt'
logging_collector = on
log_destination = 'stderr,csvlog,jsonlog'
log_min_messages = debug5
log_error_verbosity = verbose
log_statement = all
log_min_duration_statement = 0
log_connections = on
log_disconnections = on
log_parameter_max_length_on_error = -1
auto_explain.log_min_duration = 0
auto_explain.log_nested_statements = on
pg_stat_statements.track = all
});
$node->start;
$node->safe_psql('postgres',
	'CREATE EXTENSION dbcrypt; CREATE EXTENSION pg_stat_statements; CREATE ROLE other LOGIN');

my %keys;    # label => hex, of every key used

# A key's spelling, new for each label.
sub spell
{
	my ($label, $spelling) = @_;
	$keys{$label} = secret_key($label);
	my %how = key_spellings($keys{$label});
	return $how{$spelling};
}

my @statements = (
	[ 'SET', q{SET dbcrypt.keys = '%KEY%'} ],
	[ 'SET of a list', q{SET dbcrypt.keys TO '%KEY%','%KEY%'} ],
	[ 'SET in capitals', q{SET DBCRYPT.KEYS = '%KEY%'} ],
	[ 'SET with quoted name', q{SET "dbcrypt"."keys" = '%KEY%'} ],
	[ 'SET with blanks', qq{SET SESSION dbcrypt .\n keys = '%KEY%'} ],
	[ 'SET LOCAL', q{BEGIN; SET LOCAL dbcrypt.keys = '%KEY%'; COMMIT} ],
	[ 'set_config', q{SELECT set_config('dbcrypt.keys', '%KEY%', false)} ],
	[ 'set_config in a COPY', q{COPY (SELECT set_config('dbcrypt.keys', '%KEY%', false)) TO STDOUT} ],
	[ 'set_config in an EXPLAIN', q{EXPLAIN ANALYZE SELECT set_config('dbcrypt.keys', '%KEY%', false)} ],
	[ 'set_config in a cursor', q{BEGIN; DECLARE c CURSOR FOR SELECT set_config('dbcrypt.keys', '%KEY%', false); FETCH c; COMMIT} ],
	[ 'EXECUTE', q{PREPARE p AS SELECT set_config($1, $2, false); EXECUTE p('dbcrypt.keys', '%KEY%'); DEALLOCATE p} ],
	[ 'PREPARE', q{PREPARE p AS SELECT set_config('dbcrypt.keys', '%KEY%', false); EXECUTE p; DEALLOCATE p} ],
	[ 'DO with SET', q{DO $$BEGIN SET dbcrypt.keys = '%KEY%'; END$$} ],
	[ 'DO with set_config', q{DO $$BEGIN PERFORM set_config('dbcrypt.keys', '%KEY%', false); END$$} ],
	[ 'DO with EXECUTE', q{DO $$BEGIN EXECUTE format('SET dbcrypt.keys = %L', '%KEY%'); END$$} ],
	[ 'DO that fails', q{DO $$BEGIN SET dbcrypt.keys = '%KEY%'; PERFORM 1/0; END$$} ],
	[ 'a statement among others', q{SELECT 1; SET dbcrypt.keys = '%KEY%'; SELECT 1/0} ],
	[ 'set_config that fails', q{SELECT set_config('dbcrypt.keys', '%KEY%', false), 1 / (random() * 0)::int} ],
	[ 'set_config of an unknown type', q{SELECT set_config('dbcrypt.keys', '%KEY%'::nonesuch, false)} ],
	[ 'a syntax error', q{SET dbcrypt.keys = '%KEY%' nonsense here} ],
	[ 'a mistyped key', q{SET dbcrypt.keys = '%KEY%7'} ],
	[ 'a key cut short', q{SET dbcrypt.keys = '%KEY%,beef'} ],
	[ 'a text key', q{SET dbcrypt.keys = 'text:%KEY%'} ],
	[ 'a short text key', q{SET dbcrypt.keys = 'text-short:%KEY%,text-short:%KEY%'} ],
	[ 'a short text key under a misspelt name', q{SET dbcrypt.kyes = 'text-short:%KEY%'} ],
	[ 'a cast', q{SELECT set_config('dbcrypt.keys', '%KEY%', '%KEY%'::boolean)} ],
	[ 'ALTER ROLE', q{ALTER ROLE other SET dbcrypt.keys = '%KEY%'} ],
	[ 'ALTER DATABASE', q{ALTER DATABASE postgres SET dbcrypt.keys = '%KEY%'} ],
	[ 'ALTER SYSTEM', q{ALTER SYSTEM SET dbcrypt.keys = '%KEY%'} ],
	[ 'CREATE FUNCTION', q{CREATE FUNCTION f() RETURNS int LANGUAGE sql SET dbcrypt.keys = '%KEY%' AS 'SELECT 1'} ],
	[ 'SET without the privilege', q{SET ROLE other; SET dbcrypt.keys = '%KEY%'; RESET ROLE} ],
	[ 'set_config without the privilege', q{SET ROLE other; SELECT set_config('dbcrypt.keys', '%KEY%', false); RESET ROLE} ],
	[ 'a misspelt name', q{SET dbcrypt.kyes = '%KEY%'} ],
	[ 'a name cut short', q{SET dbcrypt.key = '%KEY%'} ],
	[ 'the setting of ids', q{SET dbcrypt.decrypt_keys = '%KEY%'} ],
	[ 'the setting of a file', q{SET dbcrypt.key_file = '%KEY%'} ],
	[ 'a comment in the name', q{SET dbcrypt/**/./* x */keys = '%KEY%'} ],
	[ 'an escape in the name', q{SET U&"dbcr\\0079pt".U&"k\\0065ys" = '%KEY%'} ],
	[ 'a name in two pieces', q{SELECT set_config('dbcrypt.'||'keys', '%KEY%', false)} ],
	[ 'a key that is already loaded', q{SET dbcrypt.keys = '%KEY%'; SELECT dbcrypt_generate_key() <> '%KEY%'; SELECT '%KEY%'::int} ],
);

my $session = new_session($node);
my $observer = new_session($node);
my $pid = $session->query_safe('SELECT pg_backend_pid()');
foreach my $case (@statements)
{
	my ($name, $template) = @$case;
	foreach my $spelling ('hex', 'HEX', 'base64')
	{
		my $key = spell("$name, $spelling", $spelling);
		(my $sql = $template) =~ s/%KEY%/$key/g;

		# One simple query, whatever semicolons are in it, and nothing after it.
		$sql =~ s/;/\\;/g;
		run_sql($session, $sql);
		my $activity = $observer->query_safe("SELECT query FROM pg_stat_activity WHERE pid = $pid");
		isnt($activity, '', "$name: the session is there") if $spelling eq 'hex';
		unlike($activity, qr/\Q$key\E/i, "pg_stat_activity after $name, $spelling");
		run_sql($session, 'ROLLBACK');
		run_sql($session, 'DEALLOCATE ALL');
		run_sql($session, 'RESET ROLE');
	}
}
my $running = spell('running', 'hex');
my ($out, $err) = run_sql($session,
	"DO \$\$BEGIN SET dbcrypt.keys = '$running';
	RAISE NOTICE 'query: %', (SELECT query FROM pg_stat_activity WHERE pid = pg_backend_pid()); END\$\$"
);
like($err, qr/NOTICE:  query: DO/, 'a running statement is in pg_stat_activity');
unlike($err, qr/$running/, '... without its key');
$session->quit;
$observer->quit;

# Bind parameters, as drivers send them.
foreach my $protocol ('extended', 'prepared')
{
	foreach my $max (-1, 40)
	{
		my $key = spell("bound, $protocol, $max", 'hex');
		my $script = $node->basedir . '/bound.sql';
		unlink $script;
		append_to_file($script,
			"SELECT set_config(:name, :value, false);\nSELECT set_config(:name, :value, false), 1/0;\n");
		local $ENV{PGOPTIONS} = "-c log_parameter_max_length=$max -c log_parameter_max_length_on_error=$max";
		$node->command_checks_all(
			[ 'pgbench', '-n', '-t', 1, '-M', $protocol, '-D', 'name=dbcrypt.keys', '-D',
				"value=x$key", '-f', $script, 'postgres' ],
			2, [qr/^/], [qr/invalid key in dbcrypt.keys/], "$protocol protocol, a bad key, length $max");
		$node->command_checks_all(
			[ 'pgbench', '-n', '-t', 1, '-M', $protocol, '-D', 'name=dbcrypt.keys', '-D',
				"value=$key", '-f', $script, 'postgres' ],
			2, [qr/^/], [qr/division by zero/], "$protocol protocol, length $max");
	}
}

# At connection.
{
	my $key = spell('PGOPTIONS', 'base64');
	local $ENV{PGOPTIONS} = "-c dbcrypt.keys=$key";
	is($node->safe_psql('postgres', 'SHOW dbcrypt.keys'),
		key_id($keys{PGOPTIONS}), 'a key in the connection options');
}

# A reload; the log is in files of the collector.
sub wait_in_log
{
	my ($regex, $name) = @_;
	my $found = 0;
	for (1 .. 10 * $PostgreSQL::Test::Utils::timeout_default)
	{
		$found = grep { slurp_file($_) =~ $regex } glob $node->data_dir . '/log/*.log';
		last if $found;
		select undef, undef, undef, 0.1;
	}
	ok($found, $name);
	return;
}
my $first = spell('reload', 'hex');
$node->append_conf('postgresql.conf', "dbcrypt.keys = '$first'");
$node->reload;
wait_in_log(qr/parameter "dbcrypt.keys" changed to "\*+"/, 'a reload logs a masked key');
my $second = spell('second reload', 'base64');
$node->append_conf('postgresql.conf', "dbcrypt.keys = '$first,$second'");
$node->reload;
wait_in_log(qr/parameter "dbcrypt.keys" changed to "\*+,\*+"/, '... and several');
my $third = spell('third reload', 'hex');
$node->append_conf('postgresql.conf', "dbcrypt.keys = '${third}7'");
$node->reload;
wait_in_log(qr/invalid key in dbcrypt.keys/, 'a broken key of a reload is refused');

my $tracked = $node->safe_psql('postgres', 'SELECT query FROM pg_stat_statements');
like($tracked, qr/SET dbcrypt.keys = '\*+'/, 'pg_stat_statements has a masked SET');
like($tracked, qr/set_config\(/, '... and set_config');

$node->stop;
my @logs = glob $node->data_dir . '/log/*';
is(scalar(grep { /\.(?:log|csv|json)$/ && -s } @logs), 3, 'three formats of log');
my @leaks;
foreach my $file (grep { $_ ne $node->data_dir . '/postgresql.conf' } grep_files($node->data_dir, ''))
{
	my $contents = slurp_file($file);
	foreach my $label (sort keys %keys)
	{
		my %spelling = key_spellings($keys{$label});
		foreach my $how (sort keys %spelling)
		{
			# A piece of a key counts as well: what a limit on parameters leaves.
			my $piece = $how eq 'raw' ? $spelling{$how} : substr($spelling{$how}, 0, 24);
			push @leaks, "$label ($how) in $file" if index($contents, $piece) >= 0;
		}
	}
}
is_deeply(\@leaks, [], 'no key is in the log or any other file');
unlike($tracked, qr/\Q$_\E/i, 'no key in pg_stat_statements')
  foreach map { substr($_, 0, 24) } ($keys{'SET, hex'}, $keys{'DO with EXECUTE, hex'});
done_testing();
