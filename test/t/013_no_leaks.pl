# No plaintext and no key in the files, the WAL, the log, the activity view or a
# dump, and no whole ciphertext in an error. Plaintext comes in by COPY and by bind
# parameters, so that no statement's text carries it.
use strict;
use warnings FATAL => 'all';

use DbcryptTest;
use PostgreSQL::Test::Utils;
use Test::More;

my ($new, $old) = (secret_key('new'), secret_key('old'));
my $needle = 'a-secret-that-nobody-may-see';
my $control = 'a-value-that-everybody-may-see';

my $node = new_node('no_leaks',
	keys => [$old],
	conf => "log_min_messages = debug5\nlog_error_verbosity = verbose\nlog_statement = all\n");
my $data = $node->data_dir;

$node->safe_psql('postgres', q{
CREATE TABLE secrets (id int PRIMARY KEY, plain text, c text, b bytea);
CREATE FUNCTION seal() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN
	NEW.c := dbcrypt_encrypt(NEW.c, NEW.id::text);
	NEW.b := dbcrypt_encrypt(NEW.b);
	RETURN NEW;
END$$;
CREATE TRIGGER seal BEFORE INSERT ON secrets FOR EACH ROW EXECUTE FUNCTION seal();
SELECT dbcrypt_register_column('secrets', 'c', 'id::text'), dbcrypt_register_column('secrets', 'b');
});
my $copy = join '', map { "$_\t$control\t$needle $_ " . 'x' x ($_ * 40 % 9000) . "\t$needle\n" } 1 .. 1000;
{
	# The context of any message below COPY is its input.
	local $ENV{PGOPTIONS} = '-c log_min_messages=warning';
	$node->safe_psql('postgres', "COPY secrets FROM STDIN;\n$copy\\.\n");
}
my $script = $node->basedir . '/insert.sql';
append_to_file($script, "INSERT INTO secrets VALUES (:id, 'bound', :value, :value::text::bytea);\n");
{
	# Parameters are plaintext: logging them is the administrator's own doing.
	local $ENV{PGOPTIONS} = '-c log_statement=none';
	$node->command_ok([ 'pgbench', '-n', '-t', 1, '-M', 'prepared', '-D', 'id=0', '-D',
			"value=$needle", '-f', $script, 'postgres' ], 'plaintext in bind parameters');
}
$node->safe_psql('postgres', 'CHECKPOINT');
is(decrypt_all_ok($node, 'secrets', 'c', 'id::text'), 1001, 'all values are there');
is(decrypt_all_ok($node, 'secrets', 'b'), 1001, 'and the bytea ones');

### a rotation, and errors on the way

my $session = new_session($node);
my $pid = $session->query_safe('SELECT pg_backend_pid()');
write_key_file(key_file($node), $new, $old);
$session->query_safe('SELECT dbcrypt_register_keys()');

$session->query_safe("ALTER TABLE secrets ADD CHECK (dbcrypt_key_id(c) = '${\key_id($old)}')");
my $messages = (run_sql($session, "SELECT dbcrypt_rotate('secrets', 'c')"))[1];
like($messages, qr/violates constraint/, 'a rotation that fails on a constraint');
$session->query_safe('ALTER TABLE secrets DROP CONSTRAINT secrets_c_check');
$session->query_safe("CREATE UNIQUE INDEX u ON secrets (dbcrypt_key_id(c), (id % 1001))");
$session->query_safe("INSERT INTO secrets SELECT 5000, plain, dbcrypt_decrypt(c, id::text), b FROM secrets WHERE id = 4");
$messages .= (run_sql($session, "SELECT dbcrypt_rotate('secrets', 'c')"))[1];
$session->query_safe('DELETE FROM secrets WHERE id = 5000; DROP INDEX u');
$messages .= (run_sql($session, "SELECT dbcrypt_rotate('secrets', 'b', 'id::text')"))[1];
$session->query_safe("UPDATE secrets SET c = overlay(c PLACING 'AAAA' FROM 40) WHERE id = 7");
$messages .= (run_sql($session, "SELECT dbcrypt_rotate('secrets', 'c')"))[1];
like($messages, qr/authentication failed/, 'a rotation that fails on a value');
$messages .= (run_sql($session, "SELECT dbcrypt_decrypt(c, 'wrong') FROM secrets"))[1];
$messages .= (run_sql($session, "SELECT dbcrypt_decrypt(plain) FROM secrets"))[1];
$messages .= (run_sql($session, "SELECT dbcrypt_decrypt(c || '=', id::text) FROM secrets"))[1];
unlike($messages, qr/\Q$control\E/, 'an invalid value is not shown');
$session->query_safe('DELETE FROM secrets WHERE id = 7');

my $before = $node->lsn('insert');
is($session->query_safe("SELECT string_agg(scanned || ' ' || rotated, ', ') FROM dbcrypt_rotate_all()"),
	'1000 1000, 1000 1000', 'a rotation of everything');
$node->safe_psql('postgres', 'CHECKPOINT');
isnt($node->lsn('insert'), $before, 'it wrote WAL');
is($session->query_safe("SELECT count(*) FROM secrets WHERE dbcrypt_decrypt(c, id::text) LIKE '%secret%'"),
	'1000', 'decryption in a query');

### search

my $activity = $node->safe_psql('postgres', 'SELECT string_agg(query, E\'\n\') FROM pg_stat_activity');
my $finished = $node->safe_psql('postgres', "SELECT query FROM pg_stat_activity WHERE pid = $pid");
like($finished, qr/FROM secrets/, 'the session is in pg_stat_activity');
my $dump = $node->basedir . '/dump';
mkdir $dump or die "$dump: $!";
$node->command_ok([ 'pg_dump', '-f', "$dump/plain", 'postgres' ], 'pg_dump');
$node->command_ok([ 'pg_dump', '-Fc', '-Z0', '-f', "$dump/custom", 'postgres' ], 'pg_dump -Fc');
$node->command_ok([ 'pg_dumpall', '-f', "$dump/all" ], 'pg_dumpall');
append_to_file("$dump/activity", $activity);
append_to_file("$dump/messages", $messages);
$session->quit;
$node->stop;

cmp_ok(scalar(grep_files("$data/base", $control)), '>', 0, 'the search finds plaintext in relation files');
cmp_ok(scalar(grep_files("$data/pg_wal", $control)), '>', 0, '... in WAL');
is_deeply([ grep_files($dump, $control) ], [ map { "$dump/$_" } qw(all custom plain) ], '... in dumps');
like(slurp_file($node->logfile), qr/DEBUG:  00000/, 'the log has everything');

my %where = ('the data directory' => $data, 'the dumps, activity and messages' => $dump,
	'the log' => $node->logfile);
foreach my $name (sort keys %where)
{
	is_deeply([ grep_files($where{$name}, $_->[1]) ], [], "no plaintext in $name ($_->[0])")
	  foreach [ 'raw', $needle ], [ 'hex', unpack('H*', $needle) ],
	  [ 'base64', substr(MIME::Base64::encode_base64($needle, ''), 0, 36) ];
	no_key_in_files_ok($where{$name}, $new, "$name (new)");
	no_key_in_files_ok($where{$name}, $old, "$name (old)");
}

# More of an envelope than its header, in either form: part of the ciphertext.
my $log = slurp_file($node->logfile) . $messages;
is(join(' ', $log =~ /(?:dbc1[A-Za-z0-9+\/]{20,}|75b73501[0-9a-f]{30,})/g),
	'', 'no ciphertext in the log or a message');
done_testing();
