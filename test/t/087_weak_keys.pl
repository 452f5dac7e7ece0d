# Weak keys are refused from every source, by place and never by value; a superuser may
# let them in, to rotate away from them.
use strict;
use warnings FATAL => 'all';

use DbcryptTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $strong = key_hex(1);
my $node = new_node('weak_keys', keys => [$strong]);
my $path = key_file($node);
my $password = 'correct horse battery';
my %weak = (
	'equal bytes in hex' => 'a5' x 32,
	'zeros in base64' => key_base64('00' x 32),
	'a short text' => "text:$password",
	'a text of 31 characters of two bytes' => 'text:' . "\xc3\xa9" x 31,
	'a short text of one character' => 'text-short:000');
my $session = new_session($node);

sub ring
{
	my ($out, $err) = run_sql($session, "SELECT string_agg(key_id, ' ') FROM dbcrypt_loaded_keys()");
	return $out . $err;
}

my $said = qr/32 equal bytes, or a text of fewer than 32 characters\.\nHINT:  Make keys with openssl rand -hex 32\. .*dbcrypt\.allow_weak_keys/;

### every source

foreach my $name (sort keys %weak)
{
	write_key_file($path, '# keys', $strong, $weak{$name});
	my $err = ring();
	like($err, qr/ERROR:  weak key in dbcrypt\.key_file\nDETAIL:  Line 3 of "\Q$path\E" is $said/, "a key file: $name");
	unlike($err, qr/a5a5|AAAA|horse|short:0/, '... and the key is not shown');
}
write_key_file($path);
append_to_file($path, "\x07" x 32);
like(ring(), qr/weak key in dbcrypt\.key_file\nDETAIL:  The key in "\Q$path\E" is $said/, 'a file of 32 equal bytes');
unlink $path;
mkdir $path;
write_key_file("$path/encryption-key-1", $strong);
write_key_file("$path/encryption-key-2", 'text:short');
like(ring(), qr/DETAIL:  Line 1 of "\Q$path\E\/encryption-key-2" is $said/, 'a directory');
unlink glob("$path/*");
rmdir $path;
write_key_file($path, $strong);
is(ring(), key_id($strong), 'a strong key in its place');

run_sql($session, "SET dbcrypt.keys = '" . key_hex(2) . ",text:short'");
my $err = ring();
like($err, qr/ERROR:  weak key in dbcrypt\.keys\nDETAIL:  Key 2 is $said/, 'a literal key');
run_sql($session, 'RESET dbcrypt.keys');
$node->append_conf('postgresql.conf', "dbcrypt.key_file = ''\ndbcrypt.key_command = 'echo; echo text:short'");
$node->reload;
wait_for_setting($session, 'dbcrypt.key_command', 'echo; echo text:short');
like(ring(), qr/ERROR:  weak key in dbcrypt\.key_command\nDETAIL:  Line 2 of what it printed is $said/, 'a command');
$node->append_conf('postgresql.conf', "dbcrypt.key_file = '$path'\ndbcrypt.key_command = ''");
$node->reload;
wait_for_setting($session, 'dbcrypt.key_command', '');

### what is taken

foreach my $key ('text:' . 'x' x 31 . 'y', 'text:' . "\xc3\xa9" x 31 . 'x', "text-short:$password")
{
	write_key_file($path, $key);
	like(ring(), qr/^\w{14}$/, 'taken: ' . substr $key, 0, 12);
}
my $long = ring();
write_key_file($path, $strong, "text-short:$password");
is(ring(), key_id($strong) . " $long", 'a short text that is said to be short');

# A key found wanting later stays out, and the ring is what it was.
write_key_file($path, $strong, '00' x 32);
my ($out);
($out, $err) = run_sql($session, q{SELECT dbcrypt_encrypt('x')});
is($out, '', 'no key of a file with a weak key is used');

### the way out

my $new = key_hex(5);
my $findings = q{SELECT severity, subject, finding FROM dbcrypt_check() ORDER BY 1, 2, 3};
my $weak = 'a5' x 32;
$node->safe_psql('postgres', 'CREATE ROLE powerless LOGIN');
like(psql_error($node, 'SET dbcrypt.allow_weak_keys = on', extra_params => [ '-U', 'powerless' ]), qr/permission denied/,
	'only superusers may let them in');
write_key_file($path, $weak);
is( $node->safe_psql('postgres', "SET dbcrypt.allow_weak_keys = on; SELECT count(*) FROM dbcrypt_register_keys();
		CREATE TABLE t AS SELECT i AS id, dbcrypt_encrypt('value ' || i, i::text) AS c FROM generate_series(1, 10) i;
		SELECT dbcrypt_register_column('t', 'c', 'id::text'); $findings"),
	"1\n\nwarning|key " . key_id($weak) . '|is the primary key and weak: 32 equal bytes, or a short text',
	'allowed, it works, and is a finding');
like(psql_error($node, 'SELECT count(dbcrypt_decrypt(c, id::text)) FROM t'), qr/weak key/, 'other sessions refuse it');
$node->append_conf('postgresql.conf', 'dbcrypt.allow_weak_keys = on');
$node->reload;
wait_for_setting($session, 'dbcrypt.allow_weak_keys', 'on');
is(ring(), key_id($weak), 'an open session follows the setting');

write_key_file($path, $new, $weak);
$node->safe_psql('postgres', 'SELECT dbcrypt_register_keys()');
is($node->safe_psql('postgres', "$findings OFFSET 0"), join("\n", sort
		'notice|key ' . key_id($weak) . '|is weak: 32 equal bytes, or a short text',
		'notice|column public.t.c|values under old key ' . key_id($weak) . ': 10'), 'a key to rotate away from is a notice');
my $output = '';
ok(IPC::Run::run([ 'psql', '-X', '-d', $node->connstr('postgres'), '-v', 'ON_ERROR_STOP=1', '-v', 'table=t', '-v', 'column=c',
		'-v', 'yes=1', '-f', 'runbook/rotate.sql' ], '<', \'', '>&', \$output), 'the runbook rotates away from it') or diag $output;
like($output, qr/Revoked key ${\key_id($weak)}/, '... and revokes it');
write_key_file($path, $new);
is($node->safe_psql('postgres', $findings), 'warning|key ring|dbcrypt.allow_weak_keys is on, and no loaded key is weak',
	'the setting that is no longer needed is a finding');
$node->append_conf('postgresql.conf', 'dbcrypt.allow_weak_keys = off');
$node->reload;
wait_for_setting($session, 'dbcrypt.allow_weak_keys', 'off');
is($node->safe_psql('postgres', $findings), '', 'and all is well');
is($node->safe_psql('postgres', 'SELECT count(dbcrypt_decrypt(c, id::text)) FROM t'), '10', 'every value opens');
$session->quit;
is(index(slurp_file($node->logfile), $password), -1, 'no text key is in the log');
$node->stop;
done_testing();
