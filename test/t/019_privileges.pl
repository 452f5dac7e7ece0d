# A role may rotate without being able to decrypt; backends that hold keys leave
# no core dump.
use strict;
use warnings FATAL => 'all';

use DbcryptTest;
use PostgreSQL::Test::Utils;
use Test::More;

my ($k1, $k2) = map { key_hex($_) } 1 .. 2;
my $node = new_node('privileges', keys => [$k2]);
$node->safe_psql('postgres', q{
CREATE ROLE rotator LOGIN;
GRANT EXECUTE ON FUNCTION dbcrypt_rotate(regclass, name, text, boolean, text) TO rotator;
CREATE TABLE mine (id int, token text);
INSERT INTO mine SELECT i, dbcrypt_encrypt('mine', i::text) FROM generate_series(1, 10) i;
ALTER TABLE mine OWNER TO rotator;
CREATE TABLE theirs AS SELECT 1 AS id, dbcrypt_encrypt('theirs') AS token;
GRANT ALL ON theirs TO rotator;
GRANT CREATE ON SCHEMA public TO rotator;
});
write_key_file(key_file($node), $k1, $k2);
$node->safe_psql('postgres', 'SELECT dbcrypt_register_keys()');

my @rotator = (extra_params => [ '-U', 'rotator' ]);
foreach my $call (
	'dbcrypt_decrypt(token, id::text) FROM mine', q{dbcrypt_encrypt('x')},
	'dbcrypt_reencrypt(token, id::text) FROM mine', 'dbcrypt_register_keys()',
	'dbcrypt_rotate_all()', "dbcrypt_revoke_key('${\key_id($k2)}')",
	"dbcrypt_reinstate_key('${\key_id($k2)}')", q{dbcrypt_register_column('mine', 'token')},
	'dbcrypt_loaded_keys()')
{
	like(psql_error($node, "SELECT $call", @rotator), qr/permission denied for function/, "no $call");
}
like(psql_error($node, q{SELECT dbcrypt_rotate('theirs', 'token')}, @rotator),
	qr/must be owner of table theirs/, "no rotation of another's table");
like( psql_error($node, q{SELECT dbcrypt_rotate('mine', 'token', 'public.dbcrypt_decrypt(token, id::text)')}, @rotator),
	qr/ERROR: /, 'no decryption by way of an AAD expression on the column');
$node->safe_psql('postgres',
	q{CREATE FUNCTION peek(id int) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$DECLARE found text; BEGIN
	SELECT dbcrypt_decrypt(m.token, m.id::text) INTO found FROM public.mine m LIMIT 1;
	RAISE NOTICE 'found %', found;
	RETURN id;
END$$}, @rotator);
foreach my $who ([], \@rotator)
{
	my ($rc, $out, $err) =
	  $node->psql('postgres', q{SELECT dbcrypt_rotate('mine', 'token', 'public.peek(id)')}, @$who);
	like($err, qr/ERROR:  (?:permission denied for function dbcrypt_decrypt|function dbcrypt_decrypt\(text, text\) does not exist)/,
		'no decryption by way of a function in it, called by ' . (@$who ? 'the owner' : 'a superuser'));
	unlike($err, qr/found mine/, '... and nothing is shown');
}
is( ($node->psql('postgres', q{SELECT dbcrypt_rotate('mine', 'token', 'id::text')}, @rotator))[1],
	'(10,10,0,0)', 'the rotation');
is(decrypt_all_ok($node, 'mine', 'token', 'id::text'), 10, '... of every value');
like(psql_error($node, "SET dbcrypt.key_file = '/etc/passwd'", @rotator), qr/permission denied to set parameter/,
	'no other key file');
is(($node->psql('postgres', 'SELECT count(*) FROM dbcrypt_keys', @rotator))[1], '2', 'but the catalog is readable');
$node->safe_psql('postgres', 'GRANT SET ON PARAMETER dbcrypt.keys TO rotator');
is( ($node->psql('postgres', "SET dbcrypt.keys = '$k1'; SHOW dbcrypt.keys", @rotator))[1],
	key_id($k1), 'SET dbcrypt.keys can be granted');

SKIP:
{
	skip 'core dumps are forbidden this way on Linux', 6 unless $^O eq 'linux' && $> != 0;

	# The owner of a process's files in /proc is root when it may not dump core.
	my $dumpable = sub { return (stat "/proc/$_[0]/mem")[4] == $> ? 1 : 0 };
	my $session = new_session($node);
	my $pid = $session->query_safe('SELECT pg_backend_pid()');
	is($dumpable->($pid), 1, 'a backend without keys may dump core');
	run_sql($session, 'SELECT dbcrypt_decrypt(token) FROM theirs');
	is($dumpable->($pid), 0, 'a backend that has read its keys may not');
	ok(!open(my $memory, '<', "/proc/$pid/mem"), '... nor can its memory be read');
	$session->quit;

	$session = new_session($node);
	$pid = $session->query_safe('SELECT pg_backend_pid()');
	run_sql($session, "SET dbcrypt.keys = '$k1'");
	is($dumpable->($pid), 0, 'nor may one that was told a key by SET');
	$session->quit;

	$node->append_conf('postgresql.conf', "dbcrypt.keys = '$k1'");
	$node->restart;
	my $postmaster = (split /\n/, slurp_file($node->data_dir . '/postmaster.pid'))[0];
	is($dumpable->($postmaster), 0, 'nor may a postmaster with a literal key');
	$session = new_session($node);
	is($dumpable->($session->query_safe('SELECT pg_backend_pid()')), 0, '... nor its children');
	$session->quit;
}
$node->stop;
done_testing();
