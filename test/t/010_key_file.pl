# dbcrypt.key_file: what it may hold, who may read it, and that an open session
# follows it.
use strict;
use warnings FATAL => 'all';

use DbcryptTest;
use PostgreSQL::Test::Utils;
use Test::More;

my ($k1, $k2, $k3) = map { key_hex($_) } 1 .. 3;
my $node = new_node('key_file');
my $path = key_file($node);
my $session = new_session($node);

# Replaces the key file by one of these bytes.
sub write_contents
{
	my ($bytes, $mode) = @_;
	write_key_file($path);
	open my $file, '>:raw', $path or die "$path: $!";
	print $file $bytes;
	close $file or die "$path: $!";
	chmod $mode // 0600, $path or die "$path: $!";
	return;
}

# The open session's ring: key ids in order, and what went wrong.
sub ring
{
	return run_sql($session, "SELECT string_agg(key_id, ' ') FROM dbcrypt_loaded_keys()");
}

sub ring_is
{
	my ($keys, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my ($out, $err) = ring();
	is($out . $err, join(' ', map { key_id($_) } @$keys), $name);
	return;
}

sub ring_fails
{
	my ($error, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my ($out, $err) = ring();
	like($err, $error, $name);
	return;
}

### contents

ring_is([ $k1, $k2 ], 'lines of hex');
write_contents("# primary\n\n" . key_base64($k3) . "  # the newest\r\n\t$k1\r\n" . uc($k2) . "\n$k1");
ring_is([ $k3, $k1, $k2 ],
	'hex, base64, comments, blank lines, CR LF, a duplicate, no last line feed');
my $raw = "#\n" . join('', map { chr } 2 .. 31);
write_contents($raw);
ring_is([ unpack('H*', $raw) ], 'exactly 32 raw bytes, whatever they are');

write_contents('');
ring_fails(qr/^.*ERROR:  dbcrypt.key_file ".*keys" contains no key$/m, 'an empty file');
write_contents("# nothing\n");
ring_fails(qr/contains no key/, 'a file of comments');
my $broken = substr(secret_key('broken'), 1);
write_contents("$k1\n$broken\n");
{
	my ($out, $err) = run_sql($session, q{SELECT dbcrypt_encrypt('x')});
	like( $err,
		qr/ERROR:  invalid key in dbcrypt.key_file\nDETAIL:  Line 2 of ".*keys" is neither 64 hex digits.*\nHINT:  A key that is text, as GitLab's db_key_base is, is written after "text:"\./,
		'a line that is no key is named by its number');
	unlike($err, qr/$broken/, '... and not shown');
	is($out, '', '... and no key of the file is used');
}
write_contents("\xff" x 33);
ring_fails(qr/invalid key in dbcrypt.key_file/, '33 raw bytes are no key');
write_contents("x" x 2_000_000);
ring_fails(qr/could not read key file ".*keys": File too large/, 'a huge file');

### who may read it

foreach my $mode (0640, 0604, 0644, 0610, 0601, 0620, 0602)
{
	write_contents("$k1\n", $mode);
	ring_fails(
		qr/ERROR:  key file ".*keys" has group or world access\nDETAIL:  File must have perm/,
		sprintf('mode %04o of an own file is refused', $mode));
}
foreach my $mode (0600, 0400, 0700)
{
	write_contents("$k1\n", $mode);
	ring_is([$k1], sprintf('mode %04o of an own file', $mode));
}
chmod 0644, $path;
ring_fails(qr/group or world access/, 'a change of the mode alone is noticed');
chmod 0600, $path;
ring_is([$k1], 'and its repair');

unlink $path;
ring_fails(
	qr/ERROR:  key file ".*keys" does not exist\nHINT:  Create it, or correct dbcrypt.key_file/,
	'a missing file');
system_or_bail('mkfifo', '-m', '0600', $path);
ring_fails(qr/ERROR:  key file ".*keys" is not a regular file/, 'a FIFO is not waited for');
unlink $path;
write_key_file("$path.target", $k2);
symlink "$path.target", $path or die "$path: $!";
ring_is([$k2], 'a symbolic link');
write_key_file("$path.target", $k3);
ring_is([$k3], 'a new file where the link points to');
chmod 0640, "$path.target";
ring_fails(qr/group or world access/, "the target's mode counts");
unlink $path;
symlink "$path.nowhere", $path or die "$path: $!";
ring_fails(qr/does not exist/, 'a dangling link');
unlink $path;

### a directory

mkdir $path, 0700 or die "$path: $!";
ring_fails(qr/ERROR:  key file ".*keys" does not exist/, 'a directory without keys');
write_key_file("$path/encryption-key-9", $k1);
ring_is([$k1], 'a directory of one key');
write_key_file("$path/encryption-key-10", $k2);
ring_is([ $k2, $k1 ], 'the highest number first, compared as numbers');
write_key_file("$path/encryption-key-10.bak", $k3);
write_key_file("$path/encryption-key-", $k3);
write_key_file("$path/readme", 'no key');
ring_is([ $k2, $k1 ], 'other files are left alone');
write_key_file("$path/encryption-key-11", key_hex(4));
ring_is([ key_hex(4), $k2, $k1 ], 'a file that comes is noticed');
write_key_file("$path/encryption-key-11", $k3);
ring_is([ $k3, $k2, $k1 ], 'a file that is replaced is noticed');
chmod 0640, "$path/encryption-key-10";
ring_fails(qr/key file ".*keys\/encryption-key-10" has group or world access/,
	'the rule holds for every file in it');
unlink "$path/encryption-key-10";
ring_is([ $k3, $k1 ], 'a file that goes is noticed');
write_key_file("$path/encryption-key-9", $k1, $broken);
ring_fails(qr/Line 2 of "[^"]*keys\/encryption-key-9" is neither/, 'errors name the file in it');
unlink glob "$path/*";
rmdir $path or die "$path: $!";

### an open session's values follow the file

write_key_file($path, $k1);
my ($old) = run_sql($session, q{SELECT dbcrypt_encrypt('before')});
like($old, qr/^dbc1/, 'works again after all these errors');
write_key_file($path, $k2, $k1);
my ($new) = run_sql($session, q{SELECT dbcrypt_key_id(dbcrypt_encrypt('after'))});
is($new, key_id($k2), 'the new primary key encrypts at the next statement');
is((run_sql($session, "SELECT dbcrypt_decrypt('$old')"))[0], 'before', 'the old key decrypts');
write_key_file($path, $k2);
like((run_sql($session, "SELECT dbcrypt_decrypt('$old')"))[1],
	qr/encryption key \Q${\key_id($k1)}\E is not loaded/, 'a key that is gone decrypts no more');

run_sql($session, 'BEGIN');
run_sql($session, "PREPARE p AS SELECT dbcrypt_key_id(dbcrypt_encrypt('x'))");
is((run_sql($session, 'EXECUTE p'))[0], key_id($k2), 'a prepared statement in a transaction');
write_key_file($path, $k1);
is((run_sql($session, 'EXECUTE p'))[0], key_id($k1), '... follows the file as well');
run_sql($session, 'COMMIT');

write_key_file($path, $k3);
like((run_sql($session, q{SELECT dbcrypt_encrypt('x')}))[1],
	qr/encryption key \Q${\key_id($k3)}\E is not registered/, 'a new key is not registered yet');

### settings

write_key_file("$path.other", $k2, $k1);
run_sql($session, "SET dbcrypt.key_file = '$path.other'");
ring_is([ $k2, $k1 ], 'SET of another file');
run_sql($session, 'RESET dbcrypt.key_file');
ring_is([$k3], 'RESET');
like((run_sql($session, "SET dbcrypt.key_file = 'keys'"))[1],
	qr/dbcrypt.key_file must be an absolute path/, 'a relative path is refused');
$node->append_conf('postgresql.conf', "dbcrypt.key_file = '$path.other'");
$node->reload;
wait_for_setting($session, 'dbcrypt.key_file', "$path.other");
ring_is([ $k2, $k1 ], 'an open session follows a reload');

write_key_file("$path.other", $k1, $k2);
$node->restart;
is($node->safe_psql('postgres', 'SELECT dbcrypt_key_id(dbcrypt_encrypt($$x$$))'),
	key_id($k1), 'restart with a changed file');
unlink "$path.other";
$node->restart;
like(psql_error($node, 'SELECT dbcrypt_encrypt($$x$$)'), qr/does not exist/,
	'a server without its key file starts');
write_key_file("$path.other", $k1);
is($node->safe_psql('postgres', "SELECT dbcrypt_decrypt('$old')"), 'before',
	'and works when the file is there');

# A procedure that commits sees a new file in its next transaction.
$node->safe_psql('postgres', q{
	CREATE TABLE written (n int, v text);
	CREATE PROCEDURE write_rows() LANGUAGE plpgsql AS $$ BEGIN
		INSERT INTO written VALUES (1, dbcrypt_encrypt('x'));
		PERFORM pg_advisory_lock(1);
		INSERT INTO written VALUES (2, dbcrypt_encrypt('x'));
		COMMIT;
		INSERT INTO written VALUES (3, dbcrypt_encrypt('x'));
	END $$;});
my $gate = new_session($node);
run_sql($gate, 'SELECT pg_advisory_lock(1)');
my $writer = new_session($node);
start_sql($writer, 'CALL write_rows()');
$node->poll_query_until('postgres', q{SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted)})
  or die 'the procedure does not wait';
write_key_file("$path.other", $k2, $k1);
$gate->quit;
my ($out, $err) = finish_sql($writer);
is($err, '', 'a procedure writes on');
$writer->quit;
is($node->safe_psql('postgres', 'SELECT n, dbcrypt_key_id(v) FROM written ORDER BY n'),
	join("\n", '1|' . key_id($k1), '2|' . key_id($k1), '3|' . key_id($k2)), 'a new file counts from its next transaction on');

$session->quit;
$node->stop;
my $log = slurp_file($node->logfile);
unlike($log, qr/$broken|\Q$k1\E|\Q$k2\E|\Q$k3\E/i, 'no line of a key file is in the log');
done_testing();
