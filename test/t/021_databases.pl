# Every database has its own catalog: states of keys in one do not touch another.
use strict;
use warnings FATAL => 'all';

use DbcryptTest;
use PostgreSQL::Test::Utils;
use Test::More;

my ($k1, $k2) = map { key_hex($_) } 1 .. 2;
my $id = key_id($k2);
my $node = new_node('databases', keys => [ $k2, $k1 ]);
$node->safe_psql('postgres', 'CREATE DATABASE other; CREATE DATABASE bare');
$node->safe_psql('other', 'CREATE SCHEMA crypto; CREATE EXTENSION dbcrypt SCHEMA crypto');
$node->safe_psql('other', 'ALTER DATABASE other SET search_path = crypto, public');

my $token = $node->safe_psql('postgres', q{SELECT dbcrypt_encrypt('x')});
like(psql_error($node, q{SELECT dbcrypt_encrypt('x')}, database => 'other'), qr/encryption key $id is not registered/,
	'registered in one database, not in the other');
is($node->safe_psql('other', "SELECT dbcrypt_decrypt('$token')"), 'x', 'decryption needs no registration');

my $here = new_session($node);
my $there = new_session($node, 'other');
is((run_sql($there, 'SELECT count(*) FROM dbcrypt_register_keys()'))[0], '2', 'registered there');
is((run_sql($there, 'SELECT count(*) FROM dbcrypt_key_status WHERE canary_ok'))[0], '2', 'with its own canaries');
write_key_file(key_file($node), $k1, $k2);
run_sql($there, "SELECT dbcrypt_revoke_key('$id')");
like((run_sql($there, "SELECT dbcrypt_decrypt('$token')"))[1], qr/is revoked/, 'revoked there');
is((run_sql($here, "SELECT dbcrypt_decrypt('$token')"))[0], 'x', 'not here');
run_sql($here, 'CREATE TABLE t AS SELECT dbcrypt_encrypt($$x$$) AS c');
is((run_sql($here, q{SELECT dbcrypt_rotate('t', 'c')}))[0], '(1,0,1,0)', 'a column here');
is((run_sql($there, 'SELECT count(*) FROM dbcrypt_columns'))[0], '0', 'is none there');

# The extension goes and comes while sessions are open.
my $gone = new_session($node, 'other');
is((run_sql($gone, 'SELECT dbcrypt_decrypt(dbcrypt_encrypt($$y$$))'))[0], 'y', 'an open session');
run_sql($there, 'DROP EXTENSION dbcrypt');
like((run_sql($gone, 'SELECT dbcrypt_encrypt($$y$$)'))[1], qr/does not exist/, '... loses the functions');
run_sql($there, 'CREATE EXTENSION dbcrypt SCHEMA public');
like((run_sql($gone, 'SELECT dbcrypt_encrypt($$y$$)'))[1], qr/is not registered/, '... and finds the new catalog');
is((run_sql($gone, "SELECT dbcrypt_decrypt('$token')"))[0], 'x', '... which knows no revocation');
run_sql($there, 'SELECT dbcrypt_register_keys()');
is((run_sql($gone, 'SELECT dbcrypt_decrypt(dbcrypt_encrypt($$y$$))'))[0], 'y', '... and its registrations');

# A database without the extension has the settings alone.
my ($rc, $out, $err) = $node->psql('bare', 'SHOW dbcrypt.key_file');
is($out, key_file($node), 'settings without the extension');
$here->quit;
$node->safe_psql('postgres', 'CREATE DATABASE clone TEMPLATE postgres');
is($node->safe_psql('clone', "SELECT dbcrypt_decrypt('$token')"), 'x', 'a clone of a database');
is($node->safe_psql('clone', q{SELECT dbcrypt_rotate('t', 'c')}), '(1,0,1,0)', '... has its columns');
is($node->safe_psql('clone', 'SELECT count(*) FROM dbcrypt_key_status WHERE canary_ok'), '2', '... and keys');
$_->quit foreach $there, $gone;
$node->stop;
done_testing();
