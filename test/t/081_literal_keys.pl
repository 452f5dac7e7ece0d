# Without preloading, ALTER ROLE, ALTER DATABASE, ALTER SYSTEM and functions accept literal
# keys in a session that has not loaded the library, and every role reads them.
# dbcrypt_check() finds each as an error, under misspelt names of the prefix too, and
# shows none.
use strict;
use warnings FATAL => 'all';

use DbcryptTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('literal_keys', preload => 0);
my %key = map { $_ => secret_key($_) } 'role', 'database', 'system', 'function', 'misspelt', 'body';
my $base64 = key_base64($key{misspelt});

is($node->safe_psql('postgres', q{SELECT count(*) FROM dbcrypt_check()}), '0', 'nothing is found before');
# Each in a session of its own, which has not loaded dbcrypt.
$node->safe_psql('postgres', 'CREATE ROLE intruder LOGIN; CREATE DATABASE other');
$node->safe_psql('postgres', "ALTER ROLE intruder SET dbcrypt.keys = '$key{role}'");
$node->safe_psql('postgres', "ALTER DATABASE other SET dbcrypt.keys = '$key{database}'");
$node->safe_psql('postgres', "ALTER DATABASE other SET dbcrypt.kes = '$base64'");
$node->safe_psql('postgres', "CREATE FUNCTION f() RETURNS int LANGUAGE sql SET dbcrypt.Keys = '$key{function}' AS 'SELECT 1'");
$node->safe_psql('postgres', "CREATE FUNCTION g() RETURNS text LANGUAGE sql AS \$\$SELECT set_config('dbcrypt.keys', '$key{body}', true)\$\$");
$node->safe_psql('postgres', "CREATE FUNCTION h() RETURNS text LANGUAGE sql SET dbcrypt.key_fil = '/etc/keys' AS 'SELECT ''a dbcrypt. text'''");
is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_db_role_setting s, unnest(setconfig) c WHERE c LIKE 'dbcrypt.ke%'}, extra_params => [ '-U', 'intruder', '-d', 'other' ]),
	'3', 'the attack: an intruder reads the keys');

my $found = $node->safe_psql('postgres', 'SELECT severity, subject, finding FROM dbcrypt_check() ORDER BY 2');
is($found, join("\n", map { "error|$_|a literal key is set for it, which every role can read" }
	  'database other', 'function public.f()', 'function public.g()', 'role intruder'), 'each is found, and nothing else');

$node->safe_psql('postgres', 'ALTER ROLE intruder RESET ALL; ALTER DATABASE other RESET ALL; DROP FUNCTION f, g, h');
is($node->safe_psql('postgres', q{SELECT count(*) FROM dbcrypt_check()}), '0', 'nothing is found when they are gone');

# What ALTER SYSTEM writes; which versions take it for an unknown name differs.
append_to_file($node->data_dir . '/postgresql.auto.conf', "dbcrypt.kez = '$key{system}'\n");
$found = $node->safe_psql('postgres', q{SELECT severity, subject, finding FROM dbcrypt_check()});
like($found, qr/^error\|configuration\|a literal key is in file ".*postgresql\.auto\.conf", line \d+: ALTER SYSTEM/, 'a key in postgresql.auto.conf');
unlike($found, qr/\Q$key{$_}\E/, "no key is shown: $_") foreach sort keys %key;
$node->stop;
done_testing();
